"""The frame of a chart: its axes, their grid and their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup

from badnets.report.charts.svg import element

Scale = Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A drawing of ``width`` x ``height`` units with room for labels around the chart itself."""

    width: float
    height: float
    left: float = 40.0
    right: float = 12.0
    top: float = 14.0
    bottom: float = 36.0

    def across(self, low: float, high: float, *, inset: float = 0.0) -> Scale:
        """From a value to its x; ``inset`` keeps the ends off the sides."""
        return _scale(low, high, self.left + inset, self.width - self.right - inset)

    def down(self, low: float, high: float) -> Scale:
        """From a value to its y."""
        return _scale(low, high, self.height - self.bottom, self.top)

    def rows(self, ticks: Iterable[tuple[float, str]]) -> list[Markup]:
        """A line across the chart with its label at each (y, label)."""
        drawn = []
        for y, label in ticks:
            drawn.append(element("line", x1=self.left, x2=self.width - self.right, y1=y, y2=y, class_="grid"))
            drawn.append(element("text", label, x=self.left - 6, y=y + 4, text_anchor="end"))
        return drawn

    def columns(self, ticks: Iterable[tuple[float, str]], name: str) -> list[Markup]:
        """A label below the chart at each (x, label), and the name of the axis."""
        base = self.height - self.bottom + 17
        drawn = [element("text", label, x=x, y=base, text_anchor="middle") for x, label in ticks]
        middle = (self.left + self.width - self.right) / 2
        return [*drawn, element("text", name, x=middle, y=self.height - 4, text_anchor="middle")]

    def chart(self, *parts: str, title: str, described: str, more: str = "") -> Markup:
        """The whole drawing; ``more`` are further classes for its style."""
        words = (element("title", title), element("desc", described))
        box = f"0 0 {self.width:g} {self.height:g}"
        name = f"chart {more}".strip()
        return element("svg", *words, *parts, class_=name, viewBox=box, role="img", aria_label=title)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)
