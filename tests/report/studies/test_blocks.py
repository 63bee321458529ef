"""Each block of a study's page, drawn."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

from badnets.core.rate import Estimate, Interval, Mean, Number, PairedDifference, Rate
from badnets.records.blocks import (
    Bar,
    Bars,
    Cell,
    Column,
    Curve,
    Dots,
    Line,
    Matrix,
    Picture,
    Pictures,
    Point,
    Role,
    Scatter,
    Series,
    Sheets,
    Table,
)  # fmt: skip
from badnets.records.study import StudyRecord
from badnets.report.charts.figures import bar_table
from badnets.report.charts.lines import Drawing, curve, scatter
from badnets.report.charts.maps import matrix
from badnets.report.pages.blocks import galleries, panels, table_view


def line(figures: dict[float, Interval], role: Role = "clean", name: str = "x", *, hollow: bool = False) -> Series:
    return Series(name=name, role=role, hollow=hollow, points=tuple(Point(x=x, figure=f) for x, f in figures.items()))


def drawn(*series: Series, **more: Any) -> Drawing:
    found = curve(Curve(title="t", axis="share", series=series, **{"percent_axis": True, **more}))
    assert found is not None
    return found


def blocks_of(record: StudyRecord, kind: type[Any]) -> list[Any]:
    return [block for block in record.blocks if isinstance(block, kind)]


def test_a_curve_puts_points_at_their_shares(
    g1_study: Callable[..., StudyRecord], u1_study: Callable[..., StudyRecord]
) -> None:
    (sweep,), (labels,) = ([curve(b) for b in blocks_of(r, Curve)] for r in (g1_study(5), u1_study(3)))
    logarithmic = "The axis is logarithmic."
    assert logarithmic not in sweep.remarks
    assert logarithmic in labels.remarks  # 1 to 50 %
    assert sweep.svg.count('class="mark clean"') == sweep.svg.count('class="mark triggered"') == 3
    assert "error on clean pictures: 0.7" in sweep.svg
    assert ">50 %</text>" in labels.svg
    assert "trend triggered dashed" in labels.svg
    assert [words for _, words in labels.legend] == ["perturbed, then stamped", "stamped alone"]


def test_an_interval_out_of_all_proportion_is_cut_and_that_is_said() -> None:
    cut = "Intervals that leave the drawing are cut."
    assert cut in drawn(line({0.1: Estimate(0.01, (0.0, 0.9)), 0.5: Rate(1, 100)})).remarks
    assert cut not in drawn(line({0.1: Rate(9, 10)})).remarks


def test_a_figure_without_error_has_no_whisker_to_explain() -> None:
    assert drawn(line({0.1: Number(0.5)})).remarks == []
    assert "whisker" not in drawn(line({0.1: Number(0.5)})).svg
    assert curve(Curve(title="t", axis="share", series=(line({0.1: Rate(0, 0)}),))) is None


def test_a_curve_places_its_points_by_hand() -> None:
    few = drawn(line({0.0: Number(1.0), 60.0: Number(0.0)}), percent_axis=False)
    assert 'd="M76 12L402 240"' in few.svg  # the corners of the frame, 26 units off its sides
    ten = {float(x): Number(1 - x / 10) for x in range(11)}
    assert 'd="M56 12L' in drawn(line(ten), percent_axis=False).svg  # many points: six units
    assert "fill-opacity" not in drawn(line(ten), percent_axis=False).svg  # no interval, no area
    wide = {x: Estimate(0.5, (0.25, 0.75)) for x in ten}
    top = drawn(line({**wide, 10.0: Estimate(0.5, (0.0, 1.0))}), percent_axis=False).svg
    assert re.search(r'd="M56 69L.*L422 12L422 240L.*L56 183Z"', top)


def test_of_many_points_a_few_are_marked_and_told() -> None:
    figures: dict[float, Interval] = {float(x): Rate(60 - x, 60) for x in range(61)}
    two = drawn(line(figures, name="ours"), line(figures, "triggered", "published", hollow=True), percent_axis=False)
    assert two.svg.count('class="mark clean" fill-opacity') == 1
    assert 6 <= two.svg.count("scale(.7)") <= 18
    assert "trend triggered dashed" in two.svg
    assert "Pale areas are 95 % intervals." in two.remarks
    told = re.search(r"ours: ([^;]*);", unescape(two.svg))
    assert told is not None
    assert told[1].endswith("0.00 % (0.00 to 6.02) at 60")


def test_a_curve_of_differences_goes_below_zero() -> None:
    below = drawn(line({0.1: PairedDifference(50, 10, 30, 10), 0.5: PairedDifference(50, 0, 0, 50)}), unit="difference")
    assert ">\N{MINUS SIGN}20 pt</text>" in below.svg


def test_pairs_without_a_figure_are_blank() -> None:
    names = ("0", "1", "2")
    cells = (Cell(row=0, column=2, figure=Rate(2, 1000)), Cell(row=1, column=0, figure=Rate(0, 1000)),
             Cell(row=2, column=1, figure=Rate(0, 0)))  # fmt: skip
    block = Matrix(
        title="t", role="triggered", row_names=names, column_names=names, rows="true", columns="wanted", cells=cells
    )
    found = matrix(block)
    assert found is not None
    assert found.svg.count("<rect") == 3  # two cells and the frame
    assert "0 → 2: 0.20 % (2 of 1,000)" in found.svg
    assert found.words == "Together 0.10 % (2 of 2,000). Largest: 0 → 2: 0.20 %. The strongest color is 1.00 %."
    assert matrix(block.model_copy(update={"cells": cells[2:]})) is None
    ((panel,),) = panels([block])
    assert panel.note == "Rows: true; columns: wanted."


def test_names_above_a_matrix_that_are_long_stand_aslant() -> None:
    names = tuple(f"method {i}" for i in range(12))
    cell = Cell(row=0, column=11, figure=Rate(1, 2))
    found = matrix(
        Matrix(title="t", role="clean", row_names=("a",), column_names=names, rows="r", columns="c", cells=(cell,))
    )
    assert found is not None
    assert found.svg.count("rotate(") == 12


def test_bars_share_an_axis_that_holds_the_worst() -> None:
    block = Bars(title="t", bars=(Bar(name="9 → 0", what="clean error", figure=Rate(9, 1000), role="clean"),
                                  Bar(name="9 → 0", what="nothing", figure=Rate(0, 0), role="triggered")))  # fmt: skip
    found = bar_table(block)
    assert found is not None
    assert found.axis == ["0", "1", "2 %"]
    (one,) = found.lines
    assert one.name == "9 → 0"
    assert 'x="45%"' in one.svg  # 0.9 % of 2 %
    assert one.figures == [("0.90 %", "0.47 to 1.70", "")]
    assert not found.published
    assert bar_table(block.model_copy(update={"bars": block.bars[1:]})) is None


def test_bars_carry_the_published_line_and_number() -> None:
    bars = (Bar(name="2 points", what="clean accuracy", figure=Rate(3, 4), role="clean", published=0.9),
            Bar(name="2 points", what="attack success", figure=Rate(1, 4), role="triggered"))  # fmt: skip
    found = bar_table(Bars(title="Pruned", bars=bars))
    assert found is not None
    (one,) = found.lines
    assert one.svg.count('class="published"') == 1
    assert 'x1="90%"' in one.svg
    assert [published for *_, published in one.figures] == ["90.00 %", ""]
    assert [words for _, words in found.legend] == ["clean accuracy", "attack success"]


def test_a_bar_below_zero_begins_at_zero() -> None:
    bar = Bar(name="x", figure=PairedDifference(50, 10, 30, 10), role="clean")
    found = bar_table(Bars(title="t", unit="difference", bars=(bar,)))
    assert found is not None
    assert found.axis == ["\N{MINUS SIGN}40", "\N{MINUS SIGN}20", "0 pt"]
    assert 'x1="100%" x2="50%"' in found.lines[0].svg


def test_tables_keep_groups_say_why_there_is_no_figure_and_tick_what_keeps_the_bound() -> None:
    columns = (Column(name="lost", unit="difference", better="low", asked=0.01), Column(name="seconds", unit="number"),
               Column(name="safe", better="high", asked=0.9), Column(name="chosen", unit="text"))  # fmt: skip
    lost = PairedDifference(both=90, first_only=3, second_only=1, neither=6)
    lines = (
        Line(group="lab3", name="nad", cells=(lost, Number(12.34), Rate(89, 100), "epoch 2")),
        Line(group="other", name="anp", note="has no batch normalization"),
        Line(group="lab3", name="clp", cells=(None, Number(0.0312), Rate(0, 0), "")),
    )
    view = table_view(Table(title="t", rows="method", columns=columns, lines=lines))
    assert view is not None
    assert [(head.unit, head.number, head.descending) for head in view.heads] == [
        ("points", True, False), ("", True, False), ("%", True, True), ("", False, False),
    ]  # fmt: skip
    assert [name for name, _ in view.groups] == ["lab3", "other"]
    done, empty = (cells for _, cells in view.groups[0][1])
    assert [cell.text for cell in done] == ["+2.00", "12.3", "89.00", "epoch 2"]
    assert [cell.kept for cell in done] == [False, False, False, False]
    assert done[0].key == "0.02"
    assert [cell.text for cell in empty] == ["", "0.0312", "", ""]
    assert empty[0].key == empty[2].key == ""
    assert view.groups[1][1][0][0].note == "has no batch normalization"
    assert view.bounds == "lost at most 1.00 points; safe at least 90.00 %"
    kept = Table(
        title="t", rows="m", columns=columns[2:3], lines=(Line(name="x", cells=(Mean((1,), (Rate(9, 10),)),)),)
    )
    ticked = table_view(kept)
    assert ticked is not None
    assert ticked.groups[0][1][0][1][0].kept


def test_pictures_are_marked_and_counted() -> None:
    pixels = ((0, 255), (255, 0))
    groups = {
        "BadNet": (Picture(caption="1", pixels=pixels, marked=True), Picture(caption="2", pixels=pixels)),
        "none": (),
    }
    (gallery,) = galleries(Pictures(title="t", groups=groups))
    assert gallery.marked == 1
    assert [(caption, marked) for _, caption, marked in gallery.pictures] == [("1", True), ("2", False)]
    assert gallery.pictures[0][0].alt == "BadNet, 1"


def test_marked_dots_are_diamonds_on_one_axis() -> None:
    points = ((0.0, 2.0), (1.0, 1.0), (0.2, 0.2))
    plots = (Dots(name="BadNet", points=points, marked=(0,)), Dots(name="none", points=()))
    block = Scatter(title="t", x="clean", y="triggered", marked="units that moved", plots=plots)
    ((name, svg),) = scatter(block)
    assert name == "BadNet"
    moved = re.search(r'<path d="([^"]+)" class="units moved">', svg)
    still = re.search(r'<path d="([^"]+)" class="units">', svg)
    assert moved is not None
    assert still is not None
    assert (moved[1].count("M"), still[1].count("M")) == (1, 2)
    assert "3 dots; 1 of them are marked: units that moved" in svg
    ((panel,),) = panels([block])
    assert "Upwards: triggered." in panel.note


def test_neighboring_curves_and_matrices_stand_beside_each_other(g1_study: Callable[..., StudyRecord]) -> None:
    assert [[panel.kind for panel in row] for row in panels(g1_study(5).blocks)] == [
        ["curve"], ["matrix", "matrix"], ["bars"], ["pictures"], ["scatter"],
    ]  # fmt: skip


def test_blocks_with_nothing_to_show_are_left_out() -> None:
    empty = [Sheets(title="s", files=("a.png",)), Table(title="t", rows="m", columns=(), lines=()),
             Bars(title="b", bars=()), Scatter(title="x", x="a", y="b", plots=())]  # fmt: skip
    assert panels(empty) == []
    assert len(panels(empty, ["a.png"])) == 1
