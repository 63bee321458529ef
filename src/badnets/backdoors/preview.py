"""One picture that shows a trigger: clean, the trigger alone, with the trigger, and what changed; and below, for a
stamp, what the physical world does to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from badnets.backdoors.trigger import Images, Regions, Trigger
from badnets.backdoors.triggers.jitter import NAMES, Jitter, takes_jitter, with_jitter
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng
from badnets.data.images import as_pil

_PANEL = 256
"""Small pictures are enlarged to about this many pixels."""

_INK, _FAINT, _PAPER = (32, 36, 44), (104, 110, 120), (255, 255, 255)
_CLEAN, _TRIGGERED = (31, 104, 180), (200, 88, 12)

_STRENGTHS = {
    "rotation": "by up to {:g} degrees",
    "blur": "Gaussian, up to {:g} px",
    "print_scan": "strength up to {:g}",
}
_DRAWS, _GAP = 16, 16
_MARGIN = 0.6
"""A close-up shows the stamp and this share of its longer side around it."""

_Panel = tuple[str, str, tuple[int, int, int], NDArray[np.uint8]]


def render_preview(
    trigger: Trigger,
    picture: NDArray[np.uint8],
    scale: int | None = None,
    *,
    region: NDArray[np.float32] | None = None,
    rng: RowRng | None = None,
    disturbed: bool = False,
) -> Image.Image:
    """Four panels side by side, RGB: clean, the trigger on graph paper, with the trigger, the difference.

    ``picture`` uint8 (h, w, 1 or 3); ``scale`` whole-number enlargement (nearest neighbor), by default to about 256
    pixels a side; ``region (4,)`` of the object; ``rng`` of one row, by default row 0 of seed 0. The difference is
    |with - clean|, as many times brighter as its label says, and the label counts the pixels that changed.
    ``disturbed`` adds a second row, if the trigger is a stamp: close-ups of it under each disturbance of
    ``Jitter.physical()`` alone, the strongest of 16 draws.
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
    gain = max(1, 255 // (int(difference.max(initial=0)) or 255))
    share = f"{np.count_nonzero(difference.any(axis=2)):,} of {difference[..., 0].size:,} pixels"
    panels = [
        ("clean", "", _CLEAN, clean[0]),
        (trigger.kind, "the trigger alone", _TRIGGERED, trigger.apply(paper, regions, row)[0]),
        ("with trigger", "", _TRIGGERED, dirty[0]),
        (f"difference x{gain}" if gain > 1 else "difference", share, _FAINT, difference * np.uint8(gain)),
    ]
    upper = _side_by_side(panels, scale)
    if not (disturbed and takes_jitter(trigger)):
        return upper
    lower = _close_ups(trigger, clean, regions, row, width=upper.width)
    sheet = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), _PAPER)
    sheet.paste(upper, (0, 0))
    sheet.paste(lower, (0, upper.height))
    return sheet


def _close_ups(trigger: Trigger, clean: Images, regions: Regions | None, row: RowRng, *, width: int) -> Image.Image:
    """A row as wide as ``width``: for each disturbance the stamp as it comes out where it changes the most."""
    amounts = Jitter.physical()
    still = with_jitter(trigger, None)
    panels: list[_Panel] = []
    boxes = []
    for name, title in NAMES.items():
        amount = getattr(amounts, name)
        shaken = with_jitter(trigger, Jitter.only(**{name: amount}))
        draws = [RowRng(row.seed.derive("draw", number), row.rows) for number in range(_DRAWS)]
        shown = [shaken.apply(clean, regions, draw)[0] for draw in draws]
        before = [still.apply(clean, regions, draw)[0] for draw in draws]
        most = int(np.argmax(np.abs(np.array(shown, int) - before).sum((1, 2, 3))))
        boxes.append(_box(shaken.mask(clean, regions, draws[most])[0]))
        note = _STRENGTHS.get(name, "by up to {:.0%}").format(amount)
        panels.append((title, note, _TRIGGERED, shown[most]))
    side = max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes)
    side = min(side + 2 * max(1, round(_MARGIN * side / 2)), *clean.shape[1:3])
    room = (width - _GAP) // len(panels) - _GAP
    scale = max(1, room // side)
    side = min(max(side, room // scale), *clean.shape[1:3])
    cut = [(t, note, color, _cut(p, box, side)) for (t, note, color, p), box in zip(panels, boxes, strict=True)]
    return _side_by_side(cut, scale, gap=_GAP)


def _box(mask: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """What the mask covers, as x0, y0, x1, y1; where it covers nothing, the pixel in the middle."""
    h, w = mask.shape
    return Image.fromarray((mask > 0).astype(np.uint8)).getbbox() or (w // 2, h // 2, w // 2 + 1, h // 2 + 1)


def _cut(picture: NDArray[np.uint8], box: tuple[int, int, int, int], side: int) -> NDArray[np.uint8]:
    """A square of the picture around ``box``, moved inward where it would reach over an edge."""
    middle = ((box[1] + box[3]) // 2, (box[0] + box[2]) // 2)
    y, x = (int(np.clip(at - side // 2, 0, most - side)) for at, most in zip(middle, picture.shape[:2], strict=True))
    return picture[y : y + side, x : x + side]


def graph_paper(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Mid-grey paper with faint lines: a stamp, a wave and a warp all show on it. (height, width, channels)."""
    paper = np.full((height, width, channels), 150, np.uint8)
    step = max(8, round(max(height, width) / 8))
    rows, columns = ((np.arange(side) - step // 2) % step < max(1, step // 16) for side in (height, width))
    paper[rows] = paper[:, columns] = 176
    return paper


def _side_by_side(panels: list[_Panel], scale: int, *, gap: int | None = None) -> Image.Image:
    """Enlarged panels with a title each (colored bar, name, note below the name)."""
    height, width = (side * scale for side in panels[0][3].shape[:2])
    size = int(np.clip(width // 16, 10, 18))
    note = max(9, size - 3)
    title_font, note_font = ImageFont.load_default(size), ImageFont.load_default(note)
    gap, head = gap or max(8, size), 4 + size + note + 14
    sheet = Image.new("RGB", (len(panels) * (width + gap) + gap, gap + head + height + gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (title, text, color, pixels) in enumerate(panels):
        x, y = gap + number * (width + gap), gap
        draw.rectangle([x, y, x + width - 1, y + 2], fill=color)
        draw.text((x, y + 6), title, fill=_INK, font=title_font)
        draw.text((x, y + 6 + size + 3), text, fill=_FAINT, font=note_font)
        sheet.paste(as_pil(pixels).resize((width, height), Image.Resampling.NEAREST), (x, y + head))
    return sheet
