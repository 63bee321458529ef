"""The table of a detector's classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from badnets.core.text import percent
from badnets.report.charts.figures import Mark, bars, mark
from badnets.report.pages.table import padded
from badnets.report.words.facts import Record, listing, rate, readable

MOST_ROWS = 100


def detector_class_rows(record: Record) -> dict[str, Any] | None:
    """One row for each class that the test pictures have: bars, and the figures; None without any. Beyond 100 classes
    those of the lowest average precision."""
    entries = [e for e in listing(record, "results", "per_class") if isinstance(e, Mapping) and e.get("objects")]
    if not entries:
        return None
    shown = entries if len(entries) <= MOST_ROWS else sorted(entries, key=lambda e: e.get("ap50") or 0.0)[:MOST_ROWS]
    rows = [_row(entry) for entry in shown]
    return {"rows": rows, "left_out": len(entries) - len(shown), "success": any(row["asr"] for row in rows)}


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    name = readable(entry.get("class_name", "?"))
    precise, found, success = entry.get("ap50"), rate(entry, "found"), rate(entry, "asr")
    marks = []
    if precise is not None:
        label = f"average precision: {percent(precise)} %"
        marks.append(Mark(value=precise, low=precise, high=precise, role="clean", label=label))
    marks += [mark(found, "clean", square=True, name="found")] if found else []
    marks += [mark(success, "triggered", name="attack success")] if success else []
    return {
        "name": name,
        "objects": f"{entry['objects']:,}",
        "bars": bars(marks, title=f"{name}: " + "; ".join(m.label for m in marks)) if marks else None,
        "ap50": padded(precise) if precise is not None else "",
        "found": _cell(found),
        "named": _cell(rate(entry, "class_accuracy")),
        "asr": _cell(success),
    }


def _cell(found: Mapping[str, Any] | None) -> dict[str, str] | None:
    if found is None:
        return None
    return {"value": padded(found["value"]), "interval": f"{padded(found['low'])} to {padded(found['high'])}"}
