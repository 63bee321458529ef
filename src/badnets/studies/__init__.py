"""Published studies, each repeated by one package: what was published, how we repeat it, and what came out."""
