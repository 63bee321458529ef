"""The table of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from badnets.core.old import format_rate
from badnets.report.charts.figures import bars, mark
from badnets.report.pages.table import padded
from badnets.report.words.facts import Record, listing, rate, readable

MOST_ROWS = 100


def class_rows(record: Record) -> dict[str, Any] | None:
    """One row for each class: bars, and the figures; None without any. Beyond 100 classes the least accurate."""
    entries = [e for e in listing(record, "results", "per_class") if isinstance(e, Mapping)]
    if not entries:
        return None
    numbered = list(enumerate(entries))
    shown = numbered if len(entries) <= MOST_ROWS else sorted(numbered, key=lambda e: _accuracy(e[1]))[:MOST_ROWS]
    rows = [_row(number, entry) for number, entry in shown]
    return {
        "rows": rows,
        "left_out": len(entries) - len(shown),
        # On single-label pictures a class's accuracy is its recall; one column then says both.
        "recall": any(row["recall"] != row["accuracy"] for row in rows if row["recall"]),
        "success": any(row["asr"] for row in rows),
        "robust": any(row["robust"] for row in rows),
    }


def _accuracy(entry: Mapping[str, Any]) -> float:
    found = rate(entry, "accuracy")
    return float(found["value"]) if found else 1.0


def _row(number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    name = readable(entry.get("class", "?"))
    accuracy, success = rate(entry, "accuracy"), rate(entry, "asr")
    marks = [mark(r, "clean", name="accuracy") for r in (accuracy,) if r]
    marks += [mark(r, "triggered", name="attack success") for r in (success,) if r]
    f1 = entry.get("f1")
    return {
        "name": name,
        "number": "" if name == str(number) else str(number),
        "n": entry.get("n"),
        "bars": bars(marks, title=f"{name}: " + "; ".join(m.label for m in marks)) if marks else None,
        "accuracy": _cell(accuracy),
        "asr": _cell(success),
        "robust": _cell(rate(entry, "robust_accuracy")),
        "precision": _cell(rate(entry, "precision")),
        "recall": _cell(rate(entry, "recall")),
        "f1": f"{f1:.4f}" if isinstance(f1, int | float) else "",
    }


def _cell(found: Mapping[str, Any] | None) -> dict[str, str] | None:
    if found is None:
        return None
    interval = f"{padded(found['low'])} to {padded(found['high'])}"
    return {"value": padded(found["value"]), "interval": interval, "text": format_rate(dict(found))}
