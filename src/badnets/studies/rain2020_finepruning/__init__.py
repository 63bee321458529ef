"""Study ``rain2020-finepruning``."""
