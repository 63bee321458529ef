"""A study's bars: figures below each other on one axis, upright lines where the published ones are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from badnets.records.blocks import Bar, Bars, Role
from badnets.report.charts.axes import Scale
from badnets.report.charts.figures import drawing, glyph, level, nice_ticks, placed, upright, within
from badnets.report.words.names import ends
from badnets.report.words.values import short_symbol, show_interval, show_tick, show_value

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
    spread = [end for bar in shown for end in ends(bar.figure)]
    beside = [bar.published for bar in shown if bar.published is not None]
    ticks = nice_ticks(min(0.0, *beside, *spread), max(0.0, *beside, *spread), count=2)
    ticks = [t for t in ticks if block.unit == "number" or t <= 1]
    across = within(ticks[0], ticks[-1])
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
        axis=tuple(show_tick(t, block.unit) + short_symbol(block.unit) * (t == ticks[-1]) for t in ticks),
        legend=tuple((glyph(role, hollow=hollow), ", ".join(words)) for (role, hollow), words in legend.items()),
        published=bool(beside),
    )


def _figure(bar: Bar, block: Bars) -> tuple[str, str, str]:
    published = "" if bar.published is None else show_value(bar.published, block.unit)
    return show_value(bar.figure.value, block.unit), show_interval(*bar.figure.ends, block.unit), published


def _drawn(name: str, bars: Sequence[Bar], block: Bars, across: Scale, grid: Sequence[float]) -> Markup:
    parts: list[str] = []
    said = []
    for lane, bar in enumerate(bars):
        y, (value, low, high) = LANE * (lane + 0.5), map(across, ends(bar.figure))
        parts.append(level(across(0.0), value, y, f"bar {bar.role}"))
        parts.append(level(low, high, y, f"interval {bar.role}"))
        parts.append(placed(bar.role, value, y, hollow=bar.hollow))
        shown, spread, published = _figure(bar, block)
        if bar.published is not None:
            parts.append(upright(across(bar.published), y - 7, y + 7, "published"))
        spread = f" ({spread})" if spread else ""
        said.append(f"{bar.what} {shown}{spread}{'; published ' * bool(published)}{published}".strip())
    return drawing(LANE * len(bars), f"{name}: {'; '.join(said)}", *parts, grid=grid)
