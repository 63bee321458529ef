"""Elements of SVG, escaped; and the frame of a chart: its axes, their grid and their labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup

Value = str | float
Scale = Callable[[float], float]


def element(tag: str, /, *children: str, **attributes: Value) -> Markup:
    """One element: text children are escaped, markup is kept; ``stroke_width`` becomes ``stroke-width``, ``class_``
    becomes ``class``; numbers are written with at most two decimals."""
    written = Markup().join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), number(value))
        for name, value in attributes.items()
    )
    return Markup("<{}{}>{}</{}>").format(tag, written, Markup().join(children), tag)


def number(value: Value) -> str:
    """``12.30`` as ``12.3``; text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def share(value: float) -> str:
    """A share 0..1 as an SVG percentage, so that a figure grows with the page while its dots stay round."""
    return number(100 * value) + "%"


def path(points: Iterable[tuple[float, float]]) -> str:
    """The ``d`` of a line from point to point."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def image(*parts: str, width: float, height: float, title: str, described: str, name: str) -> Markup:
    """A whole drawing of ``width`` x ``height`` units with its style's ``name``, and what it shows in words."""
    words = (element("title", title), element("desc", described))
    box = f"0 0 {width:g} {height:g}"
    return element("svg", *words, *parts, class_=name, viewBox=box, role="img", aria_label=title)


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
        name = f"chart {more}".strip()
        return image(*parts, width=self.width, height=self.height, title=title, described=described, name=name)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers from at or below ``low`` to at or above ``high``."""
    if not high > low:
        high = low + 1
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]
