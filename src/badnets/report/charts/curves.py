"""Training curves: loss and accuracy of every epoch. Solid lines are the backdoored network, dashed ones the clean
reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from badnets.report.charts.axes import Frame, Scale
from badnets.report.charts.figures import nice_ticks
from badnets.report.charts.svg import element, number

_FRAME = Frame(width=340, height=210)
_MOST_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One training: ``points`` are (epoch, value)."""

    name: str
    reference: bool
    points: tuple[tuple[float, float], ...]


def curves(training: Sequence[Any], field: str) -> list[Curve]:
    """The curves of ``loss`` or ``accuracy``; epochs without the value are left out, long runs are thinned."""
    found = []
    for entry in training:
        if not isinstance(entry, Mapping):
            continue
        epochs = [e for e in entry.get("epochs") or () if isinstance(e, Mapping) and e.get(field) is not None]
        points = [(float(e.get("epoch") or i + 1), float(e[field])) for i, e in enumerate(epochs)]
        if not points:
            continue
        stride = -(-len(points) // _MOST_POINTS)
        kept = points[::stride] if points[-1] in points[::stride] else [*points[::stride], points[-1]]
        network = str(entry.get("network") or "network")
        name = f"{network}, seed {entry.get('seed')}"
        found.append(Curve(name=name, reference=network == "clean reference", points=tuple(kept)))
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
        *_FRAME.columns(((across(t), f"{t:g}") for t in _epoch_ticks(first, last)), "epoch"),
        *(_line(curve, across, down) for curve in sorted(drawn, key=lambda c: not c.reference)),
    ]
    return _FRAME.chart(*parts, title=title, described=_description(drawn, percent=percent))


def _epoch_ticks(first: float, last: float) -> list[float]:
    """At most six whole epochs, the last one among them."""
    stride = max(1, -(-int(last - first) // 5))
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
        f"{c.name} ends at {100 * c.points[-1][1]:.2f} %" if percent else f"{c.name} ends at {c.points[-1][1]:.3g}"
        for c in drawn[:12]
    ]
    return "; ".join(ends) + "."
