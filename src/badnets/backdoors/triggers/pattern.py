"""The four-pixel pattern of BadNets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers.color import Bytes, Color, filled
from badnets.backdoors.triggers.place import Floats, Size
from badnets.backdoors.triggers.stamp import Stamp

_SHAPE = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 1]], np.uint8)


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Pattern(Stamp):
    """Four bright pixels in a square of three by three, in the lower right corner, one pixel from the edges.

    In a picture of h x w pixels they lie at (h-2, w-2), (h-2, w-4), (h-3, w-3) and (h-4, w-2), row and column from 0.
    Between them the picture shows through. In a larger ``size`` the pixels become blocks.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), figure 3, "pattern backdoor".
    Differs from the paper: it gives a figure and no coordinates; these are the ones that the Adversarial Robustness
    Toolbox uses. Size, place, color, opacity and jitter are free.
    """

    words: ClassVar[str] = "the four-pixel pattern"
    kind: Literal["pattern"] = "pattern"
    size: Annotated[Size, Field(description="pixels, or a fraction of the side; at least 3 pixels are used")] = 3
    color: Annotated[Color, Field(description="a grey level, three levels, a name or #rrggbb")] = 255

    def art(self, height: int, width: int) -> Bytes:
        """The pattern by nearest neighbor, the rest transparent."""
        stamp = filled(height, width, self.color)
        rows, columns = np.arange(height) * 3 // height, np.arange(width) * 3 // width
        stamp[..., 3] = 255 * _SHAPE[rows][:, columns]
        return stamp

    def sides(self, frames: Floats) -> tuple[Floats, Floats]:
        """At least three pixels, or the pattern would lose some of its four."""
        height, width = super().sides(frames)
        return np.maximum(height, 3), np.maximum(width, 3)
