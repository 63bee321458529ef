"""Study ``gu2017-transfer``."""
