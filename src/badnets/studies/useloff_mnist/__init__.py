"""Study ``useloff-mnist``."""
