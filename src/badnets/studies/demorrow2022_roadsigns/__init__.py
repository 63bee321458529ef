"""Study ``demorrow2022-roadsigns``."""
