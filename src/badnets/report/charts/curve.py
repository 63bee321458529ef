"""A study's curves: figures over an axis with their intervals, and how they are told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from badnets.core.rate import Interval
from badnets.records.blocks import Curve, Series
from badnets.report.charts.axes import Frame, Scale
from badnets.report.charts.figures import key, nice_ticks, shape
from badnets.report.charts.svg import element, number
from badnets.report.words.names import ends
from badnets.report.words.values import short_symbol, show_interval, show_tick, show_value

_FRAME = Frame(width=440, height=280, left=50, right=12, top=12, bottom=40)
_LOGARITHMIC = 20  # shares that span more than this are shown on a logarithmic axis
_MOST_AIR = 3.0  # an interval reaches at most this much above the largest value; beyond it is cut, and that is said
_FEW = 8  # points have whiskers and marks; one mark for each of sixty would hide the line
_ROOM = 34.0  # between two labels of the axis


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing with its legend, (mark, words), and what must be said of it."""

    svg: Markup
    legend: tuple[tuple[Markup, str], ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Dot:
    """A point that has a figure; ``low`` and ``high`` are its value where nothing is known of its error."""

    x: float
    value: float
    low: float
    high: float
    said: str


def curve(block: Curve) -> Drawing | None:
    """The curves in one frame; None where no point has a figure. Intervals of many points are pale areas."""
    lines = [(series, dots) for series in block.series if (dots := _dots(series, block))]
    if not lines:
        return None
    points = [dot for _, dots in lines for dot in dots]
    ticks = _ticks(points, block)
    places = sorted({dot.x for dot in points})
    few, bent = len(places) <= _FEW, block.percent_axis and places[0] > 0 and places[-1] / places[0] > _LOGARITHMIC
    named = places if few else nice_ticks(places[0], places[-1], count=6)
    straight = _FRAME.across(*map(_bend(bent), (named[0], named[-1])), inset=26 if few else 6)
    across: Scale = lambda x: straight(_bend(bent)(x))  # noqa: E731  # a scale is a function
    down = _FRAME.down(ticks[0], ticks[-1])
    drawn = [
        *_FRAME.rows((down(t), show_tick(t, block.unit) + short_symbol(block.unit)) for t in ticks),
        *_FRAME.columns(_apart([(across(x), _place(x, block)) for x in named]), block.axis),
    ]
    top = down(ticks[-1])
    for i, (series, dots) in enumerate(lines):
        # Side by side, or the interval of one would hide that of the other.
        aside = 8 * (i - (len(lines) - 1) / 2) if few else 0
        at = [(across(dot.x) + aside, dot) for dot in dots]
        drawn.append(_whiskers(series, at, down, top) if few else _band(series, at, down, top))
        every = 1 if few else -(-len(at) // _FEW)
        drawn.append(_line(series, at, down, start=i * every // len(lines), every=every))
    said = "; ".join(f"{series.name}: {_said(dots)}" for series, dots in lines) + "."
    spread = any(dot.low < dot.high for dot in points)
    remarks = {
        f"{'Lines up and down' if few else 'Pale areas'} are 95 % intervals.": spread,
        "Intervals that leave the drawing are cut.": any(dot.high > ticks[-1] or dot.low < ticks[0] for dot in points),
        "The axis is logarithmic.": bent,
    }
    return Drawing(
        svg=_FRAME.chart(*drawn, title=block.title, described=said, more="shares"),
        legend=tuple((key(shape(series.role, hollow=series.hollow)), series.name) for series, _ in lines),
        remarks=tuple(text for text, holds in remarks.items() if holds),
    )


def _dots(series: Series, block: Curve) -> list[_Dot]:
    points = sorted(series.points, key=lambda point: point.x)
    return [_dot(point.x, point.figure, block) for point in points if point.figure.value is not None]


def _dot(x: float, figure: Interval, block: Curve) -> _Dot:
    value, low, high = ends(figure)
    spread = f" ({show_interval(low, high, block.unit)})" if low < high else ""
    said = f"{show_value(value, block.unit)}{spread} at {_place(x, block)}"
    return _Dot(x=x, value=value, low=low, high=high, said=said)


def _ticks(dots: Sequence[_Dot], block: Curve) -> list[float]:
    """From 0 (or from the lowest, where that is below it) to what the figures need."""
    values = [dot.value for dot in dots]
    air = max(_MOST_AIR * max(map(abs, values)), 0.001)
    low, high = max(min(0.0, *(dot.low for dot in dots)), -air), min(max(dot.high for dot in dots), air)
    return [t for t in nice_ticks(low, high) if block.unit == "number" or t <= 1]


def _bend(bent: bool) -> Scale:
    return math.log if bent else float


def _place(x: float, block: Curve) -> str:
    return f"{round(100 * x, 4):g} %" if block.percent_axis else f"{x:g}"


def _apart(labels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without those that would run into the one before."""
    kept: list[tuple[float, str]] = []
    for x, text in labels:
        if not kept or x - kept[-1][0] >= _ROOM:
            kept.append((x, text))
    return kept


def _said(dots: Sequence[_Dot]) -> str:
    """A few of the points, the last one among them."""
    return ", ".join(dot.said for dot in dots[::-1][:: -(-len(dots) // _FEW)][::-1])


def _whiskers(series: Series, at: Sequence[tuple[float, _Dot]], down: Scale, top: float) -> Markup:
    return element("g", *(
        element("line", x1=x, x2=x, y1=down(dot.low), y2=max(down(dot.high), top), class_=f"whisker {series.role}")
        for x, dot in at if dot.low < dot.high
    ))  # fmt: skip


def _band(series: Series, at: Sequence[tuple[float, _Dot]], down: Scale, top: float) -> Markup:
    if not any(dot.low < dot.high for _, dot in at):
        return Markup("")
    upper = [f"{number(x)} {number(max(down(dot.high), top))}" for x, dot in at]
    lower = [f"{number(x)} {number(down(dot.low))}" for x, dot in reversed(at)]
    path = f"M{'L'.join(upper + lower)}Z"
    return element("path", d=path, class_=f"mark {series.role}", fill_opacity=0.13, stroke_opacity=0)


def _line(series: Series, at: Sequence[tuple[float, _Dot]], down: Scale, *, start: int, every: int) -> Markup:
    path = "M" + "L".join(f"{number(x)} {number(down(dot.value))}" for x, dot in at)
    # One curve's marks start further on than another's, or they would hide each other.
    marks = [
        element(
            "g",
            element("title", f"{series.name}: {dot.said}"),
            shape(series.role, hollow=series.hollow),
            transform=f"translate({number(x)} {number(down(dot.value))}){' scale(.7)' * (every > 1)}",
        )
        for x, dot in at[start::every]
    ]
    return element("g", element("path", d=path, class_=f"trend {series.role}{' dashed' * series.hollow}"), *marks)
