"""What a study's page is made of: curves, bars, tables, matrices, pictures; each with a title, and a note below it.

The first block of a study stands on top of its page. Neighboring curves, and neighboring matrices, stand beside each
other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from badnets.core.fields import Figure
from badnets.core.rate import Interval, Unit
from badnets.records.model import Model

Role = Literal["clean", "triggered"]
"""Whom a figure is of: decides the color, and the shape of its mark."""


class _Titled(Model):
    title: str
    note: str = ""


class Point(Model):
    """A figure at a place of an axis."""

    x: float
    figure: Figure


class Series(Model):
    """A line of a curve; ``hollow`` for a network that it is compared with, or for what was published."""

    name: str
    role: Role
    hollow: bool = False
    points: tuple[Point, ...]

    @classmethod
    def of(
        cls, name: str, role: Role, points: Iterable[tuple[float, Interval | None]], *, hollow: bool = False
    ) -> Series:
        """From places and figures; where there is none, there is no point."""
        there = tuple(Point(x=x, figure=figure) for x, figure in points if figure is not None)
        return cls(name=name, role=role, hollow=hollow, points=there)


class Curve(_Titled):
    """Lines over an axis, each point with its interval. ``percent_axis``: x is a share and shown in percent."""

    kind: Literal["curve"] = "curve"
    axis: str
    percent_axis: bool = False
    unit: Unit = "rate"
    series: tuple[Series, ...]


class Bar(Model):
    """One bar. Neighbors of one ``name`` share a line, and ``what`` says what each of them is ("clean accuracy"); an
    upright line stands where the ``published`` figure is."""

    name: str
    what: str = ""
    figure: Figure
    role: Role
    hollow: bool = False
    published: float | None = None


class Bars(_Titled):
    """Figures below each other on one axis."""

    kind: Literal["bars"] = "bars"
    unit: Unit = "rate"
    bars: tuple[Bar, ...]


class Column(Model):
    """A column of a table: ``unit`` as in ``Figure``, or a text. ``better`` is what a reader looks for, ``asked`` what
    is asked of it (at most where low is better, at least where high is): cells that keep it are ticked."""

    name: str
    unit: Unit | Literal["text"] = "rate"
    better: Literal["low", "high"] | None = None
    asked: float | None = None


class Line(Model):
    """A row of a table: its ``group`` (rows of one group stand together), for each column a figure, a text, or None.
    With a ``note`` in place of cells it says why there are none; ``links`` are words and the pages that they lead
    to."""

    group: str = ""
    name: str
    links: tuple[tuple[str, str], ...] = ()
    cells: tuple[Figure | str | None, ...] = ()
    note: str = ""


class Table(_Titled):
    """Lines that can be sorted by any column, inside their groups; ``rows`` says what their names are (method),
    ``groups`` what their groups are (backdoor)."""

    kind: Literal["table"] = "table"
    rows: str
    groups: str = ""
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


class Cell(Model):
    """One square of a matrix."""

    row: int
    column: int
    figure: Figure


class Matrix(_Titled):
    """Figures of pairs, such as true and wanted class: the darker, the larger."""

    kind: Literal["matrix"] = "matrix"
    role: Role
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    rows: str
    columns: str
    cells: tuple[Cell, ...]


class Picture(Model):
    """A small grey picture: ``pixels`` are rows of levels 0..255; ``marked`` ones stand out."""

    caption: str
    pixels: tuple[tuple[int, ...], ...]
    marked: bool = False


class Pictures(_Titled):
    """Small pictures beside each other, in groups by name."""

    kind: Literal["pictures"] = "pictures"
    groups: dict[str, tuple[Picture, ...]]


class Dots(Model):
    """One scatter plot: points (x, y), and the numbers of those that are ``marked``."""

    name: str
    points: tuple[tuple[float, float], ...]
    marked: tuple[int, ...] = ()


class Scatter(_Titled):
    """Scatter plots beside each other, with one axis; ``marked`` says what the marked dots are."""

    kind: Literal["scatter"] = "scatter"
    x: str
    y: str
    marked: str = ""
    plots: tuple[Dots, ...]


class Sheets(_Titled):
    """Picture files that lie beside the page (and not in committed records): their names."""

    kind: Literal["sheets"] = "sheets"
    files: tuple[str, ...]


Block = Annotated[Curve | Bars | Table | Matrix | Pictures | Scatter | Sheets, Field(discriminator="kind")]
