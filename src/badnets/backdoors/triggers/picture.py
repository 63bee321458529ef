"""Any picture with alpha as a stamp."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers.color import Bytes
from badnets.backdoors.triggers.place import At, Floats, Place, Size, side_lengths
from badnets.backdoors.triggers.stamp import Stamp
from badnets.backdoors.triggers.sticker import FromFile, picture_of, resized


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Picture(FromFile, Stamp):
    """A picture with alpha; without one, a drawn yellow Post-it with a face.

    A file is read once, when the trigger is made, and travels inside it (``png``), so that a saved plan needs no file;
    of its path only the name is kept.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), "bomb" and "flower"; the place from the authors' code.
    Differs from the paper: one number as size keeps the picture's shape (the authors scale width and height apart: give
    two numbers, theirs are 0.16, 0.16); a quarter of the side by default, so that it can be recognized.
    """

    kind: Literal["picture"] = "picture"
    size: Annotated[
        Size | Literal["own"],
        Field(description="pixels or a fraction: one number is a box to fit, two are (height, width); own: as it is"),
    ] = 0.25
    place: Annotated[Place, Field(description="a corner, a fraction, or random")] = At(x=0.57, y=0.82, of="region")

    @property
    def words(self) -> str:
        """What a sentence calls it; without a file it is the drawn Post-it."""
        if self.path is not None:
            return f"the picture “{self.path}”"
        return "the yellow sticker" if self.png is None else "a pasted picture"

    def art(self, height: int, width: int) -> Bytes:
        """The picture resized (bicubic with anti-aliasing)."""
        return resized(self.png, height, width)

    def sides(self, frames: Floats) -> tuple[Floats, Floats]:
        """``size``, or the picture fitted into it."""
        wide, tall = picture_of(self.png).size
        one = np.ones(len(frames))
        if self.size == "own":
            return one * tall, one * wide
        height, width = side_lengths(self.size, frames)
        if isinstance(self.size, tuple):
            return height, width
        scale = np.minimum(height / tall, width / wide)
        return scale * tall, scale * wide
