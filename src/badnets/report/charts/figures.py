"""Figures drawn as dots and bars with their intervals. Blue circles are clean pictures, orange diamonds triggered ones;
filled marks are this network, hollow ones a clean network. Coordinates are shares of the width: the figure grows with
the page, and dots stay round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from badnets.core.rate import Interval, Mean
from badnets.records.blocks import Bar, Bars, Role
from badnets.report.charts.svg import Scale, element, nice_ticks, share
from badnets.report.words.names import ends
from badnets.report.words.values import show_interval, show_tick, show_value, symbol

_TRACK = 26.0  # the height of a track of one figure, in screen pixels
_LANE = 20.0  # and of one of several; the figures beside bars are lines of this height
_QUARTERS = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Mark:
    """A figure that has a value, by name: ``hollow`` of a clean network, ``square`` where two figures of a role meet;
    ``note`` stands beside the name in tables."""

    name: str
    role: Role
    figure: Interval
    hollow: bool = False
    square: bool = False
    note: str = ""

    @property
    def label(self) -> str:
        """The drawing in words."""
        return f"{self.name}: {self.figure}"


def key(drawn: Markup) -> Markup:
    """A mark drawn around (0, 0) as the key of a legend, hidden from screen readers: the words beside it say the
    same."""
    return element("svg", drawn, class_="glyph", viewBox="-8 -8 16 16", width=14, height=14, aria_hidden="true")


def glyph(role: Role, *, hollow: bool = False, square: bool = False) -> Markup:
    """The mark alone, for legends."""
    return key(shape(role, hollow=hollow, square=square))


def shape(role: Role, *, hollow: bool = False, square: bool = False) -> Markup:
    """The mark around (0, 0)."""
    name = f"mark {role}{' hollow' * hollow}"
    if square:
        return element("path", d="M-4.2 -4.2H4.2V4.2H-4.2Z", class_=name)
    if role == "clean":
        return element("circle", r=5, class_=name)
    return element("path", d="M0 -6.5L6.5 0L0 6.5L-6.5 0Z", class_=name)


def _placed(mark: Mark | Bar, value: float, y: float, *, square: bool = False) -> Markup:
    """Its shape at a share of the width: an inner drawing, because a path knows no percentages."""
    drawn = shape(mark.role, hollow=mark.hollow, square=square)
    return element("svg", drawn, x=share(value), y=y, overflow="visible", width=1, height=1)


def _level(start: float, end: float, y: float, name: str) -> Markup:
    """A line across, from share to share of the width."""
    return element("line", x1=share(start), x2=share(end), y1=y, y2=y, class_=name)


def _upright(x: float, top: float, bottom: float, name: str) -> Markup:
    """A line down at a share of the width."""
    return element("line", x1=share(x), x2=share(x), y1=top, y2=bottom, class_=name)


def _drawing(height: float, title: str, *parts: str, grid: Sequence[float] = _QUARTERS) -> Markup:
    """The parts over a grid of upright lines, as wide as the page lets them be."""
    behind = (_upright(x, 0, height, "grid") for x in grid)
    words = element("title", title), *behind
    return element("svg", *words, *parts, class_="track", width="100%", height=height, role="img", aria_label=title)


def _within(low: float, high: float) -> Scale:
    """From a value to its share of an axis; what lies outside is at its end."""
    return lambda value: min(1.0, max(0.0, (value - low) / (high - low)))


def _bar(mark: Mark | Bar, y: float, across: Scale, *, square: bool = False) -> list[Markup]:
    """A thin bar from zero that ends in its mark, with its interval."""
    value, low, high = map(across, ends(mark.figure))
    return [
        _level(across(0.0), value, y, f"bar {mark.role}"),
        _level(low, high, y, f"interval {mark.role}"),
        _placed(mark, value, y, square=square),
    ]


def track(
    marks: Sequence[Mark],
    *,
    axis: tuple[float, float] = (0.0, 1.0),
    title: str = "",
    grid: Sequence[float] = _QUARTERS,
    behind: Sequence[Markup] = (),
) -> Markup:
    """Marks on one axis, each on its own lane with its interval; small ticks below are the seeds of a mean."""
    lane, across = _TRACK if len(marks) == 1 else _LANE, _within(*axis)
    parts = [*behind]
    for i, mark in enumerate(marks):
        y, (value, low, high) = lane * (i + 0.5), map(across, ends(mark.figure))
        seeds = mark.figure.parts if isinstance(mark.figure, Mean) else ()
        parts.append(_level(low, high, y, f"interval {mark.role}"))
        parts += [
            _upright(across(float(seed)), y + 7, y + 12, f"seed {mark.role}")
            for seed in seeds
            if seed.value is not None
        ]
        parts.append(_placed(mark, value, y))
    return _drawing(lane * len(marks), title or "; ".join(mark.label for mark in marks), *parts, grid=grid)


def window(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis on which ``values`` (at least one) fit with some air: round numbers, at least 0.2 points
    apart, or noise would look like a finding; within 0..1 where the values are."""
    lowest, highest, least = min(values), max(values), 0.002
    air = max(0.12 * (highest - lowest), (least - (highest - lowest)) / 2)
    low, high = lowest - air, highest + air
    if lowest >= 0:
        low, high = max(0.0, low), max(high, least)
    if highest <= 1:
        low, high = min(low, 1.0 - least), min(1.0, high)
    ticks = nice_ticks(low, high, count=2)
    return ticks[0], ticks[-1]


def window_track(mark: Mark, axis: tuple[float, float], *, title: str, published: float | None = None) -> Markup:
    """One mark on an axis of its own, from end to end; an upright line is the published figure."""
    behind, across = [], _within(*axis)
    if axis[0] < 0 < axis[1]:
        behind.append(_upright(across(0), 0, _TRACK, "zero"))
    if published is not None:
        behind.append(_upright(across(published), 1, _TRACK - 1, "published"))
    return track([mark], axis=axis, title=title, grid=(0, 0.5, 1), behind=behind)


def span(difference: Interval) -> float:
    """The half width of a symmetric axis on which a difference fits: 1, 2, 5, 10, 20, 50 or 100 points."""
    reach = max(map(abs, ends(difference)))
    return next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if reach <= s), 1.0)


def difference_track(mark: Mark) -> Markup:
    """A difference with its interval around a zero line, on an axis of ``span`` to either side."""
    reach = span(mark.figure)
    zero = _upright(0.5, 0, _TRACK, "zero")
    return track([mark], axis=(-reach, reach), grid=(0, 0.25, 0.75, 1), behind=[zero])


def bars(marks: Sequence[Mark], *, title: str) -> Markup:
    """One thin bar below another, each ending in its mark, with its interval."""
    step, across = 15.0, _within(0.0, 1.0)
    parts = [part for i, m in enumerate(marks) for part in _bar(m, step * (i + 0.5) + 1, across, square=m.square)]
    return _drawing(step * len(marks) + 2, title, *parts)


class BarLine(NamedTuple):
    """A line of a study's bars: for each of them the figure, its interval, what was published, as text."""

    name: str
    svg: Markup
    figures: list[tuple[str, str, str]]


class BarTable(NamedTuple):
    """All lines, the ticks of their axis from left to right, and the legend, (mark, words)."""

    lines: list[BarLine]
    axis: list[str]
    legend: list[tuple[Markup, str]]
    published: bool


def bar_table(block: Bars) -> BarTable | None:
    """The lines of a block, on one axis, upright lines where the published figures are; None where no bar has one."""
    shown = [bar for bar in block.bars if bar.figure.value is not None]
    if not shown:
        return None
    spread = [end for bar in shown for end in ends(bar.figure)]
    beside = [bar.published for bar in shown if bar.published is not None]
    ticks = nice_ticks(min(0.0, *beside, *spread), max(0.0, *beside, *spread), count=2)
    ticks = [t for t in ticks if block.unit == "number" or t <= 1]
    lines = [(name, list(bars)) for name, bars in groupby(shown, key=lambda bar: bar.name)]
    legend: dict[tuple[Role, bool], dict[str, None]] = {}
    for bar in shown:
        legend.setdefault((bar.role, bar.hollow), {})[bar.what] = None
    return BarTable(
        lines=[_bar_line(name, bars, block.unit, ticks) for name, bars in lines],
        axis=[show_tick(t, block.unit) + symbol(block.unit, short=True) * (t == ticks[-1]) for t in ticks],
        legend=[(glyph(role, hollow=hollow), ", ".join(words)) for (role, hollow), words in legend.items()],
        published=bool(beside),
    )


def _bar_line(name: str, bars: Sequence[Bar], unit: str, ticks: Sequence[float]) -> BarLine:
    across, parts, figures, said = _within(ticks[0], ticks[-1]), [], [], []
    for lane, bar in enumerate(bars):
        y = _LANE * (lane + 0.5)
        value, spread = show_value(bar.figure.value, unit), show_interval(*bar.figure.ends, unit)
        published = ""
        parts += _bar(bar, y, across)
        words = f"{bar.what} {value}{f' ({spread})' if spread else ''}"
        if bar.published is not None:
            published = show_value(bar.published, unit)
            words += f"; published {published}"
            parts.append(_upright(across(bar.published), y - 7, y + 7, "published"))
        figures.append((value, spread, published))
        said.append(words.strip())
    title, grid = f"{name}: {'; '.join(said)}", [across(t) for t in ticks]
    return BarLine(name, _drawing(_LANE * len(bars), title, *parts, grid=grid), figures)
