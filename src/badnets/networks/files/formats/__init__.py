"""Formats of other programs: what kind a file is, and the tensors in it."""
