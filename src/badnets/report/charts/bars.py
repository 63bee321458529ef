"""A study's bars: figures below each other on one axis, upright lines where the published ones are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from badnets.core.rate import Interval
from badnets.records.blocks import Bar, Bars, Role
from badnets.report.charts.axes import Scale
from badnets.report.charts.figures import glyph, nice_ticks, shape
from badnets.report.charts.svg import element, share
from badnets.report.words.values import show_interval, show_value

LANE = 20.0
"""Screen pixels of one bar; the figures beside it are lines of this height."""


@dataclass(frozen=True, kw_only=True)
class BarLine:
    """A line of bars: for each of them the figure, its interval, what was published, as text."""

    name: str
    svg: Markup
    figures: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, kw_only=True)
class BarTable:
    """All lines, the ticks of their axis from left to right, and the legend, (mark, words)."""

    lines: tuple[BarLine, ...]
    axis: tuple[str, ...]
    legend: tuple[tuple[Markup, str], ...]
    published: bool


def bar_table(block: Bars) -> BarTable | None:
    """The lines of a block; None where no bar has a figure."""
    shown = [bar for bar in block.bars if bar.figure.value is not None]
    if not shown:
        return None
    ends = [_ends(bar.figure) for bar in shown]
    beside = [bar.published for bar in shown if bar.published is not None]
    low, high = min(0.0, *beside, *(low for low, _ in ends)), max(*beside, *(high for _, high in ends), 0.0)
    ticks = nice_ticks(low, high, count=2)
    ticks = [t for t in ticks if block.unit == "number" or t <= 1]

    def across(value: float) -> float:
        return min(1.0, max(0.0, (value - ticks[0]) / (ticks[-1] - ticks[0])))

    lines = [(name, list(bars)) for name, bars in groupby(shown, key=lambda bar: bar.name)]
    legend: dict[tuple[Role, bool], dict[str, None]] = {}
    for bar in shown:
        legend.setdefault((bar.role, bar.hollow), {})[bar.what] = None
    return BarTable(
        lines=tuple(
            BarLine(
                name=name,
                svg=_drawn(name, bars, block, across, [across(t) for t in ticks]),
                figures=tuple(_figure(bar, block) for bar in bars),
            )
            for name, bars in lines
        ),
        axis=tuple(_tick(t, block, last=t == ticks[-1]) for t in ticks),
        legend=tuple((glyph(role, hollow=hollow), ", ".join(words)) for (role, hollow), words in legend.items()),
        published=bool(beside),
    )


def _ends(figure: Interval) -> tuple[float, float]:
    low, high = (float(figure) if end is None else end for end in figure.ends)
    return low, high


def _tick(value: float, block: Bars, *, last: bool) -> str:
    behind = {"rate": " %", "difference": " pt"}.get(block.unit, "") * last
    shown = value if block.unit == "number" else round(100 * value, 6)
    return f"{shown:g}{behind}".replace("-", "\N{MINUS SIGN}")


def _figure(bar: Bar, block: Bars) -> tuple[str, str, str]:
    published = "" if bar.published is None else show_value(bar.published, block.unit)
    return show_value(bar.figure.value, block.unit), show_interval(*bar.figure.ends, block.unit), published


def _drawn(name: str, bars: Sequence[Bar], block: Bars, across: Scale, grid: Sequence[float]) -> Markup:
    height = LANE * len(bars)
    parts: list[str] = [element("line", x1=share(x), x2=share(x), y1=0, y2=height, class_="grid") for x in grid]
    said = []
    for lane, bar in enumerate(bars):
        y, (low, high), value = LANE * (lane + 0.5), _ends(bar.figure), across(float(bar.figure))
        line = {"y1": y, "y2": y}
        parts.append(element("line", x1=share(across(0.0)), x2=share(value), class_=f"bar {bar.role}", **line))
        ends = {"x1": share(across(low)), "x2": share(across(high))}
        parts.append(element("line", **ends, class_=f"interval {bar.role}", **line))
        mark = shape(bar.role, hollow=bar.hollow)
        parts.append(element("svg", mark, x=share(value), y=y, overflow="visible", width=1, height=1))
        shown, spread, published = _figure(bar, block)
        if bar.published is not None:
            there = share(across(bar.published))
            parts.append(element("line", x1=there, x2=there, y1=y - 7, y2=y + 7, class_="published"))
        spread = f" ({spread})" if spread else ""
        said.append(f"{bar.what} {shown}{spread}{'; published ' * bool(published)}{published}".strip())
    title = f"{name}: {'; '.join(said)}"
    words = element("title", title)
    return element("svg", words, *parts, class_="track", width="100%", height=height, role="img", aria_label=title)
