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
from badnets.report.charts.svg import element, join, share
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


def _placed(role: Role, x: float, y: float, *, hollow: bool = False, square: bool = False) -> Markup:
    """A shape at a share of the width: an inner drawing, because a path knows no percentages."""
    return element(
        "svg", shape(role, hollow=hollow, square=square), x=share(x), y=y, overflow="visible", width=1, height=1
    )


def _grid(height: float, ticks: Sequence[float] = (0, 0.25, 0.5, 0.75, 1)) -> Markup:
    return join([element("line", x1=share(t), x2=share(t), y1=0, y2=height, class_="grid") for t in ticks])


def _drawing(height: float, title: str, *parts: str) -> Markup:
    name = element("title", title)
    return element("svg", name, *parts, class_="track", width="100%", height=height, role="img", aria_label=title)


def track(marks: Sequence[Mark], *, title: str | None = None) -> Markup:
    """Marks on one axis from 0 to 100 %, each on its own lane with its interval; small ticks below are the seeds."""
    lane = 26.0 if len(marks) == 1 else 20.0
    height = lane * len(marks)
    parts: list[str] = [_grid(height)]
    for i, m in enumerate(marks):
        y = lane * (i + 0.5)
        parts.append(element("line", x1=share(m.low), x2=share(m.high), y1=y, y2=y, class_=f"interval {m.role}"))
        parts.extend(
            element("line", x1=share(s), x2=share(s), y1=y + 7, y2=y + 12, class_=f"seed {m.role}") for s in m.seeds
        )
        parts.append(_placed(m.role, m.value, y, hollow=m.hollow))
    return _drawing(height, title or "; ".join(m.label for m in marks), *parts)


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
    height, y = 26.0, 13.0

    def x(value: float) -> float:
        return min(1.0, max(0.0, (value - ends[0]) / (ends[1] - ends[0])))

    parts: list[str] = [_grid(height, (0, 0.5, 1))]
    if ends[0] < 0 < ends[1]:
        parts.append(element("line", x1=share(x(0)), x2=share(x(0)), y1=0, y2=height, class_="zero"))
    if published is not None:
        there = share(x(published))
        parts.append(element("line", x1=there, x2=there, y1=1, y2=height - 1, class_="published"))
    ours = {"x1": share(x(mark.low)), "x2": share(x(mark.high))}
    parts.append(element("line", **ours, y1=y, y2=y, class_=f"interval {mark.role}"))
    parts.append(_placed(mark.role, x(mark.value), y, hollow=mark.hollow))
    return _drawing(height, mark.label, *parts)


def bars(marks: Sequence[Mark], *, title: str) -> Markup:
    """One thin bar below another, each ending in its mark, with its interval."""
    step = 15.0
    height = step * len(marks) + 2
    parts: list[str] = [_grid(height)]
    for i, m in enumerate(marks):
        y = step * (i + 0.5) + 1
        parts.append(element("line", x1="0%", x2=share(m.value), y1=y, y2=y, class_=f"bar {m.role}"))
        parts.append(element("line", x1=share(m.low), x2=share(m.high), y1=y, y2=y, class_=f"interval {m.role}"))
        parts.append(_placed(m.role, m.value, y, hollow=m.hollow, square=m.square))
    return _drawing(height, title, *parts)


def span(difference: Interval) -> float:
    """The half width of a symmetric axis on which a difference fits: 1, 2, 5, 10, 20, 50 or 100 points."""
    reach = max(map(abs, ends(difference)))
    return next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if reach <= s), 1.0)


def difference_track(difference: Interval, role: Role, name: str) -> Markup:
    """A difference with its interval around a zero line, on an axis of ``span`` to either side."""
    height, y, reach = 26.0, 13.0, span(difference)

    def x(value: float) -> float:
        return min(1.0, max(0.0, 0.5 + value / (2 * reach)))

    value, low, high = map(x, ends(difference))
    seeds = [share(x(one)) for one in _seeds(difference)]
    parts: list[str] = [
        _grid(height, (0, 0.25, 0.75, 1)),
        element("line", x1="50%", x2="50%", y1=0, y2=height, class_="zero"),
        element("line", x1=share(low), x2=share(high), y1=y, y2=y, class_=f"interval {role}"),
        *(element("line", x1=s, x2=s, y1=y + 7, y2=y + 12, class_=f"seed {role}") for s in seeds),
        _placed(role, value, y),
    ]
    return _drawing(height, f"{name}: {difference}", *parts)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from at or below ``low`` to at or above ``high``."""
    if not high > low:
        high = low + 1
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]
