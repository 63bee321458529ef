"""Study ``melo2023-catsdogs``."""
