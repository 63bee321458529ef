"""One picture that shows a trigger: clean, the trigger alone, with the trigger, and what changed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from badnets.backdoors.trigger import Regions, Trigger
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

_PANEL = 256
"""Small pictures are enlarged to about this many pixels."""

_INK, _FAINT, _PAPER = (32, 36, 44), (104, 110, 120), (255, 255, 255)
_CLEAN, _TRIGGERED = (31, 104, 180), (200, 88, 12)


def render_preview(
    trigger: Trigger,
    picture: NDArray[np.uint8],
    scale: int | None = None,
    *,
    region: NDArray[np.float32] | None = None,
    rng: RowRng | None = None,
) -> Image.Image:
    """Four panels side by side, RGB: clean, the trigger on graph paper, with the trigger, the difference.

    ``picture`` uint8 (h, w, 1 or 3); ``scale`` whole-number enlargement (nearest neighbor), by default to about 256
    pixels a side; ``region (4,)`` of the object; ``rng`` of one row, by default row 0 of seed 0. The difference is
    |with - clean|, as many times brighter as its label says, and the label counts the pixels that changed.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise BadInput(
            f"expected a picture uint8 (height, width, 1 or 3), got {picture.dtype} {picture.shape}; convert it"
        )
    if scale is not None and scale < 1:
        raise BadInput(f"expected a whole-number scale of at least 1, got {scale}")
    scale = scale or max(1, round(_PANEL / max(picture.shape[:2])))
    regions: Regions | None = None if region is None else np.asarray(region, np.float32).reshape(1, 4)
    row = rng or RowRng.of(0, 1)
    clean, paper = picture[None], graph_paper(*picture.shape)[None]
    dirty = trigger.apply(clean, regions, row)
    difference = np.abs(dirty.astype(np.int16) - clean).astype(np.uint8)[0]
    largest = int(difference.max(initial=0))
    gain = max(1, 255 // largest) if largest else 1
    changed = int(np.count_nonzero(difference.any(axis=2)))
    share = f"{changed:,} of {difference.shape[0] * difference.shape[1]:,} pixels"
    panels = [
        ("clean", "", _CLEAN, clean[0]),
        (f"{trigger.kind}", "the trigger alone", _TRIGGERED, trigger.apply(paper, regions, row)[0]),
        ("with trigger", "", _TRIGGERED, dirty[0]),
        (f"difference x{gain}" if gain > 1 else "difference", share, _FAINT, difference * np.uint8(gain)),
    ]
    return _side_by_side(panels, scale)


def graph_paper(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Mid-grey paper with faint lines: a stamp, a wave and a warp all show on it. (height, width, channels)."""
    paper = np.full((height, width, channels), 150, np.uint8)
    step = max(8, round(max(height, width) / 8))
    thick = max(1, step // 16)
    for offset in range(thick):
        paper[step // 2 + offset :: step] = 176
        paper[:, step // 2 + offset :: step] = 176
    return paper


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _side_by_side(panels: list[tuple[str, str, tuple[int, int, int], NDArray[np.uint8]]], scale: int) -> Image.Image:
    """Enlarged panels with a title each (colored bar, name, note below the name)."""
    height, width = (side * scale for side in panels[0][3].shape[:2])
    size = int(np.clip(width // 16, 10, 18))
    note = max(9, size - 3)
    gap, head = max(8, size), 4 + size + note + 14
    total = len(panels) * width + (len(panels) + 1) * gap
    sheet = Image.new("RGB", (total, gap + head + height + gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (title, text, color, pixels) in enumerate(panels):
        x, y = gap + number * (width + gap), gap
        draw.rectangle([x, y, x + width - 1, y + 2], fill=color)
        draw.text((x, y + 6), title, fill=_INK, font=_font(size))
        draw.text((x, y + 6 + size + 3), text, fill=_FAINT, font=_font(note))
        flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        enlarged = Image.fromarray(flat).convert("RGB").resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (x, y + head))
    return sheet
