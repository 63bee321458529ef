"""Rates drawn as a dot with its interval. Blue circles are clean pictures, orange diamonds triggered ones;
filled marks are this network, hollow ones a clean network. Coordinates are shares of the width: the figure grows with
the page, and dots stay round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from badnets.core.rate import Interval, Mean
from badnets.records.blocks import Role
from badnets.report.charts.axes import Scale
from badnets.report.charts.svg import element, share
from badnets.report.words.names import ends


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One rate on a track: 0..1 all, ``seeds`` the values of the seeds; ``square`` where two figures of a role meet."""

    value: float
    low: float
    high: float
    role: Role
    hollow: bool = False
    square: bool = False
    seeds: tuple[float, ...] = ()
    label: str = ""


def mark(figure: Interval, role: Role, *, hollow: bool = False, square: bool = False, name: str = "") -> Mark:
    """A mark of a figure that has a value."""
    value, low, high = ends(figure)
    label = f"{name}: {figure}" if name else str(figure)
    return Mark(
        value=value, low=low, high=high, role=role, hollow=hollow, square=square, seeds=_seeds(figure), label=label
    )


def _seeds(figure: Interval) -> tuple[float, ...]:
    """Each seed's own value, of a mean."""
    return tuple(float(p) for p in figure.parts if p.value is not None) if isinstance(figure, Mean) else ()


def glyph(role: Role, *, hollow: bool = False, square: bool = False) -> Markup:
    """The mark alone, for legends; hidden from screen readers, the words beside it say the same."""
    return key(shape(role, hollow=hollow, square=square))


def key(drawn: Markup) -> Markup:
    """A mark drawn around (0, 0) as the key of a legend, hidden from screen readers."""
    return element("svg", drawn, class_="glyph", viewBox="-8 -8 16 16", width=14, height=14, aria_hidden="true")


def shape(role: Role, *, hollow: bool = False, square: bool = False) -> Markup:
    """The mark around (0, 0)."""
    name = f"mark {role}{' hollow' if hollow else ''}"
    if square:
        return element("path", d="M-4.2 -4.2H4.2V4.2H-4.2Z", class_=name)
    if role == "clean":
        return element("circle", r=5, class_=name)
    return element("path", d="M0 -6.5L6.5 0L0 6.5L-6.5 0Z", class_=name)


def placed(role: Role, x: float, y: float, *, hollow: bool = False, square: bool = False) -> Markup:
    """A shape at a share of the width: an inner drawing, because a path knows no percentages."""
    drawn = shape(role, hollow=hollow, square=square)
    return element("svg", drawn, x=share(x), y=y, overflow="visible", width=1, height=1)


def level(start: float, end: float, y: float, name: str) -> Markup:
    """A line across, from share to share of the width."""
    return element("line", x1=share(start), x2=share(end), y1=y, y2=y, class_=name)


def upright(x: float, top: float, bottom: float, name: str) -> Markup:
    """A line down at a share of the width."""
    return element("line", x1=share(x), x2=share(x), y1=top, y2=bottom, class_=name)


def drawing(height: float, title: str, *parts: str, grid: Sequence[float] = (0, 0.25, 0.5, 0.75, 1)) -> Markup:
    """The parts over a grid of upright lines, as wide as the page lets them be."""
    behind = (upright(x, 0, height, "grid") for x in grid)
    words = element("title", title), *behind
    return element("svg", *words, *parts, class_="track", width="100%", height=height, role="img", aria_label=title)


def within(low: float, high: float) -> Scale:
    """From a value to its share of an axis; what lies outside is at its end."""
    return lambda value: min(1.0, max(0.0, (value - low) / (high - low)))


def track(marks: Sequence[Mark], *, title: str | None = None) -> Markup:
    """Marks on one axis from 0 to 100 %, each on its own lane with its interval; small ticks below are the seeds."""
    lane = 26.0 if len(marks) == 1 else 20.0
    parts: list[str] = []
    for i, m in enumerate(marks):
        y = lane * (i + 0.5)
        parts.append(level(m.low, m.high, y, f"interval {m.role}"))
        parts.extend(upright(seed, y + 7, y + 12, f"seed {m.role}") for seed in m.seeds)
        parts.append(placed(m.role, m.value, y, hollow=m.hollow))
    return drawing(lane * len(marks), title or "; ".join(m.label for m in marks), *parts)


def window(values: Sequence[float], *, least: float = 0.002) -> tuple[float, float]:
    """The ends of an axis on which ``values`` (at least one) fit with some air: round numbers, ``least`` apart or more;
    within 0..1 where the values are."""
    lowest, highest = min(values), max(values)
    air = max(0.12 * (highest - lowest), (least - (highest - lowest)) / 2)
    low, high = lowest - air, highest + air
    if lowest >= 0:
        low, high = max(0.0, low), max(high, least)
    if highest <= 1:
        low, high = min(low, 1.0 - least), min(1.0, high)
    ticks = nice_ticks(low, high, count=2)
    return ticks[0], ticks[-1]


def window_track(mark: Mark, ends: tuple[float, float], *, published: float | None = None) -> Markup:
    """One mark on an axis of its own, from ``ends[0]`` to ``ends[1]``; an upright line is the published figure."""
    height, y, x = 26.0, 13.0, within(*ends)
    parts: list[str] = []
    if ends[0] < 0 < ends[1]:
        parts.append(upright(x(0), 0, height, "zero"))
    if published is not None:
        parts.append(upright(x(published), 1, height - 1, "published"))
    parts.append(level(x(mark.low), x(mark.high), y, f"interval {mark.role}"))
    parts.append(placed(mark.role, x(mark.value), y, hollow=mark.hollow))
    return drawing(height, mark.label, *parts, grid=(0, 0.5, 1))


def bars(marks: Sequence[Mark], *, title: str) -> Markup:
    """One thin bar below another, each ending in its mark, with its interval."""
    step = 15.0
    parts: list[str] = []
    for i, m in enumerate(marks):
        y = step * (i + 0.5) + 1
        parts.append(level(0, m.value, y, f"bar {m.role}"))
        parts.append(level(m.low, m.high, y, f"interval {m.role}"))
        parts.append(placed(m.role, m.value, y, hollow=m.hollow, square=m.square))
    return drawing(step * len(marks) + 2, title, *parts)


def span(difference: Interval) -> float:
    """The half width of a symmetric axis on which a difference fits: 1, 2, 5, 10, 20, 50 or 100 points."""
    reach = max(map(abs, ends(difference)))
    return next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if reach <= s), 1.0)


def difference_track(difference: Interval, role: Role, name: str) -> Markup:
    """A difference with its interval around a zero line, on an axis of ``span`` to either side."""
    height, y, reach = 26.0, 13.0, span(difference)
    x = within(-reach, reach)
    value, low, high = map(x, ends(difference))
    seeds = (upright(x(one), y + 7, y + 12, f"seed {role}") for one in _seeds(difference))
    parts = upright(0.5, 0, height, "zero"), level(low, high, y, f"interval {role}"), *seeds, placed(role, value, y)
    return drawing(height, f"{name}: {difference}", *parts, grid=(0, 0.25, 0.75, 1))


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from at or below ``low`` to at or above ``high``."""
    if not high > low:
        high = low + 1
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]
