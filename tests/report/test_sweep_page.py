"""The page and the table of a sweep."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from badnets.core.rate import Rate
from badnets.records.sweep import Cell, SweepRecord, SweptTask
from badnets.report.pages.sweep import axes_said, render_sweep, sweep_csv


def record_of(*axes: dict[str, Any], failed: str | None = None) -> SweepRecord:
    """A task for each place on the axes; attack success is 10 %, 20 %, ..."""
    tasks = [
        SweptTask(
            id=f"task{number}",
            state="done",
            axes=one,
            record=f"task{number}/record.json",
            figures={"clean_accuracy": Rate(90, 100), "asr": Rate(min(10 * number, 100), 100)},
        )
        for number, one in enumerate(axes, 1)
    ]
    cells = [Cell(axes=task.axes, done=1, of=1, figures=task.figures) for task in tasks]
    if failed is not None:
        tasks.append(SweptTask(id="bad", state="failed", axes={"network": "<b>"}, error=failed))
    return SweepRecord(
        name="shares",
        store="/store",
        tasks=tuple(tasks),
        cells=tuple(cells),
        counts={"done": len(cells), "failed": int(failed is not None), "running": 0, "waiting": 0},
        seconds=1.0,
    )


GRID = [{"network": network, "recipe.epochs": epochs} for network in ("lenet", "g1-cnn") for epochs in (1, 2)]


@pytest.mark.parametrize(
    ("axes", "drawn"),
    [
        ([{"backdoor.poison.rate": 0.01}, {"backdoor.poison.rate": 0.1}], "By poison rate"),
        ([{"network": "lenet"}, {"network": "g1-cnn"}], "All settings"),
        (GRID, "Rows: network; columns: recipe epochs"),
    ],
)
def test_the_figure_is_the_one_that_its_axes_ask_for(axes: list[dict[str, Any]], drawn: str) -> None:
    page = render_sweep(record_of(*axes), command="badnets sweep shares.toml")
    assert drawn in page
    assert f"Attack success from 10.00 to {10 * len(axes)}.00 %" in page
    assert all(f'href="task{number}/report.html"' in page for number in range(1, len(axes) + 1))
    assert "badnets sweep shares.toml" in page


def test_one_value_is_no_axis_of_the_figure_and_a_learning_rate_no_share() -> None:
    rates = [{"data.select": 0.17, "recipe.learning_rate": rate} for rate in (0.001, 0.01)]
    page = render_sweep(record_of(*rates), command="")
    assert "By recipe learning rate" in page
    assert "0.1 %" not in page
    assert "measured on a select set, not on the test set" in page
    assert "select set" not in render_sweep(record_of({"recipe.epochs": 1}), command="")


def test_values_that_are_shortened_alike_stay_apart() -> None:
    trigger = {"kind": "square", "color": [250, 214, 50], "place": "bottom-right"}
    axes = [
        {"backdoor.trigger": {**trigger, "size": size}, "backdoor.poison.rate": rate}
        for size in (2, 3, 4)
        for rate in (0.01, 0.1)
    ]
    page = render_sweep(record_of(*axes), command="")
    assert all(f"size {size}" in page for size in (2, 3, 4))
    for number in range(1, 7):
        assert page.count(f'href="task{number}/report.html"') == 1


def test_what_all_tasks_have_in_common_is_told() -> None:
    made = record_of({"recipe.epochs": 1}).model_copy(update={"spec": {"data": {"name": "signs"}, "network": "lenet"}})
    assert "shares · signs · lenet · 1 trainings" in render_sweep(made, command="")


def test_what_failed_is_told_and_words_are_text() -> None:
    page = render_sweep(record_of({"network": "lenet"}, failed="<script>alert(1)</script>"), command="badnets")
    assert "&lt;script&gt;alert(1)" in page
    assert "network &lt;b&gt;" in page
    assert 'href="bad/log.txt"' in page


def test_many_rows_can_be_searched() -> None:
    few = render_sweep(record_of(*({"seedless": n} for n in range(3))), command="")
    many = render_sweep(record_of(*({"seedless": n} for n in range(13))), command="")
    assert '<input type="search"' in many
    assert '<input type="search"' not in few


def test_nothing_done_yet() -> None:
    record = record_of({"network": "lenet"}).model_copy(update={"cells": (Cell(axes={}, done=0, of=3, figures={}),)})
    assert "shares: 1 of 1 trainings done" in render_sweep(record, command="")


def test_the_table_for_spreadsheets() -> None:
    rows = list(csv.DictReader(io.StringIO(sweep_csv(record_of({"network": "a,b"}, {"network": "c"}, failed="no")))))
    assert [row["state"] for row in rows] == ["done", "done", "failed"]
    assert (rows[0]["network"], float(rows[1]["asr"]), rows[2]["asr"]) == ("a,b", 0.2, "")
    assert float(rows[0]["asr_low"]) < 0.1 < float(rows[0]["asr_high"])
    assert (rows[0]["asr_hits"], rows[0]["asr_total"]) == ("10", "100")
    assert (rows[0]["error"], rows[2]["error"]) == ("", "no")


def test_axes_as_words() -> None:
    assert axes_said({"backdoor.poison.rate": 0.1, "recipe.learning_rate": 1e-3, "seed": 4}) == (
        "poison rate 0.1, recipe learning rate 0.001"
    )
    assert axes_said({"seed": 1}) == "its only spec"


@pytest.mark.browser
@pytest.mark.parametrize("look", ["light", "dark", "another font"])
@pytest.mark.parametrize("width", [1200, 390])
def test_nothing_overflows(width: int, look: str, tmp_path: Path, open_page: Any, problems: Any, barriers: Any) -> None:
    axes = [{"backdoor.poison.rate": 0.1 * n, "data.name": "a-name-" * 12} for n in range(1, 4)]
    (tmp_path / "report.html").write_text(render_sweep(record_of(*axes, failed="no " * 90), command="badnets sweep"))
    page, _ = open_page(tmp_path / "report.html", width, look)
    assert problems(page) == []
    assert barriers(page) == []


@pytest.mark.browser
def test_the_search_hides_rows(tmp_path: Path, open_page: Any) -> None:
    page_file = tmp_path / "report.html"
    page_file.write_text(render_sweep(record_of(*({"network": f"net{n}", "size": n} for n in range(13))), command=""))
    page, _ = open_page(page_file, 1200, "light")
    shown = "[...document.querySelectorAll('table.sortable tbody tr')].filter(row => !row.hidden).length"
    assert page.evaluate(shown) == 13
    page.fill("input[type=search]", "NET1 seed")
    assert page.evaluate(shown) == 0
    page.fill("input[type=search]", "net1")
    assert page.evaluate(shown) == 4  # 1, 10, 11, 12
    page.fill("input[type=search]", "")
    assert page.evaluate(shown) == 13
