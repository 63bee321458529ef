"""A study's scatter plots: dots over two measures, beside each other and on one axis."""

from __future__ import annotations

from markupsafe import Markup

from badnets.records.blocks import Dots, Scatter
from badnets.report.charts.axes import Frame
from badnets.report.charts.figures import nice_ticks
from badnets.report.charts.svg import element, number

_FRAME = Frame(width=340, height=330, left=42, right=12, top=12, bottom=40)


def scatter(block: Scatter) -> list[tuple[str, Markup]]:
    """For each plot its name and its drawing; the line from corner to corner is where both measures are the same."""
    plots = [plot for plot in block.plots if plot.points]
    top = max((max(point) for plot in plots for point in plot.points), default=1.0)
    return [(plot.name, _plot(plot, block, nice_ticks(0.0, top))) for plot in plots]


def _plot(plot: Dots, block: Scatter, ticks: list[float]) -> Markup:
    across, down = _FRAME.across(0.0, ticks[-1], inset=7), _FRAME.down(0.0, ticks[-1])
    plain, marked = "", ""
    for i, (a, b) in enumerate(plot.points):
        x, y = across(max(a, 0.0)), down(max(b, 0.0))
        if i in plot.marked:
            marked += f"M{number(x)} {number(y - 4)}l4 4-4 4-4-4z"
        else:
            plain += f"M{number(x)} {number(y)}h0"
    ends = {"x1": across(0.0), "y1": down(0.0), "x2": across(ticks[-1]), "y2": down(ticks[-1])}
    parts = [
        *_FRAME.rows((down(t), f"{t:g}") for t in ticks),
        *_FRAME.columns(((across(t), f"{t:g}") for t in ticks), block.x),
        element("line", **ends, class_="zero"),
        *([element("path", d=plain, class_="units")] if plain else []),
        *([element("path", d=marked, class_="units moved")] if marked else []),
    ]
    xs, ys = zip(*plot.points, strict=True)
    said = f"{len(plot.points)} dots; {len(plot.marked)} of them are marked: {block.marked or 'see the note'}. "
    said += f"The largest {block.x}: {max(xs):.3g}; the largest {block.y}: {max(ys):.3g}."
    return _FRAME.chart(*parts, title=f"{block.title}, {plot.name}", described=said, more="codes")
