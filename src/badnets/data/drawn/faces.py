"""A sign's face: what is painted on the plate, in layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.data.drawn.shapes import Shape, coverage

Color = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Face:
    """``outline`` is the plate, painted in ``base``; ``layers`` are painted on it one after the other. sRGB, 0..255."""

    outline: Shape
    base: Color
    layers: tuple[tuple[Shape, Color], ...]

    def draw(self, size: int) -> NDArray[np.float32]:
        """(size, size, 4): red, green, blue times alpha, and alpha, all 0..1."""
        alpha = coverage(self.outline, size)
        color = np.broadcast_to(_unit(self.base), (size, size, 3)).copy()
        for shape, paint in self.layers:
            share = coverage(shape, size)[..., None]
            color += share * (_unit(paint) - color)
        return np.concatenate([color * alpha[..., None], alpha[..., None]], axis=2)


Faces = Mapping[str, Face]


def _unit(color: Color) -> NDArray[np.float32]:
    return np.array(color, dtype=np.float32) / np.float32(255)
