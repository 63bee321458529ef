"""A strip plot: where one network stands among others, on one axis; those at the same place stand above each other."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from markupsafe import Markup

from badnets.report.charts.figures import shape
from badnets.report.charts.svg import Frame, Scale, element, nice_ticks
from badnets.report.words.values import show_number, show_tick

_WIDE, _LEFT, _TOP, _BOTTOM = 440.0, 16.0, 26.0, 42.0
_RADII = (4.0, 2.5, 1.5)  # smaller where there are many
_HIGHEST = 150.0
_DIAMOND = 7.5  # half the width of the one network's mark, with some air


def strip(one: float, others: Sequence[float], *, name: str, what: str, axis: str, title: str) -> Markup:
    """``one`` (called ``name``) as a diamond among the ``others`` (circles, called ``what``, at least one)."""
    ticks = nice_ticks(min(one, *others), max(one, *others), count=5)
    across = Frame(width=_WIDE, height=0, left=_LEFT, right=_LEFT).across(ticks[0], ticks[-1])
    place = across(one)
    places = sorted(map(across, others))
    tried = ((radius, _stacked(places, place, radius)) for radius in _RADII)
    radius, dots = next((one for one in tried if _height(*one) <= _HIGHEST), (_RADII[-1], []))
    dots = dots or _stacked(places, place, radius)
    tall = min(_height(radius, dots), _HIGHEST)
    frame = Frame(width=_WIDE, height=_TOP + tall + 2 * _DIAMOND + _BOTTOM, left=_LEFT, right=_LEFT, bottom=_BOTTOM)
    base = frame.height - _BOTTOM
    floor = base - _DIAMOND
    drawn = [
        *(element("line", x1=across(t), x2=across(t), y1=_TOP - 6, y2=base, class_="grid") for t in ticks),
        *frame.columns([(across(t), show_tick(t, "number")) for t in ticks], axis),
        element("line", x1=place, x2=place, y1=_TOP - 6, y2=floor, class_="zero"),
        *(_dot(x, max(floor - lane * (2 * radius + 1), _TOP), radius) for x, lane in dots),
        element("g", shape("triggered"), transform=f"translate({place:.2f} {floor:g})"),
        _label(name, place, across, ticks),
    ]
    shown = [show_number(value, "number") for value in (one, min(others), median(others), max(others))]
    spread = f"from {shown[1]} to {shown[3]}, the middle one at {shown[2]}"
    return frame.chart(*drawn, title=title, described=f"{name}: {shown[0]}. {what}: {spread}.", more="shares")


def _height(radius: float, dots: Sequence[tuple[float, int]]) -> float:
    return max(lane for _, lane in dots) * (2 * radius + 1)


def _stacked(places: Sequence[float], taken: float, radius: float) -> list[tuple[float, int]]:
    """Each of the sorted ``places`` with the lowest lane in which it touches no other, nor the mark at ``taken``."""
    lasts: list[float] = []
    dots = []
    for x in places:
        free = (i for i, last in enumerate(lasts) if x - last >= 2 * radius + 0.5)
        clear = [i for i in free if i * (2 * radius + 1) >= _DIAMOND + radius or abs(x - taken) >= _DIAMOND + radius]
        lane = clear[0] if clear else len(lasts)
        while lane * (2 * radius + 1) < _DIAMOND + radius and abs(x - taken) < _DIAMOND + radius:
            lane += 1
        lasts += [-1e9] * (lane + 1 - len(lasts))
        lasts[lane] = x
        dots.append((x, lane))
    return dots


def _dot(x: float, y: float, radius: float) -> Markup:
    return element("circle", cx=x, cy=y, r=radius, class_="mark clean hollow")


def _label(name: str, place: float, across: Scale, ticks: Sequence[float]) -> Markup:
    """The name above its mark, inside the drawing."""
    share = (place - across(ticks[0])) / max(across(ticks[-1]) - across(ticks[0]), 1)
    anchor = "start" if share < 0.2 else "end" if share > 0.8 else "middle"
    return element("text", name, x=place, y=_TOP - 12, text_anchor=anchor)
