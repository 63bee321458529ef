"""Figures in plain words."""
