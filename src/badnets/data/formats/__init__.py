"""Layouts of files and folders: how pictures and labels are read from disk."""
