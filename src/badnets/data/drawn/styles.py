"""The styles of signs by name, and their faces ready to be photographed."""

from __future__ import annotations

import math
from functools import lru_cache

from badnets.core.errors import BadInput, nearest
from badnets.data.drawn import eu, us
from badnets.data.drawn.camera import Plates
from badnets.data.drawn.faces import Faces

STYLES: dict[str, Faces] = {"us": us.FACES, "eu": eu.FACES}
"""Class names and faces of each style, in the order of their labels."""


def faces_of(style: str) -> Faces:
    """Class names and faces of a style, in the order of their labels."""
    if style not in STYLES:
        raise BadInput(f"expected a style of signs, us or eu, got {style!r}; {nearest(style, STYLES)}")
    return STYLES[style]


def plates_of(style: str, size: int) -> Plates:
    """The faces of a style at about four times the resolution of pictures of one sign with the side ``size``."""
    return _plates(style, min(512, max(64, 1 << math.ceil(math.log2(4 * size)))))


@lru_cache(maxsize=4)
def _plates(style: str, side: int) -> Plates:
    return Plates.of(tuple(faces_of(style).values()), side)
