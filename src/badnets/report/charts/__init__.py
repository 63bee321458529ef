"""Drawings for pages, as SVG and pictures."""
