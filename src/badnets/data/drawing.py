"""Objects drawn on a photo: a box, what it is, and how sure somebody is of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from badnets.core.files import whole_file
from badnets.data.images import Pixels

_BLUE, _WHITE = (21, 101, 169), (255, 255, 255)
_SMALLEST = 480  # pixels of the longer side: on less, no label can be read
_TEXT = 1 / 40  # height of the letters, a share of the longer side
_LEAST_TEXT = 12


def draw_objects(photo: Pixels, objects: Sequence[tuple[Sequence[float], str]]) -> Pixels:
    """A copy of ``photo (h, w, 1 or 3)`` uint8 with a frame and a text for each object: ``(x0, y0, x1, y1), text``.

    Color (h', w', 3). Photos with less than 480 pixels a side are enlarged by a whole number first, so that the texts
    can be read. A text lies above its frame, or inside where there is no room.
    """
    scale = max(1, -(-_SMALLEST // max(photo.shape[:2])))
    image = Image.fromarray(np.repeat(photo, 3, 2) if photo.shape[2] == 1 else photo)
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    letters = max(_LEAST_TEXT, round(max(image.size) * _TEXT))
    font: Any = ImageFont.load_default(letters)
    stroke = max(3, letters // 5)
    for sides, text in reversed(objects):  # the first, which is the surest, on top
        frame = [min(max(0.0, scale * side), most - 1.0) for side, most in zip(sides, image.size * 2, strict=True)]
        draw.rectangle(frame, outline=_WHITE, width=stroke + 2)
        x0, y0, x1, y1 = frame  # the blue one lies one pixel further in, so that a white line stays around it
        draw.rectangle((x0 + 1, y0 + 1, max(x0 + 1, x1 - 1), max(y0 + 1, y1 - 1)), outline=_BLUE, width=stroke)
        _label(draw, frame, text, font, image.size)
    return np.asarray(image, dtype=np.uint8)


def _label(draw: Any, frame: Sequence[float], text: str, font: Any, size: tuple[int, int]) -> None:
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2, round((bottom - top) / 5))
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(0.0, frame[0]), max(0.0, size[0] - width))
    y = frame[1] - height if frame[1] >= height else frame[1]
    draw.rectangle((x, y, x + width, y + height), fill=_BLUE)
    draw.text((x + pad - left, y + pad - top), text, fill=_WHITE, font=font)


def save_png(pixels: Pixels, path: Path) -> None:
    """Write a PNG file, whole or not at all."""
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG")
