"""Pictures of a detector's run: what is there and what is seen, as boxes over the picture and as a table beside it.

A seen object belongs to the true one that it overlaps most, by at least half of both together, as in the measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup

from badnets.core.text import tenths
from badnets.records.run import SceneExample, Sighting, TrueObject
from badnets.report.charts.figures import key
from badnets.report.charts.svg import Value, element
from badnets.report.pages.pictures import Picture, Pictures, Pixels, pair, picture
from badnets.report.words.names import readable

Box = tuple[float, float, float, float]
State = Literal["right", "wrong", "missed", "again"]
"""``again`` is a second sight of an object that is in the table already."""

_MOST_PICTURES = 4
_SIZE = {"wide": 352, "narrow": 336}  # pixels of the screen: two beside each other on a desk, one on a phone
_TEXT, _LINE = 11.0, 16.0  # height of the letters of a tag and of the tag, in pixels of the screen
_LETTER = 0.53  # width of a letter, a share of its height
_HALF = 0.5
BOX_KEYS = {
    state: key(element("rect", x=-6, y=-5, width=12, height=10, class_=f"box {state}"))
    for state in ("right", "wrong", "missed")
}
"""A piece of a box's line for each state, for the legend."""


class Seen(NamedTuple):
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


class Side(NamedTuple):
    """A picture, the boxes that lie over it, and the same as a table: what is there, and what this detector and a clean
    one say of it (None: nothing of its own); ``compared`` with a clean detector."""

    image: Picture
    boxes: Markup
    caption: str
    compared: bool
    rows: list[tuple[str, Seen | None, Seen | None]]


def scenes(examples: Sequence[SceneExample], pictures: Pictures, trigger: str) -> list[tuple[str, list[Side]]]:
    """Each picture's title, and it without and with the trigger; the first is one on which the trigger changes what is
    seen."""
    shown = []
    for one in sorted(examples, key=lambda one: not _changed(one)):  # stable: the record's order otherwise
        if (both := pair(pictures, one.picture)) is not None:
            sides = [
                _side(one, both[0], one.clean, one.reference_clean, "without the trigger"),
                _side(one, both[1], one.triggered, one.reference_triggered, f"with {trigger}"),
            ]
            shown.append((one.title, sides))
    return shown[:_MOST_PICTURES]


def _side(
    one: SceneExample, pixels: Pixels, sightings: Sequence[Sighting], reference: Sequence[Sighting] | None, caption: str
) -> Side:
    rows, count = seen(one.true, sightings), len(one.true)
    other = None if reference is None else seen(one.true, reference)
    image, boxes = sight(pixels, f"{one.title} {caption}", rows)
    # A row for each true object with both answers, then for what one of the two sees elsewhere.
    beside: list[tuple[str, Seen | None, Seen | None]] = [
        (row.there, row, other[k] if other and k < count else None) for k, row in enumerate(rows)
    ]
    beside += [(row.there, None, row) for row in (other or [])[count:]]
    return Side(image, boxes, caption, other is not None, beside)


def _changed(one: SceneExample) -> bool:
    """Whether the detector says something else with the trigger, of an object that it names rightly without."""
    before, after = (seen(one.true, given) for given in (one.clean, one.triggered))
    lost = any(b.state == "right" != a.state for b, a in zip(before[: len(one.true)], after, strict=False))
    return lost or sum(a.state == "wrong" for a in after) > sum(b.state == "wrong" for b in before)


def seen(true: Sequence[TrueObject], given: Sequence[Sighting]) -> list[Seen]:
    """What was said of each true object, in their order, then what was seen elsewhere; ``given`` by falling
    confidence."""
    names = [readable(there.class_name) for there in true]
    rows = [Seen(name, there.box, "", "", "missed") for name, there in zip(names, true, strict=True)]
    for one in given:
        shares = [_overlap(there.box, one.box) for there in true]
        free = [k for k in range(len(true)) if rows[k].state == "missed"]
        best = max(free, key=shares.__getitem__, default=None)
        if best is not None and shares[best] >= _HALF:
            rows[best] = _seen(names[best], one, "right" if one.class_name == true[best].class_name else "wrong")
        else:
            again = [name for name, share in zip(names, shares, strict=True) if share >= _HALF]
            rows.append(_seen(again[0] if again else "nothing", one, "again" if again else "wrong"))
    return rows


def _seen(there: str, one: Sighting, state: State) -> Seen:
    return Seen(there, one.box, readable(one.class_name), f"{tenths(one.confidence)} %", state)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(across, 0.0) * max(down, 0.0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common
    return common / union if union > 0 else 0.0


def sight(pixels: Pixels, alt: str, rows: Sequence[Seen]) -> tuple[Picture, Markup]:
    """A picture, and the drawing that lies over it, hidden from screen readers: the table says the same."""
    shown = picture(pixels, alt, **_SIZE)
    height, width = pixels.shape[:2]
    unit = width / (shown.width * shown.wide)  # pixels of the picture to one of the screen
    tags: list[Box] = []
    boxes, texts = [], []
    for row in rows:
        (x0, y0, x1, y1), place = row.box, _tag_place(row, tags, unit, (width, height))
        sides = {"x": x0, "y": y0, "width": max(0.0, x1 - x0), "height": max(0.0, y1 - y0)}
        boxes += [element("rect", **sides, class_="halo"), element("rect", **sides, class_=f"box {row.state}")]
        texts += _tag(row, place, unit)
        tags.append(place)
    box, hidden = f"0 0 {width} {height}", {"aria_hidden": "true", "focusable": "false"}
    return shown, element("svg", *boxes, *texts, viewBox=box, class_="boxes", **hidden)


def _tag_place(row: Seen, taken: Sequence[Box], unit: float, size: tuple[int, int]) -> Box:
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


def _tag(row: Seen, place: Box, unit: float) -> list[Markup]:
    x0, y0, x1, y1 = place
    base = y0 + (_LINE + _TEXT * 0.7) / 2 * unit
    # As long as the tag in any font: pages have none of their own.
    fitted: dict[str, Value] = {"textLength": x1 - x0 - 8 * unit, "lengthAdjust": "spacingAndGlyphs"}
    start = {"x": x0 + 4 * unit, "y": base, "font_size": _TEXT * unit}
    return [
        element("rect", x=x0, y=y0, width=x1 - x0, height=y1 - y0, rx=2 * unit, class_=f"tag {row.state}"),
        element("text", row.words, class_="on-color", **start, **fitted),
    ]
