"""Scores of single inputs: how suspicious is this picture."""
