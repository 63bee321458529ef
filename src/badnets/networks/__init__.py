"""Architectures, their files, and how to run them."""
