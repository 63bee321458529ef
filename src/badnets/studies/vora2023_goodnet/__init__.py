"""Study ``vora2023-goodnet``."""
