"""One bright pixel."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers.color import Bytes, Color, filled
from badnets.backdoors.triggers.stamp import Stamp


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Pixel(Stamp):
    """One bright pixel, in the lower right corner, one pixel from the edges.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), figure 3, "single pixel backdoor".
    Differs from the paper: none in the default; place, color, opacity and jitter are free.
    """

    words: ClassVar[str] = "the single pixel"
    kind: Literal["pixel"] = "pixel"
    color: Annotated[Color, Field(description="a grey level, three levels, a name or #rrggbb")] = 255

    def art(self, height: int, width: int) -> Bytes:
        """One color all over."""
        return filled(height, width, self.color)
