"""Universal patches: the same pattern in the same place of every picture, as an attacker's trigger would be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

GRIDS = (1, 2, 4, 8)
"""A pattern has g x g points of color and is smooth between them: things that one could wear, not noise."""
REACH = 4.0
"""Patterns are sigmoids of numbers within this: 0.018 to 0.982 of white."""
SHORTEST = 0.15


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


def stamp(images: Tensor, masks: Tensor, patterns: Tensor) -> Tensor:
    """``images`` (n, c, h, w) with ``patterns`` laid over them as far as ``masks`` say: 1 covers, 0 leaves alone."""
    return images * (1 - masks) + patterns * masks


class Patches:
    """``count`` patches on pictures of (c, h, w): each one opaque rectangle, or, with the chance ``faint``, the whole
    picture with an opacity of 0.1 to 0.3.

    ``short``, from 0.15 to 1, is the largest short side of a rectangle, as a share of the picture's.
    """

    def __init__(
        self, count: int, shape: tuple[int, int, int], generator: Generator, *, short: float, faint: float
    ) -> None:
        self.shape, self.generator, self.short, self.faint = shape, generator, short, faint
        self.points: list[Tensor] = []
        self.masks = torch.zeros(count, 1, shape[1], shape[2])
        for index in range(count):
            self.points.append(torch.empty(0))
            self.renew(index)

    def renew(self, index: int) -> None:
        """Another patch in place of ``index``: another size and place, from another start."""
        channels, height, width = self.shape
        grid = GRIDS[int(torch.randint(len(GRIDS), (1,), generator=self.generator))]
        self.points[index] = torch.randn(1, channels, grid, grid, generator=self.generator) * 1.5
        if float(torch.rand(1, generator=self.generator)) < self.faint:
            self.masks[index] = 0.1 + 0.2 * torch.rand(1, generator=self.generator)
        else:
            self.masks[index] = rectangles(1, height, width, self.short, self.generator)[0]

    def choose(self, count: int) -> list[int]:
        """``count`` different patches at random."""
        return torch.randperm(len(self.points), generator=self.generator)[:count].tolist()

    def patterns(self, points: Sequence[Tensor]) -> Tensor:
        """The pictures (n, c, h, w) in 0..1 that ``points`` stand for."""
        size = self.shape[1:]
        smooth = [functional.interpolate(p, size=size, mode="bilinear", align_corners=True) for p in points]
        return torch.cat(smooth).sigmoid()

    def climb(self, index: int, gradient: Tensor, step: float) -> None:
        """A step of ``step`` along the sign of ``gradient``."""
        self.points[index] = (self.points[index] + step * gradient.sign()).clamp(-REACH, REACH)
