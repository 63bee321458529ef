"""Charts with two axes: a study's curves and scatter plots, the curves of a training, the steps of a method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from badnets.core.text import percent as in_percent
from badnets.records.blocks import Curve, Dots, Scatter, Series
from badnets.records.model import Training
from badnets.report.charts.figures import glyph, shape
from badnets.report.charts.svg import Frame, Scale, element, nice_ticks, number, path
from badnets.report.words.names import ends
from badnets.report.words.values import show_interval, show_tick, show_value, symbol

_CURVE = Frame(width=440, height=280, left=50, right=12, top=12, bottom=40)
_TRAINING = Frame(width=340, height=210)
_STEPS = Frame(width=480, height=220)
_SCATTER = Frame(width=340, height=330, left=42, right=12, top=12, bottom=40)
_LOGARITHMIC = 20  # shares that span more than this are shown on a logarithmic axis
_MOST_AIR = 3.0  # an interval reaches at most this much above the largest value; beyond it is cut, and that is said
_FEW = 8  # points have whiskers and marks; one mark for each of sixty would hide the line
_ROOM = 34.0  # between two labels of the axis
_MOST_POINTS = 200  # of a training


class Drawing(NamedTuple):
    """A drawing with its legend, (mark, words), and what must be said of it."""

    svg: Markup
    legend: list[tuple[Markup, str]]
    remarks: list[str]


class _Dot(NamedTuple):
    """A point that has a figure; ``low`` and ``high`` are its value where nothing is known of its error."""

    x: float
    value: float
    low: float
    high: float
    said: str


def curve(block: Curve) -> Drawing | None:
    """A study's curves in one frame; None where no point has a figure. Intervals of many points are pale areas."""
    lines = [(series, dots) for series in block.series if (dots := _dots(series, block))]
    if not lines:
        return None
    points = [dot for _, dots in lines for dot in dots]
    ticks = _ticks(points, block)
    places = sorted({dot.x for dot in points})
    few, bent = len(places) <= _FEW, block.percent_axis and places[0] > 0 and places[-1] / places[0] > _LOGARITHMIC
    named = places if few else nice_ticks(places[0], places[-1], count=6)
    bend: Scale = math.log if bent else float
    straight = _CURVE.across(bend(named[0]), bend(named[-1]), inset=26 if few else 6)
    across: Scale = lambda x: straight(bend(x))  # noqa: E731  # a scale is a function
    down = _CURVE.down(ticks[0], ticks[-1])
    drawn = [
        *_CURVE.rows((down(t), show_tick(t, block.unit) + symbol(block.unit, short=True)) for t in ticks),
        *_CURVE.columns(_apart([(across(x), _place(x, block)) for x in named]), block.axis),
    ]
    for i, (series, dots) in enumerate(lines):
        # Side by side, or the interval of one would hide that of the other.
        aside = 8 * (i - (len(lines) - 1) / 2) if few else 0
        at = [(across(dot.x) + aside, dot) for dot in dots]
        drawn.append((_whiskers if few else _band)(series, at, down, down(ticks[-1])))
        every = 1 if few else -(-len(at) // _FEW)
        drawn.append(_line(series, at, down, start=i * every // len(lines), every=every))
    said = "; ".join(f"{series.name}: {_said(dots)}" for series, dots in lines) + "."
    remarks = {
        f"{'Lines up and down' if few else 'Pale areas'} are 95 % intervals.": any(d.low < d.high for d in points),
        "Intervals that leave the drawing are cut.": any(d.high > ticks[-1] or d.low < ticks[0] for d in points),
        "The axis is logarithmic.": bent,
    }
    return Drawing(
        svg=_CURVE.chart(*drawn, title=block.title, described=said, more="shares"),
        legend=[(glyph(series.role, hollow=series.hollow), series.name) for series, _ in lines],
        remarks=[text for text, holds in remarks.items() if holds],
    )


def _dots(series: Series, block: Curve) -> list[_Dot]:
    dots = []
    for point in sorted(series.points, key=lambda point: point.x):
        if point.figure.value is not None:
            value, low, high = ends(point.figure)
            spread = f" ({show_interval(low, high, block.unit)})" if low < high else ""
            said = f"{show_value(value, block.unit)}{spread} at {_place(point.x, block)}"
            dots.append(_Dot(point.x, value, low, high, said))
    return dots


def _ticks(dots: Sequence[_Dot], block: Curve) -> list[float]:
    """From 0 (or from the lowest, where that is below it) to what the figures need."""
    air = max(_MOST_AIR * max(abs(dot.value) for dot in dots), 0.001)
    low, high = max(min(0.0, *(dot.low for dot in dots)), -air), min(max(dot.high for dot in dots), air)
    return [t for t in nice_ticks(low, high) if block.unit == "number" or t <= 1]


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
        return Markup()
    upper = [(x, max(down(dot.high), top)) for x, dot in at]
    outline = path([*upper, *((x, down(dot.low)) for x, dot in reversed(at))]) + "Z"
    return element("path", d=outline, class_=f"mark {series.role}", fill_opacity=0.13, stroke_opacity=0)


def _line(series: Series, at: Sequence[tuple[float, _Dot]], down: Scale, *, start: int, every: int) -> Markup:
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
    d, name = path((x, down(dot.value)) for x, dot in at), f"trend {series.role}{' dashed' * series.hollow}"
    return element("g", element("path", d=d, class_=name), *marks)


def scatter(block: Scatter) -> list[tuple[str, Markup]]:
    """For each plot its name and its drawing; the line from corner to corner is where both measures are the same."""
    plots = [plot for plot in block.plots if plot.points]
    top = max((max(point) for plot in plots for point in plot.points), default=1.0)
    return [(plot.name, _plot(plot, block, nice_ticks(0.0, top))) for plot in plots]


def _plot(plot: Dots, block: Scatter, ticks: list[float]) -> Markup:
    across, down = _SCATTER.across(0.0, ticks[-1], inset=7), _SCATTER.down(0.0, ticks[-1])
    plain, marked = "", ""
    for i, (a, b) in enumerate(plot.points):
        x, y = across(max(a, 0.0)), down(max(b, 0.0))
        if i in plot.marked:
            marked += f"M{number(x)} {number(y - 4)}l4 4-4 4-4-4z"
        else:
            plain += f"M{number(x)} {number(y)}h0"
    parts = [
        *_SCATTER.rows((down(t), f"{t:g}") for t in ticks),
        *_SCATTER.columns(((across(t), f"{t:g}") for t in ticks), block.x),
        element("line", x1=across(0.0), y1=down(0.0), x2=across(ticks[-1]), y2=down(ticks[-1]), class_="zero"),
        *(element("path", d=d, class_=name) for d, name in ((plain, "units"), (marked, "units moved")) if d),
    ]
    xs, ys = zip(*plot.points, strict=True)
    said = f"{len(plot.points)} dots; {len(plot.marked)} of them are marked: {block.marked or 'see the note'}. "
    said += f"The largest {block.x}: {max(xs):.3g}; the largest {block.y}: {max(ys):.3g}."
    return _SCATTER.chart(*parts, title=f"{block.title}, {plot.name}", described=said, more="codes")


class _Training(NamedTuple):
    """The curve of one training of a ``kind`` (backdoored or reference): ``points`` are (epoch, value)."""

    name: str
    kind: str
    points: list[tuple[float, float]]


def training_figures(training: Sequence[Training]) -> list[tuple[str, Markup]]:
    """The curves of loss and, of classifiers, accuracy, with their titles; none of what no epoch has a value of."""
    fields = (("Training loss", "loss"), ("Training accuracy, %", "accuracy"))
    drawn = [(title, _curves(training, field), field == "accuracy") for title, field in fields]
    return [(title, _panel(curves, title, percent=percent)) for title, curves, percent in drawn if curves]


def _curves(training: Sequence[Training], field: str) -> list[_Training]:
    """Epochs without the value are left out, long runs are thinned."""
    curves = []
    for one in training:
        points = [(float(e.epoch), v) for e in one.epochs if (v := getattr(e, field)) is not None]
        if points:
            thinned = points[:: -(-len(points) // _MOST_POINTS)]
            kept = thinned if thinned[-1] == points[-1] else [*thinned, points[-1]]
            kind = "reference" if one.network == "clean reference" else "backdoored"
            curves.append(_Training(f"{one.network}, seed {one.seed}", kind, kept))
    return curves


def _panel(curves: Sequence[_Training], title: str, *, percent: bool) -> Markup:
    epochs, values = zip(*(point for curve in curves for point in curve.points), strict=True)
    ticks = nice_ticks(min(values) if percent else 0.0, 1.0 if percent else max(values))
    first, last = min(epochs), max(epochs)
    across, down = _TRAINING.across(first, last), _TRAINING.down(ticks[0], ticks[-1])
    drawn = []
    for name, kind, points in sorted(curves, key=lambda curve: curve.kind, reverse=True):  # ours above the references
        d, (x, y) = path((across(x), down(y)) for x, y in points), points[-1]
        end = element("circle", cx=across(x), cy=down(y), r=3, class_=f"end {kind}")
        drawn.append(element("g", element("title", name), element("path", d=d, class_=f"curve {kind}"), end))
    lasts = [(curve.name, curve.points[-1][1]) for curve in curves[:12]]
    said = [f"{name} ends at {f'{in_percent(y)} %' if percent else f'{y:.3g}'}" for name, y in lasts]
    return _TRAINING.chart(
        *_TRAINING.rows((down(t), f"{100 * t:g}" if percent else f"{t:g}") for t in ticks),
        *_TRAINING.columns(((across(t), f"{t:g}") for t in _whole_ticks(first, last)), "epoch"),
        *drawn,
        title=title,
        described="; ".join(said) + ".",
    )


def step_figure(name: str, line: Sequence[tuple[float, float, bool]]) -> Markup:
    """A share at each step of a method, (step, share, kept); steps that are not in the result are hollow."""
    lowest, highest = min(y for _, y, _ in line), max(y for _, y, _ in line)
    ticks = [t for t in nice_ticks(lowest, max(highest, lowest + 0.02)) if t <= 1]
    across = _STEPS.across(line[0][0], line[-1][0], inset=8)
    down = _STEPS.down(ticks[0], max(ticks[-1], highest))
    dots = [(across(x), down(y), kept) for x, y, kept in line]
    return _STEPS.chart(
        *_STEPS.rows((down(t), f"{100 * t:g}") for t in ticks),
        *_STEPS.columns(((across(t), f"{t:g}") for t in _whole_ticks(line[0][0], line[-1][0], 8)), "step"),
        element("path", d=path((x, y) for x, y, _ in dots), class_="trend clean"),
        *(element("circle", cx=x, cy=y, r=2.5, class_=f"mark clean{' hollow' * (not kept)}") for x, y, kept in dots),
        title=f"{name} at each step",
        described=f"From {in_percent(line[0][1])} % at the first step to {in_percent(line[-1][1])} % at the last.",
    )


def _whole_ticks(first: float, last: float, most: int = 5) -> list[float]:
    """At most ``most`` + 1 whole numbers, the last one among them."""
    stride = max(1, -(-int(last - first) // most))
    return [float(t) for t in range(int(last), int(first) - 1, -stride)][::-1]
