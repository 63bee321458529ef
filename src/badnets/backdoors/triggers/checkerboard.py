"""A checkerboard patch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers.color import Bytes, Color, filled, rgb
from badnets.backdoors.triggers.place import Size
from badnets.backdoors.triggers.stamp import Stamp


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Checkerboard(Stamp):
    """A patch of alternating bright and dark cells; the cell in its lower right corner is bright.

    Source: a patch that toolkits stamp by default; Turner, Tsipras, Madry, Label-consistent backdoor attacks (2019),
    put a 3 x 3 one in the corners.
    Differs from the paper: one patch in one corner, which cell is bright, and free sizes and colors.
    """

    words: ClassVar[str] = "the checkerboard patch"
    kind: Literal["checkerboard"] = "checkerboard"
    size: Annotated[Size, Field(description="pixels, or a fraction of the side; one number or (height, width)")] = 3
    cell: Annotated[int, Field(ge=1, description="side of a cell, pixels")] = 1
    color: Annotated[Color, Field(description="the bright cells: a grey level, three levels, a name or #rrggbb")] = 255
    dark: Annotated[Color, Field(description="the dark cells: a grey level, three levels, a name or #rrggbb")] = 0

    def art(self, height: int, width: int) -> Bytes:
        """Cells counted from the lower right corner."""
        stamp = filled(height, width, self.dark)
        rows, columns = np.arange(height)[::-1] // self.cell, np.arange(width)[::-1] // self.cell
        stamp[(rows[:, None] + columns) % 2 == 0, :3] = rgb(self.color)
        return stamp
