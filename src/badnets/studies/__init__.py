"""Published studies, each repeated by one file: what was published, how we repeat it, and what came out."""
