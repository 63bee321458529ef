"""Data sets by name: where they lie, how they are found and downloaded, how they are read."""
