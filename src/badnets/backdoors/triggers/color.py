"""Colors of triggers: a grey level, three levels, or a name; grey pictures get the luminance."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from badnets.core.errors import BadInput

Bytes = NDArray[np.uint8]
"""A picture, stamp or color as uint8; the last axis is the channels."""


def _by_name(value: Any) -> Any:
    """``"yellow"`` and ``"#ffe03c"`` become three levels; anything else is left to the field's own check."""
    if not isinstance(value, str) or value.strip().isdigit():
        return value
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(value.strip())[:3]
    except ValueError:
        raise BadInput(
            f"expected a color as a grey level 0..255, three levels, a name or #rrggbb, got {value!r}; try 'yellow'"
        ) from None


Level = Annotated[int, Field(ge=0, le=255)]
Color = Annotated[Level | tuple[Level, Level, Level], BeforeValidator(_by_name)]
"""A grey level 0..255, (red, green, blue) each 0..255, or (on input) a CSS color name or ``#rrggbb``."""


def rgb(color: int | tuple[int, int, int]) -> Bytes:
    """Three levels (3,), uint8."""
    return np.array([color] * 3 if isinstance(color, int) else color, np.uint8)


_NAMED = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (220, 30, 30),
    "orange": (255, 150, 0),
    "yellow": (250, 220, 60),
    "green": (30, 150, 60),
    "blue": (30, 80, 200),
    "pink": (255, 120, 190),
}


def color_word(color: int | tuple[int, int, int]) -> str:
    """``"yellow"``: the nearest of nine colors."""
    levels = rgb(color).tolist()
    return min(_NAMED, key=lambda name: sum((a - b) ** 2 for a, b in zip(_NAMED[name], levels, strict=True)))


def filled(height: int, width: int, color: int | tuple[int, int, int]) -> Bytes:
    """An opaque RGBA stamp (height, width, 4) of one color."""
    return np.full((height, width, 4), [*rgb(color), 255], np.uint8)


def to_channels(picture: Bytes, channels: int) -> Bytes:
    """The colors of ``picture (.., 3 or 4)`` as (.., channels): RGB as it is, grey as luminance (ITU-R BT.601)."""
    if channels == 3:
        return picture[..., :3]
    weighted = picture[..., :3].astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)[..., None]
