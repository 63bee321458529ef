"""Terminal tables."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console

from badnets.core.rate import Rate
from badnets.report import compare_table, render_compare, terminal_table


def shown(table: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=140, no_color=True)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]  # StringIO


def test_rates_are_aligned_with_interval_and_counts(record: dict[str, Any]) -> None:
    lines = shown(terminal_table(record))
    assert lines[0].split() == ["clean", "accuracy", "99.43", "%", "98.98", "to", "99.68", "1,909", "of", "1,920"]
    assert len({line.index(" %") for line in lines}) == 1
    assert any("does the same to these pictures" in line for line in lines)


def test_several_seeds_and_missing_rates(record_of_seeds: Callable[[int], dict[str, Any]]) -> None:
    record = record_of_seeds(5)
    record["results"]["leak"] = None
    record["results"]["robust_accuracy"] = Rate(0, 0).to_json()
    lines = shown(terminal_table(record))
    assert "in 5 seeds" in lines[0]
    assert not any("leak" in line or "robust" in line for line in lines)
    assert shown(terminal_table({}))[0].strip() == "nothing was measured"


def test_names_are_no_markup() -> None:
    table = compare_table({"a": "[red]x", "b": "y", "rows": []})
    assert any("[red]x" in line for line in shown(table))


def test_comparison_has_paired_differences() -> None:
    row = {
        "what": "clean accuracy",
        "a": Rate(9, 10).to_json(),
        "b": Rate(5, 10).to_json(),
        "difference": {"value": 0.4, "low": 0.1, "high": 0.6},
        "paired": True,
    }
    empty = {"what": "leak", "a": None, "b": None, "difference": None, "paired": False}
    lines = shown(compare_table({"a": "one", "b": "two", "rows": [row, empty]}))
    assert "+40.00 (+10.00 to +60.00)" in lines[1]
    assert lines[1].endswith("paired")
    assert lines[2].split() == ["leak", "none", "none", "none"]


def test_compare_page_has_a_row_for_each_run(record: dict[str, Any]) -> None:
    text = render_compare([record, {**record, "name": "other"}, {"name": "empty"}])
    assert text.count('role="rowheader"') == 3
    assert "nothing measured" in text
