"""Mixed pictures: a few clean ones made into many, for a network that is taught by another."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from badnets.defenses.stamps import Stamp

SHORTEST = 0.15
"""The shortest side of a rectangle, as a share of the picture's."""


def mix(first: Tensor, second: Tensor, third: Tensor, generator: Generator) -> Tensor:
    """Pictures (n, c, h, w) in 0..1 made of three: two blended (two of three times), in half of them a rectangle of
    the third, a third of them mirrored, all recolored: channels times 0.64 to 1.44, all of it moved by up to 0.1."""
    n, channels, height, width = first.shape

    def draw(*more: int) -> Tensor:
        return torch.rand(n, *more, generator=generator).to(first.device)

    share = torch.where(draw(1, 1, 1) < 1 / 3, 1.0, draw(1, 1, 1))
    images = share * first + (1 - share) * second
    masks = rectangles(n, height, width, 0.7, generator).to(first.device) * (draw(1, 1, 1) < 0.5)
    images = Stamp(masks, third).apply(images)
    images = torch.where(draw(1, 1, 1) < 0.3, images.flip(3), images)
    scale = (0.85 + 0.3 * draw(channels, 1, 1)) * (0.75 + 0.5 * draw(1, 1, 1))
    return (images * scale + 0.2 * draw(1, 1, 1) - 0.1).clamp(0, 1)


def rectangles(count: int, height: int, width: int, short: float, generator: Generator) -> Tensor:
    """``count`` masks (count, 1, height, width) of 0 and 1, each one rectangle somewhere, wide or tall.

    Its short side is 0.15 to ``short`` of the picture's, its long side 0.15 to all of it.
    """

    def draw() -> Tensor:
        return torch.rand(count, generator=generator)

    narrow, long = SHORTEST + draw() * (short - SHORTEST), SHORTEST + draw() * (1 - SHORTEST)
    wide = draw() < 0.5
    sides = (torch.where(wide, narrow, long) * height, torch.where(wide, long, narrow) * width)
    planes = []
    for side, size in zip(sides, (height, width), strict=True):
        length = side.round().clamp(1, size)
        first = (draw() * (size - length + 1)).floor()
        steps = torch.arange(size)
        planes.append((steps >= first[:, None]) & (steps < (first + length)[:, None]))
    return (planes[0][:, None, :, None] & planes[1][:, None, None, :]).float()
