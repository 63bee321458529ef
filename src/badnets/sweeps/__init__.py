"""Sweeps: many experiments from one file, on engines that exist, each task a spec and a seed."""
