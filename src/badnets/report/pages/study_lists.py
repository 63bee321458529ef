"""Tables of a study whose lines are mappings: what each method does, whatever figures it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from badnets.report.pages.table import padded
from badnets.report.words.facts import readable

_TITLES = {"repairs": "What each repair does", "abstainers": "What each abstainer does"}
_GROUPED = ("badnet", "network")
_COLUMNS = {
    "asr": "attack success left, %",
    "clean_accuracy": "clean accuracy, %",
    "lost": "clean accuracy lost, points",
    "robust_gap": "robust accuracy below it, points",
    "clean_network_lost": "a clean network loses, points",
    "reactivated": "attack success after re-tuning on ten triggered pictures, %",
    "reactivated_clean_network": "the same on a clean network, %",
    "refused": "clean pictures refused, %",
    "refused_triggered": "triggered pictures refused, %",
    "safe": "triggered pictures refused or read rightly, %",
    "seconds": "seconds",
}
_PLAIN = ("seconds",)


def list_tables(tables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A table for each list of ``tables`` that has a title here: columns, and rows in groups.

    A cell is a text, or a figure with its interval. A line that says only why there are no figures (``note``, or
    ``refused`` as words) has one cell across all of them.
    """
    found = []
    for name, title in _TITLES.items():
        lines = [line for line in _lines(tables.get(name)) if line]
        if lines:
            found.append({"id": name, "title": title, **_table(lines)})
    return found


def _lines(value: object) -> list[Mapping[str, Any]]:
    return [line for line in value if isinstance(line, Mapping)] if isinstance(value, list | tuple) else []


def _table(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = list(dict.fromkeys(name for line in lines for name in line))
    group_by = next((name for name in _GROUPED if name in keys), None)
    texts = [name for name in keys if any(isinstance(line.get(name), str) for line in lines) and name not in _COLUMNS]
    texts = [name for name in texts if name not in (group_by, "note")]
    figures = [name for name in keys if name not in (*texts, group_by, "note")]
    groups: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        group = str(line.get(group_by) or "") if group_by else ""
        groups.setdefault(group, []).append(_row(line, texts, figures))
    return {
        "texts": [readable(name) for name in texts],
        "figures": [_COLUMNS.get(name, readable(name)) for name in figures],
        "groups": [{"name": name, "rows": rows} for name, rows in groups.items()],
        "across": len(texts) + len(figures),
    }


def _row(line: Mapping[str, Any], texts: Sequence[str], figures: Sequence[str]) -> dict[str, Any]:
    note = next((line[name] for name in ("note", "refused") if isinstance(line.get(name), str)), None)
    return {
        "texts": [str(line.get(name, "")) for name in texts],
        "note": note,
        "figures": [_cell(name, line.get(name)) for name in figures],
    }


def _cell(name: str, value: object) -> dict[str, str] | None:
    """A figure: shares in percent; seconds as they are; yes or no."""
    if isinstance(value, bool):
        return {"value": "yes" if value else "no", "interval": ""}
    if isinstance(value, int | float):
        return {"value": f"{value:,.1f}" if name in _PLAIN else f"{value:g}", "interval": ""}
    if not isinstance(value, Mapping) or not isinstance(value.get("value"), int | float):
        return None
    if name in _PLAIN:
        return {"value": f"{value['value']:,.1f}", "interval": ""}
    low, high = (value.get(end) for end in ("low", "high"))
    known = isinstance(low, int | float) and isinstance(high, int | float) and low < high
    return {"value": _percent(value["value"], 6), "interval": f"{_percent(low, 5)} to {_percent(high, 5)}"
            if known else ""}  # fmt: skip


def _percent(value: Any, width: int) -> str:
    """With a true minus sign."""
    return padded(float(value), width).replace("-", "\N{MINUS SIGN}")
