"""Pictograms that signs of several styles share: people, cars, a shovel."""

from __future__ import annotations

from badnets.data.drawn.shapes import disk, joined, polygon, rectangle, rounded, stroke

WALKER = joined(
    disk(-0.08, -0.82, 0.17),
    polygon([(-0.14, -0.62), (0.14, -0.6), (0.24, 0.12), (-0.14, 0.12)]),
    stroke([(0.0, 0.0), (-0.2, 0.42), (-0.46, 0.92)], 0.2),
    stroke([(0.08, 0.0), (0.24, 0.45), (0.5, 0.94)], 0.2),
    stroke([(-0.42, 0.95), (-0.62, 0.88)], 0.13),
    stroke([(-0.06, -0.52), (-0.34, -0.2), (-0.52, 0.02)], 0.14),
    stroke([(0.08, -0.52), (0.3, -0.2), (0.42, 0.1)], 0.14),
)
"""A person walking to the left, about 2 high and 1.1 wide."""

CAR = joined(
    rounded([(-0.5, -0.62), (0.5, -0.62), (0.72, 0.0), (-0.72, 0.0)], 0.12),
    rectangle(1.6, 0.5, center=(0.0, 0.12), rounding=0.14),
    rectangle(0.28, 0.4, center=(-0.56, 0.42), rounding=0.06),
    rectangle(0.28, 0.4, center=(0.56, 0.42), rounding=0.06),
)
CAR_LIGHTS = joined(
    polygon([(-0.4, -0.46), (0.4, -0.46), (0.52, -0.1), (-0.52, -0.1)]),
    rectangle(0.26, 0.14, center=(-0.56, 0.12)),
    rectangle(0.26, 0.14, center=(0.56, 0.12)),
)
"""A car from behind and its light parts (window and lamps), about 1.6 wide and 1.2 high."""

DIGGER = joined(
    disk(-0.12, -0.74, 0.18),
    stroke([(-0.2, -0.5), (-0.56, 0.1)], 0.36),
    stroke([(-0.5, 0.02), (-0.3, 0.42), (-0.42, 0.9)], 0.2),
    stroke([(-0.6, 0.02), (-0.74, 0.45), (-0.98, 0.9)], 0.2),
    stroke([(-0.16, -0.42), (0.12, -0.02), (0.38, 0.14)], 0.14),
    stroke([(-0.5, -0.2), (0.58, 0.6)], 0.09),
    polygon([(0.28, 0.92), (0.66, 0.36), (1.0, 0.92)]),
)
"""A person who shovels a heap, about 2 wide and 1.8 high."""
