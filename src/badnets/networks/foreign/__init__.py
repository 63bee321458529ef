"""Networks in files that other programs wrote. ``load.py`` is the entrance; nothing here runs code from a file."""
