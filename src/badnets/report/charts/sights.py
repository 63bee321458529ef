"""What detectors see in a picture: boxes drawn over it, and the same as a table for those who read it.

A seen object belongs to the true one that it overlaps most, by at least half of both together, as in the measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from badnets.core.text import tenths
from badnets.records.run import Sighting, TrueObject
from badnets.report.charts.pictures import Picture, Pixels, picture
from badnets.report.charts.svg import Value, element, join
from badnets.report.words.names import readable

Box = tuple[float, float, float, float]
State = Literal["right", "wrong", "missed", "again"]
"""``again`` is a second sight of an object that is in the table already."""

WIDE, NARROW = 352, 336  # pixels of the screen: two beside each other on a desk, one on a phone
_TEXT, _LINE = 11.0, 16.0  # height of the letters of a tag and of the tag, in pixels of the screen
_LETTER = 0.53  # width of a letter, a share of its height
_HALF = 0.5
NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One line: what is ``there`` (``"nothing"``), where, what is said (``""`` if it is not seen) and how sure."""

    there: str
    box: Box
    said: str
    confidence: str
    state: State

    @property
    def words(self) -> str:
        """The text of its tag."""
        return f"{self.said} {self.confidence}" if self.said else f"{self.there} not seen"


def seen(true: Sequence[TrueObject], given: Sequence[Sighting]) -> list[Seen]:
    """What was said of each true object, in their order, then what was seen elsewhere; ``given`` by falling
    confidence."""
    taken: dict[int, int] = {}
    for number, one in enumerate(given):
        free = [k for k in range(len(true)) if k not in taken]
        best = max(free, key=lambda k: _overlap(true[k].box, one.box), default=None)
        if best is not None and _overlap(true[best].box, one.box) >= _HALF:
            taken[best] = number
    rows = []
    for k, there in enumerate(true):
        name = readable(there.class_name)
        if k in taken:
            one = given[taken[k]]
            rows.append(_seen(name, one, "right" if one.class_name == there.class_name else "wrong"))
        else:
            rows.append(Seen(there=name, box=there.box, said="", confidence="", state="missed"))
    for number, one in enumerate(given):
        if number not in taken.values():
            over = [readable(there.class_name) for there in true if _overlap(there.box, one.box) >= _HALF]
            rows.append(_seen(over[0] if over else NOTHING, one, "again" if over else "wrong"))
    return rows


def _seen(there: str, one: Sighting, state: State) -> Seen:
    confidence = f"{tenths(one.confidence)} %"
    return Seen(there=there, box=one.box, said=readable(one.class_name), confidence=confidence, state=state)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(across, 0.0) * max(down, 0.0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common
    return common / union if union > 0 else 0.0


def sight(pixels: Pixels, alt: str, rows: Sequence[Seen]) -> tuple[Picture, Markup]:
    """A picture, and the drawing that lies over it, hidden from screen readers: the table says the same."""
    shown = picture(pixels, alt, wide=WIDE, narrow=NARROW)
    height, width = pixels.shape[:2]
    unit = width / (shown.width * shown.wide)  # pixels of the picture to one of the screen
    tags: list[Box] = []
    boxes, texts = [], []
    for row in rows:
        boxes.append(_frame(row))
        place = _tag_place(row, tags, unit, (float(width), float(height)))
        tags.append(place)
        texts.append(_tag(row, place, unit))
    drawing = element(
        "svg", *boxes, *texts, viewBox=f"0 0 {width} {height}", class_="boxes", aria_hidden="true", focusable="false"
    )
    return shown, drawing


def _frame(row: Seen) -> Markup:
    x0, y0, x1, y1 = row.box
    sides = {"x": x0, "y": y0, "width": max(0.0, x1 - x0), "height": max(0.0, y1 - y0)}
    return join([element("rect", **sides, class_="halo"), element("rect", **sides, class_=f"box {row.state}")])


def _tag_place(row: Seen, taken: Sequence[Box], unit: float, size: tuple[float, float]) -> Box:
    """Above the box, else below it, else inside: the first place within the picture that covers no other tag."""
    x0, y0, _, y1 = row.box
    wide, high = (len(row.words) * _TEXT * _LETTER + 8) * unit, _LINE * unit
    left = min(max(0.0, x0), max(0.0, size[0] - wide))
    tops = [top for top in (y0 - high, y1, y0, y1 - high) if 0 <= top <= size[1] - high]
    tops = tops or [max(0.0, min(y0, size[1] - high))]
    places = [(left, top, left + wide, top + high) for top in tops]
    return next((p for p in places if not any(_touch(p, other) for other in taken)), places[0])


def _touch(first: Box, second: Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _tag(row: Seen, place: Box, unit: float) -> Markup:
    x0, y0, x1, y1 = place
    back = element("rect", x=x0, y=y0, width=x1 - x0, height=y1 - y0, rx=2 * unit, class_=f"tag {row.state}")
    base = y0 + (_LINE + _TEXT * 0.7) / 2 * unit
    # As long as the tag in any font: pages have none of their own.
    fitted: dict[str, Value] = {"textLength": x1 - x0 - 8 * unit, "lengthAdjust": "spacingAndGlyphs"}
    start = {"x": x0 + 4 * unit, "y": base, "font_size": _TEXT * unit}
    text = element("text", row.words, class_="on-color", **start, **fitted)
    return join([back, text])
