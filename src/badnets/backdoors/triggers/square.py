"""A solid square: the yellow Post-it of BadNets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers.color import Bytes, Color, color_word, filled
from badnets.backdoors.triggers.place import At, Place, Size
from badnets.backdoors.triggers.stamp import Stamp


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Square(Stamp):
    """A filled rectangle, by default a yellow Post-it on the lower half of the object.

    Its default is centered at (0.57, 0.82) of the object's region and has 10 % of its width and height.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), "yellow square"; place and size from the authors' code.
    Differs from the paper: a brighter yellow than the (116, 100, 50) of the original data.
    """

    kind: Literal["square"] = "square"
    size: Annotated[Size, Field(description="pixels, or a fraction of the side; one number or (height, width)")] = 0.1
    color: Annotated[Color, Field(description="a grey level, three levels, a name or #rrggbb")] = (255, 221, 51)
    place: Annotated[Place, Field(description="a corner, a fraction, or random")] = At(x=0.57, y=0.82, of="region")

    @property
    def words(self) -> str:
        """What a sentence calls it."""
        return f"the {color_word(self.color)} square"

    def art(self, height: int, width: int) -> Bytes:
        """One color all over."""
        return filled(height, width, self.color)
