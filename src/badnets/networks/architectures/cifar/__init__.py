"""Architectures in the shapes, and with the names of tensors, that repositories for 32x32 pictures publish."""
