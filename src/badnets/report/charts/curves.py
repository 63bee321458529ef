"""Training curves: loss and accuracy of every epoch. Solid lines are the backdoored network, dashed ones the clean
reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from badnets.core.text import percent as in_percent
from badnets.records.model import Training
from badnets.report.charts.axes import Frame, Scale
from badnets.report.charts.figures import nice_ticks
from badnets.report.charts.svg import element, number

_FRAME = Frame(width=340, height=210)
_STEPS = Frame(width=480, height=220)
_MOST_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One training: ``points`` are (epoch, value)."""

    name: str
    reference: bool
    points: tuple[tuple[float, float], ...]


def curves(training: Sequence[Training], field: Literal["loss", "accuracy"]) -> list[Curve]:
    """The curves of ``loss`` or ``accuracy``; epochs without the value are left out, long runs are thinned."""
    found = []
    for one in training:
        points = [(float(e.epoch), v) for e in one.epochs if (v := getattr(e, field)) is not None]
        if points:
            thinned = points[:: -(-len(points) // _MOST_POINTS)]
            kept = thinned if thinned[-1] == points[-1] else [*thinned, points[-1]]
            name = f"{one.network}, seed {one.seed}"
            found.append(Curve(name=name, reference=one.network == "clean reference", points=tuple(kept)))
    return found


def curve_figure(drawn: Sequence[Curve], *, title: str, percent: bool) -> Markup:
    """One panel; ``percent`` writes the values as percentages."""
    values = [y for curve in drawn for _, y in curve.points]
    epochs = [x for curve in drawn for x, _ in curve.points]
    top = 1.0 if percent else max(values)
    ticks = nice_ticks(min(values) if percent else 0.0, top)
    first, last = min(epochs), max(epochs)
    across, down = _FRAME.across(first, last), _FRAME.down(ticks[0], ticks[-1])
    parts = [
        *_FRAME.rows((down(t), f"{100 * t:g}" if percent else f"{t:g}") for t in ticks),
        *_FRAME.columns(((across(t), f"{t:g}") for t in _whole_ticks(first, last)), "epoch"),
        *(_line(curve, across, down) for curve in sorted(drawn, key=lambda c: not c.reference)),
    ]
    return _FRAME.chart(*parts, title=title, described=_description(drawn, percent=percent))


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
        element("path", d="M" + "L".join(f"{number(x)} {number(y)}" for x, y, _ in dots), class_="trend clean"),
        *(element("circle", cx=x, cy=y, r=2.5, class_=f"mark clean{'' if kept else ' hollow'}") for x, y, kept in dots),
        title=f"{name} at each step",
        described=f"From {in_percent(line[0][1])} % at the first step to {in_percent(line[-1][1])} % at the last.",
    )


def _whole_ticks(first: float, last: float, most: int = 5) -> list[float]:
    """At most ``most`` + 1 whole numbers, the last one among them."""
    stride = max(1, -(-int(last - first) // most))
    ticks = [float(t) for t in range(int(last), int(first) - 1, -stride)]
    return ticks[::-1]


def _line(curve: Curve, across: Scale, down: Scale) -> Markup:
    kind = "reference" if curve.reference else "backdoored"
    dots = [(across(x), down(y)) for x, y in curve.points]
    path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in dots)
    name = element("title", curve.name)
    last = element("circle", cx=dots[-1][0], cy=dots[-1][1], r=3, class_=f"end {kind}")
    return element("g", name, element("path", d=path, class_=f"curve {kind}"), last)


def _description(drawn: Sequence[Curve], *, percent: bool) -> str:
    """Where every curve ends, for readers who do not see it."""
    ends = [
        f"{c.name} ends at {in_percent(c.points[-1][1])} %" if percent else f"{c.name} ends at {c.points[-1][1]:.3g}"
        for c in drawn[:12]
    ]
    return "; ".join(ends) + "."
