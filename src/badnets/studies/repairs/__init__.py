"""Study ``repairs``."""
