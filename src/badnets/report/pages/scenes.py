"""Pictures of a detector's run: what is there, and what is seen without and with the trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from badnets.records.run import SceneExample, Sighting
from badnets.report.charts.figures import key
from badnets.report.charts.pictures import Picture, Pictures, Pixels, pair
from badnets.report.charts.sights import Seen, seen, sight
from badnets.report.charts.svg import element

MOST_PICTURES = 4
BOX_KEYS = {
    state: key(element("rect", x=-6, y=-5, width=12, height=10, class_=f"box {state}"))
    for state in ("right", "wrong", "missed")
}
"""A piece of a box's line for each state, for the legend."""


class Beside(NamedTuple):
    """What is ``there``, and what this detector and a clean one say of it (None: nothing of its own)."""

    there: str
    own: Seen | None
    reference: Seen | None


@dataclass(frozen=True, kw_only=True)
class Side:
    """A picture, the boxes that lie over it, and the same as a table; ``compared`` with a clean detector."""

    image: Picture
    boxes: Markup
    caption: str
    compared: bool
    rows: list[Beside]


class Scene(NamedTuple):
    """A picture without and with the trigger."""

    title: str
    sides: list[Side]


def scenes(examples: Sequence[SceneExample], pictures: Pictures, trigger: str) -> list[Scene]:
    """Each picture without and with the trigger; the first is one on which the trigger changes what is seen."""
    found = []
    for one in sorted(examples, key=lambda one: not _changed(one)):  # stable: the record's order otherwise
        if (both := pair(pictures, one.picture)) is not None:
            sides = [
                _side(one, both[0], one.clean, one.reference_clean, "without the trigger"),
                _side(one, both[1], one.triggered, one.reference_triggered, f"with {trigger}"),
            ]
            found.append(Scene(one.title, sides))
    return found[:MOST_PICTURES]


def _side(
    one: SceneExample,
    pixels: Pixels,
    own: Sequence[Sighting],
    reference: Sequence[Sighting] | None,
    caption: str,
) -> Side:
    rows, count = seen(one.true, own), len(one.true)
    other = None if reference is None else seen(one.true, reference)
    image, boxes = sight(pixels, f"{one.title} {caption}", rows)
    # A row for each true object with both answers, then for what one of the two sees elsewhere.
    beside = [Beside(row.there, row, None if other is None else other[k]) for k, row in enumerate(rows[:count])]
    beside += [Beside(row.there, row, None) for row in rows[count:]]
    beside += [Beside(row.there, None, row) for row in (other or [])[count:]]
    return Side(image=image, boxes=boxes, caption=caption, compared=other is not None, rows=beside)


def _changed(one: SceneExample) -> bool:
    """Whether the detector says something else with the trigger, of an object that it names rightly without."""
    before, after = (seen(one.true, given) for given in (one.clean, one.triggered))
    lost = any(b.state == "right" != a.state for b, a in zip(before[: len(one.true)], after, strict=False))
    return lost or sum(a.state == "wrong" for a in after) > sum(b.state == "wrong" for b in before)
