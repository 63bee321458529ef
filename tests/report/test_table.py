"""Terminal tables."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console

from badnets.core.rate import PairedDifference, Rate
from badnets.records.results import Comparison, ComparisonRow
from badnets.records.run import RunRecord
from badnets.report import compare_table, render_compare, terminal_table


def shown(table: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=140, no_color=True)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]  # StringIO


def test_rates_are_aligned_with_interval_and_counts(record: RunRecord) -> None:
    lines = shown(terminal_table(record))
    assert lines[0].split() == ["clean", "accuracy", "99.43", "%", "98.98", "to", "99.68", "1,909", "of", "1,920"]
    assert len({line.index(" %") for line in lines}) == 1
    assert any("does the same to these pictures" in line for line in lines)


def test_several_seeds_and_missing_rates(record_of_seeds: Callable[[int], RunRecord]) -> None:
    record = record_of_seeds(5)
    results = record.results.model_copy(update={"leak": None, "robust_accuracy": Rate(0, 0)})
    lines = shown(terminal_table(record.model_copy(update={"results": results})))
    assert "in 5 seeds" in lines[0]
    assert not any("leak" in line or "robust" in line for line in lines)


def test_names_are_no_markup() -> None:
    table = compare_table(Comparison(a="[red]x", b="y", seeds=(1,), rows=()))
    assert any("[red]x" in line for line in shown(table))


def test_comparison_has_paired_differences() -> None:
    both = {"a": Rate(9, 10), "b": Rate(5, 10)}
    paired = ComparisonRow(
        what="clean accuracy", name="clean_accuracy", **both, difference=PairedDifference(5, 4, 0, 1), paired=True
    )
    alone = ComparisonRow(what="leak", name="leak", **both, difference=None, paired=False)
    lines = shown(compare_table(Comparison(a="one", b="two", seeds=(1,), rows=(paired, alone))))
    assert "+40.00 (" in lines[1]
    assert "90.00 % (59.58 to 98.21)" in lines[1]
    assert lines[1].endswith("paired")
    assert lines[2].split()[-1] == "none"


def test_compare_page_has_a_row_for_each_run(record: RunRecord) -> None:
    text = render_compare([record, record.model_copy(update={"name": "other"})])
    assert text.count('role="rowheader"') == 2
    assert "99.38 % (96.55 to 99.89; 159 of 160)" in text
