"""Any picture with alpha as a stamp, drawn or from a file: a small PNG that a saved plan can carry."""

from __future__ import annotations

import base64
import dataclasses
import io
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image, ImageDraw
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from typing_extensions import Self

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers.color import Bytes
from badnets.backdoors.triggers.place import At, Floats, Place, Size
from badnets.backdoors.triggers.stamp import Stamp
from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.data.formats.decode import DAMAGED, decode_stamp, opened, picture_file, upright

LARGEST = 256
"""The longer side of an embedded picture, at most."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FromFile:
    """The base of triggers that show a picture, which travels inside them (``png``)."""

    kind: str
    path: Annotated[str | None, Field(description="picture file, best a PNG with alpha")] = None
    png: Annotated[str | None, Field(description="the picture itself, PNG in base64, up to 256 pixels a side")] = (
        dataclasses.field(default=None, repr=False)
    )

    @classmethod
    def open(cls, path: str | Path, **settings: Any) -> Self:
        """From a file; ``settings`` are the other fields."""
        return cls(path=str(path), **settings)

    def __post_init__(self) -> None:
        if self.path is not None:
            if self.png is None:
                object.__setattr__(self, "png", read_png(self.path))
            object.__setattr__(self, "path", Path(self.path).name)
        picture_of(self.png)


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
        if self.size == "own":
            return np.full(len(frames), float(tall)), np.full(len(frames), float(wide))
        height, width = super().sides(frames)
        if isinstance(self.size, tuple):
            return height, width
        scale = np.minimum(height / tall, width / wide)
        return scale * tall, scale * wide


def read_png(path: str | Path, *, largest: int = LARGEST) -> str:
    """A picture file as base64 PNG with alpha, downscaled to at most ``largest`` pixels a side."""
    with picture_file(Path(path)) as content:
        picture = Image.fromarray(decode_stamp(content, path))
    picture.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@lru_cache(maxsize=16)
def picture_of(png: str | None) -> Image.Image:
    """The RGBA picture in a base64 PNG; None is the drawn sticker."""
    if png is None:
        return _draw_sticker()
    try:
        with opened(base64.b64decode(png, validate=True), "png", formats=["PNG"]) as file:
            if max(file.size) > LARGEST:
                got = f"{file.width}x{file.height}"
                raise BadInput(f"png: expected at most {LARGEST} pixels a side, got {got}; use path= for a large file")
            return Image.fromarray(upright(file, "RGBA").pixels)
    except DAMAGED as error:  # binascii's error is a ValueError
        got = brief(error)
        raise BadInput(f"png: expected a PNG in base64, got something else ({got}); use path= for a file") from None


@lru_cache(maxsize=64)
def resized(png: str | None, height: int, width: int) -> Bytes:
    """That picture as RGBA uint8 (height, width, 4), read-only; Pillow weights colors by alpha."""
    picture = picture_of(png)
    pixels = np.array(picture.resize((width, height), Image.Resampling.BICUBIC))
    pixels.setflags(write=False)
    return pixels


def _draw_sticker() -> Image.Image:
    """A yellow Post-it with a smiling face, drawn four times larger and scaled down."""
    s = 4 * LARGEST
    paper = Image.new("RGBA", (s, s), (0, 0, 0, 0))
    draw = ImageDraw.Draw(paper)
    fold = round(0.17 * s)
    draw.polygon([(0, 0), (s, 0), (s, s - fold), (s - fold, s), (0, s)], fill=(255, 221, 51, 255))
    draw.rectangle([0, 0, s, round(0.13 * s)], fill=(247, 203, 34, 255))  # the glued strip is a shade darker
    draw.polygon([(s, s - fold), (s - fold, s), (s - fold, s - fold)], fill=(222, 176, 28, 255))
    ink, pen = (38, 50, 92, 255), round(0.075 * s)
    for x in (0.34, 0.64):
        draw.ellipse([s * (x - 0.06), s * 0.29, s * (x + 0.06), s * 0.47], fill=ink)
    draw.arc([s * 0.21, s * 0.22, s * 0.77, s * 0.78], 22, 158, fill=ink, width=pen)
    radius = 0.28 * s - pen / 2
    for angle in np.deg2rad([22, 158]):  # round ends of the smile
        x, y = 0.49 * s + radius * np.cos(angle), 0.5 * s + radius * np.sin(angle)
        draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=ink)
    return paper.resize((LARGEST, LARGEST), Image.Resampling.BOX)
