"""Study ``gu2017-mnist``."""
