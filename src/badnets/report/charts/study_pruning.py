"""Charts of pruning: clean accuracy and attack success against the number of channels pruned; and bars beside what was
published.

In a record, ``figures["pruning"]`` maps the name of each curve to its points. A name is ``"STYLE, CHART"``: curves of
one chart are drawn together, the first style with whole lines, others dashed. A point has ``channels`` and the rates
``clean_accuracy`` (or ``test``) and ``asr``, each with ``value``, ``low``, ``high``; a published figure has no ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from badnets.core.text import percent
from badnets.report.charts.axes import Frame, Scale
from badnets.report.charts.figures import Mark, Role, key, mark, nice_ticks, shape
from badnets.report.charts.svg import element, join, number, share
from badnets.report.pages.table import padded
from badnets.report.words.facts import at, listing, rate

_FRAME = Frame(width=440, height=280, left=50, right=12, top=12, bottom=40)
_FIELDS: tuple[tuple[Role, tuple[str, ...], str], ...] = (
    ("clean", ("clean_accuracy", "test"), "clean accuracy"),
    ("triggered", ("asr",), "attack success"),
)
_STYLES = {"standard": "standard attack", "aware": "pruning-aware attack"}
_MARKS = 8  # of a curve; one for each of sixty channels would hide it
_LANE = 17.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve: points (channels pruned, value, low, high), 0..1 all but the first; low and high may be None.

    ``role`` gives color and mark, ``style`` ("ours", "published", an attack's name) the kind of line.
    """

    role: Role
    style: str
    name: str
    points: tuple[tuple[float, float, float | None, float | None], ...]


def pruning_charts(curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A chart for each group of curves of a record, with its name and the words of its legend."""
    groups: dict[str, list[Series]] = {}
    for name, points in curves.items():
        style, found, group = str(name).partition(", ")
        group, style = (group, style) if found else (style, "")
        for role, fields, words in _FIELDS:
            line = _points(points, fields)
            if line:
                told = f"{words}, {_STYLES.get(style, style)}" if style else words
                groups.setdefault(group, []).append(Series(role=role, style=style, name=told, points=line))
    return [{"name": group, **pruning_chart(series, title=group)} for group, series in groups.items()]


def _points(points: Any, fields: Sequence[str]) -> tuple[tuple[float, float, float | None, float | None], ...]:
    found = []
    for point in points if isinstance(points, list | tuple) else ():
        channels = _number(at(point, "channels"))
        figure = next((r for field in fields if (r := rate(point, field)) is not None), {})
        value = _number(figure.get("value"))
        if channels is not None and value is not None:
            found.append((channels, value, _number(figure.get("low")), _number(figure.get("high"))))
    return tuple(sorted(found))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def pruning_chart(series: Sequence[Series], *, title: str) -> dict[str, Any]:
    """The drawing of ``series`` (at least one, none without points), and its legend."""
    styles = list(dict.fromkeys(s.style for s in series))
    channels = [point[0] for s in series for point in s.points]
    ticks = nice_ticks(min(channels), max(channels), count=6)
    across, down = _FRAME.across(ticks[0], ticks[-1], inset=6), _FRAME.down(0.0, 1.0)
    drawn = [
        *_FRAME.rows((down(t), f"{100 * t:g} %") for t in (0, 0.25, 0.5, 0.75, 1)),
        *_FRAME.columns(((across(t), f"{t:g}") for t in ticks), "channels pruned"),
        *(_band(s, across, down) for s in series),
        *(_line(s, across, down, dashed=s.style != styles[0]) for s in series),
    ]
    described = "; ".join(f"{s.name}: {_said(s)}" for s in series) + "."
    spread = any(low is not None and high is not None and low < high for s in series for *_, low, high in s.points)
    return {
        "svg": _FRAME.chart(*drawn, title=f"Clean accuracy and attack success, {title}", described=described,
                            more="shares"),
        "legend": [{"key": key(shape(s.role, hollow=s.style != styles[0])), "name": s.name} for s in series],
        "spread": spread,
    }  # fmt: skip


def _said(series: Series) -> str:
    """A few of the points, the last one among them."""
    stride = max(1, -(-len(series.points) // _MARKS))
    chosen = series.points[::-1][::stride][::-1]
    return ", ".join(f"{percent(value)} % at {channels:g}" for channels, value, *_ in chosen)


def _band(series: Series, across: Scale, down: Scale) -> Markup:
    """The interval as a pale area."""
    ends = [(x, low, high) for x, _, low, high in series.points if low is not None and high is not None]
    if not ends:
        return Markup("")
    upper = [f"{number(across(x))} {number(down(high))}" for x, _, high in ends]
    lower = [f"{number(across(x))} {number(down(low))}" for x, low, _ in reversed(ends)]
    path = f"M{'L'.join(upper + lower)}Z"
    return element("path", d=path, class_=f"mark {series.role}", fill_opacity=0.13, stroke_opacity=0)


def _line(series: Series, across: Scale, down: Scale, *, dashed: bool) -> Markup:
    path = "M" + "L".join(f"{number(across(x))} {number(down(y))}" for x, y, *_ in series.points)
    line = element("path", d=path, class_=f"trend {series.role}{' dashed' if dashed else ''}")
    stride = max(1, -(-len(series.points) // _MARKS))
    start = stride // 2 if dashed else 0  # or the marks of two curves would hide each other
    marks = [
        element(
            "g",
            element("title", f"{series.name}: {percent(y)} % at {x:g} channels"),
            shape(series.role, hollow=dashed),
            transform=f"translate({number(across(x))} {number(down(y))}) scale(.7)",
        )
        for x, y, *_ in series.points[start::stride]
    ]
    return element("g", line, *marks)


def rate_bars(charts: Sequence[Any]) -> list[dict[str, Any]]:
    """Bars of clean accuracy and attack success, the published figure as an upright line.

    Each chart has a ``title`` and ``rows`` with ``name``, the rates ``clean`` and ``triggered``, and the numbers
    ``clean_published`` and ``triggered_published``; a ``measure`` says what the triggered ones are when they are not
    attack success.
    """
    found = []
    for chart in charts:
        rows = [line for entry in listing(chart, "rows") if (line := _bar_row(entry)) is not None]
        if rows:
            measure = str(at(chart, "measure") or "attack success")
            found.append({"title": str(at(chart, "title") or ""), "measure": measure, "rows": rows})
    return found


def _bar_row(entry: Any) -> dict[str, Any] | None:
    figures: dict[Role, Mapping[str, Any] | None] = {role: rate(entry, role) for role in ("clean", "triggered")}
    lanes = [
        (mark(found, role, name=role), _number(at(entry, f"{role}_published")))
        for role, found in figures.items()
        if found is not None
    ]
    if not lanes:
        return None
    name = str(at(entry, "name") or "")
    cells: dict[str, Any] = {role: _cell(entry, role, found) for role, found in figures.items()}
    return {"name": name, "bars": _bars(lanes, name), **cells}


def _cell(entry: Any, role: Role, found: Mapping[str, Any] | None) -> dict[str, str] | None:
    if found is None:
        return None
    published = _number(at(entry, f"{role}_published"))
    beside = "" if published is None else f"published {padded(published, 5)}"
    return {"value": padded(found["value"], 5), "interval": beside}


def _bars(lanes: Sequence[tuple[Mark, float | None]], name: str) -> Markup:
    height = _LANE * len(lanes) + 2
    quarters = (0, 0.25, 0.5, 0.75, 1)
    parts: list[str] = [element("line", x1=share(t), x2=share(t), y1=0, y2=height, class_="grid") for t in quarters]
    for lane, (m, published) in enumerate(lanes):
        y = _LANE * (lane + 0.5) + 1
        parts.append(element("line", x1="0%", x2=share(m.value), y1=y, y2=y, class_=f"bar {m.role}"))
        parts.append(element("line", x1=share(m.low), x2=share(m.high), y1=y, y2=y, class_=f"interval {m.role}"))
        parts.append(element("svg", shape(m.role), x=share(m.value), y=y, overflow="visible", width=1, height=1))
        if published is not None:
            there = share(published)
            parts.append(element("line", x1=there, x2=there, y1=y - 7, y2=y + 7, class_="published"))
    title = f"{name}: " + "; ".join(
        m.label + ("" if published is None else f"; published {percent(published)} %") for m, published in lanes
    )
    words = element("title", title)
    return element("svg", words, join(parts), class_="track", width="100%", height=height, role="img",
                   aria_label=title)  # fmt: skip
