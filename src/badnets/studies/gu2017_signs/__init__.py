"""Study ``gu2017-signs``."""
