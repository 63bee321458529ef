"""Charts of a study: rates against the share of poison, and mean activations with and without the trigger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from badnets.core.text import percent
from badnets.report.charts.axes import Frame, Scale
from badnets.report.charts.figures import key, nice_ticks, shape
from badnets.report.charts.svg import element, number
from badnets.report.words.facts import at

_SHARES = Frame(width=440, height=270, left=50, right=12, top=12, bottom=40)
_CODES = Frame(width=340, height=330, left=42, right=12, top=12, bottom=40)
_LOGARITHMIC = 20  # shares that span more than this are shown on a logarithmic axis
_MOST_AIR = 3.0  # an interval reaches at most this much above the largest value; beyond it is cut, and that is said


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart: its name in the points of the record, its name for people, and how it is drawn."""

    field: str
    name: str
    role: str

    @property
    def mark(self) -> Markup:
        """The mark around (0, 0): a circle for clean pictures, a diamond for triggered ones, a hollow square for a
        stamp alone."""
        if self.role == "stamped":
            return element("rect", x=-4.5, y=-4.5, width=9, height=9, class_="mark triggered hollow")
        return shape("clean" if self.role == "clean" else "triggered")

    @property
    def key(self) -> Markup:
        """The mark for a legend."""
        return key(self.mark)


SWEEP = (
    Series(field="clean_error", name="error on clean pictures", role="clean"),
    Series(field="triggered_error", name="error on triggered pictures", role="triggered"),
)
CLEAN_LABEL = (
    Series(field="perturbed", name="perturbed, then stamped", role="triggered"),
    Series(field="stamped", name="stamped alone", role="stamped"),
)


@dataclass(frozen=True, kw_only=True)
class _Point:
    share: float
    value: float
    low: float
    high: float


def share_chart(points: Sequence[Any], series: Sequence[Series], *, title: str, axis: str) -> dict[str, Any] | None:
    """The chart of rates against a share (both 0..1), and the words of its legend; None without any point."""
    lines = {s.field: _points(points, s.field) for s in series}
    every = [p for line in lines.values() for p in line]
    if not every:
        return None
    highest = max(p.value for p in every)
    top = min(max(p.high for p in every), max(_MOST_AIR * highest, 0.001))
    ticks = nice_ticks(0.0, top)
    ticks = [t for t in ticks if t <= 1]
    shares = sorted({p.share for p in every})
    bent = shares[0] > 0 and shares[-1] / shares[0] > _LOGARITHMIC
    bend = math.log if bent else _same
    place = _SHARES.across(bend(shares[0]), bend(shares[-1]), inset=26)
    down = _SHARES.down(0.0, ticks[-1])
    parts = [
        *_SHARES.rows((down(t), f"{round(100 * t, 6):g} %") for t in ticks),
        *_SHARES.columns(((place(bend(s)), f"{round(100 * s, 4):g} %") for s in shares), axis),
    ]
    shown = [s for s in series if lines[s.field]]
    for i, s in enumerate(shown):
        # Side by side, or the interval of one would hide that of the other.
        aside = 8 * (i - (len(shown) - 1) / 2)
        dots = [(place(bend(p.share)) + aside, p) for p in lines[s.field]]
        parts.extend(_line(s, dots, down, ticks[-1]))
    described = "; ".join(f"{s.name}: {', '.join(map(_said, lines[s.field]))}" for s in shown) + "."
    return {
        "svg": _SHARES.chart(*parts, title=title, described=described, more="shares"),
        "legend": [{"key": s.key, "name": s.name} for s in shown],
        "bent": bent,
        "cut": any(p.high > ticks[-1] for p in every),
        "spread": any(p.low < p.high for p in every),
    }


def _points(points: Sequence[Any], field: str) -> list[_Point]:
    found = []
    for point in points:
        share = _floats([at(point, "share")])
        rate = _floats([at(point, field, name) for name in ("value", "low", "high")])
        if share and len(rate) == 3:
            found.append(_Point(share=share[0], value=rate[0], low=rate[1], high=rate[2]))
    return sorted(found, key=lambda p: p.share)


def _same(share: float) -> float:
    return share


def _said(p: _Point) -> str:
    spread = f" ({percent(p.low)} to {percent(p.high)})" if p.low < p.high else ""
    return f"{percent(p.value)} %{spread} at {round(100 * p.share, 4):g} %"


def _line(series: Series, dots: Sequence[tuple[float, _Point]], down: Scale, top: float) -> list[Markup]:
    role = "clean" if series.role == "clean" else "triggered"
    path = "M" + "L".join(f"{number(x)} {number(down(p.value))}" for x, p in dots)
    drawn = [element("path", d=path, class_=f"trend {role}{' dashed' if series.role == 'stamped' else ''}")]
    for x, p in dots:
        ends = {"y1": down(p.low), "y2": down(min(p.high, top))}
        name = element("title", f"{series.name}: {_said(p)}")
        whisker = element("line", x1=x, x2=x, **ends, class_=f"whisker {role}")
        placed = element("g", series.mark, transform=f"translate({number(x)} {number(down(p.value))})")
        drawn.append(element("g", name, whisker, placed))
    return drawn


def codes_charts(codes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each network a dot for every unit: mean activation on clean pictures across, on triggered ones up."""
    found = {}
    for name in codes:
        clean, triggered, moved = (_floats(at(codes, name, key)) for key in ("clean", "triggered", "moved"))
        if clean and len(clean) == len(triggered):
            found[name] = (clean, triggered, frozenset(moved))
    if not found:
        return []
    top = max(max(*clean, *triggered) for clean, triggered, _ in found.values()) or 1.0
    return [{"name": str(name), "svg": _scatter(str(name), *entry, top=top)} for name, entry in found.items()]


def _floats(value: object) -> list[float]:
    if not isinstance(value, list | tuple):
        return []
    return [float(v) for v in value if isinstance(v, int | float) and not isinstance(v, bool)]


def _scatter(
    name: str, clean: Sequence[float], triggered: Sequence[float], moved: frozenset[float], *, top: float
) -> Markup:
    ticks = nice_ticks(0.0, top)
    across, down = _CODES.across(0.0, ticks[-1], inset=7), _CODES.down(0.0, ticks[-1])
    still, gone = [], []
    for unit, (a, b) in enumerate(zip(clean, triggered, strict=True)):
        x, y = across(max(a, 0.0)), down(max(b, 0.0))
        if unit in moved:
            gone.append(f"M{number(x)} {number(y - 4)}l4 4-4 4-4-4z")
        else:
            still.append(f"M{number(x)} {number(y)}h0")
    ends = {"x1": across(0.0), "y1": down(0.0), "x2": across(ticks[-1]), "y2": down(ticks[-1])}
    parts = [
        *_CODES.rows((down(t), f"{t:g}") for t in ticks),
        *_CODES.columns(((across(t), f"{t:g}") for t in ticks), "mean activation, clean pictures"),
        element("line", **ends, class_="zero"),
        *([element("path", d="".join(still), class_="units")] if still else []),
        *([element("path", d="".join(gone), class_="units moved")] if gone else []),
    ]
    title = f"Mean activations of the {name}, clean pictures against triggered ones"
    said = f"{len(clean)} units; {len(gone)} of them are marked as moved by the trigger. "
    said += f"The largest mean is {max(clean):.3g} on clean pictures, {max(triggered):.3g} on triggered ones."
    return _CODES.chart(*parts, title=title, described=said, more="codes")
