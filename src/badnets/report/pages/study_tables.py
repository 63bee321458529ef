"""Tables of a study as drawings: the error of every pair of classes, and the errors of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from badnets.core.old import format_rate
from badnets.core.text import percent
from badnets.report.charts.confusion import MOST_CLASSES, SIDE, framed, square
from badnets.report.charts.figures import bars, mark, nice_ticks
from badnets.report.charts.svg import join
from badnets.report.pages.table import padded
from badnets.report.words.facts import rate

Cell = tuple[int, int, Mapping[str, Any]]
"""True class, wanted class, attack success."""

_LEAST_FULL = 0.01  # the strongest color is an error of 1 % or more, or single pictures would look like failures
_SQUARE = 3  # figures of a number in a cell


def pair_maps(pairs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each trigger a map of errors on triggered pictures: rows are the true classes, columns the wanted ones."""
    read = {str(name): _cells(entries) for name, entries in pairs.items()}
    classes = 1 + max((c for cells in read.values() for cell in cells for c in cell[:2]), default=0)
    return [_pair_map(name, cells, classes) for name, cells in read.items() if cells]


def _cells(entries: Any) -> list[Cell]:
    return [found for entry in entries if (found := _cell(entry)) is not None] if _is_list(entries) else []


def _pair_map(trigger: str, cells: Sequence[Cell], classes: int) -> dict[str, Any]:
    full = max(_LEAST_FULL, *(_error(success) for _, _, success in cells))
    size = SIDE / classes
    drawn = join([_pair(cell, size, full) for cell in cells])
    worst = sorted(cells, key=lambda cell: -_error(cell[2]))[:3]
    wrong = [f"{i} → {j}: {percent(_error(success))} %" for i, j, success in worst if _error(success) > 0]
    total = sum(success["total"] - success["hits"] for _, _, success in cells)
    pictures = sum(success["total"] for _, _, success in cells)
    pooled = f"{total:,} of {pictures:,} triggered pictures of {len(cells)} pairs do not become the wanted class"
    described = f"{pooled}. Largest: {'; '.join(wrong)}." if wrong else f"{pooled}."
    names = [str(i) for i in range(classes)]
    title = f"Error on triggered pictures of each pair, {trigger}"
    return {
        "trigger": trigger,
        "svg": framed(drawn, names, title, described),
        "full": percent(full),
        "pooled": pooled,
        "worst": wrong,
    }


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _cell(entry: Any) -> Cell | None:
    success = rate(entry, "asr")
    if success is None:
        return None
    source, target = (entry.get(name) for name in ("source", "target"))
    known = all(isinstance(c, int) and not isinstance(c, bool) and 0 <= c < MOST_CLASSES for c in (source, target))
    return (source, target, success) if known else None


def _error(success: Mapping[str, Any]) -> float:
    """One count out of another, not 1 minus a rounded share."""
    return (success["total"] - success["hits"]) / success["total"] if success["total"] else 0.0


def _pair(cell: Cell, size: float, full: float) -> Markup:
    source, target, success = cell
    error = _error(success)
    wrong = success["total"] - success["hits"]
    text = f"{source} → {target}: {percent(error)} % ({wrong:,} of {success['total']:,})"
    strength = 0.12 + 0.88 * error / full if error else 0.0
    return square((source, target), size, "triggered", strength, _short(error), text)


def _short(error: float) -> str:
    """``"0"`` only where there is no error at all."""
    if not error:
        return "0"
    shown = f"{100 * error:.{_SQUARE}g}" if error >= 0.1 else percent(error)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def class_errors(entries: Any) -> dict[str, Any] | None:
    """A row for each class: errors on clean and on triggered pictures as bars on one axis from 0, and as figures."""
    read = [_errors(entry) for entry in entries or () if isinstance(entry, Mapping)] if _is_list(entries) else []
    read = [entry for entry in read if entry["rates"]]
    if not read:
        return None
    top = min(1.0, nice_ticks(0.0, max(r["high"] for entry in read for r in entry["rates"].values()), count=2)[-1])
    return {"rows": [_class_row(entry, top) for entry in read], "axis": [f"{50 * top:g}", f"{100 * top:g} %"]}


def _errors(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: rate(entry, name) for name in ("clean_error", "triggered_error")}
    name = f"{entry.get('class', '?')} → {entry.get('becomes', '?')}"
    return {"name": name, "rates": {key: r for key, r in found.items() if r is not None}}


def _class_row(entry: dict[str, Any], top: float) -> dict[str, Any]:
    rates = entry["rates"]
    marks = [mark(rates["clean_error"], "clean", name="clean error")] if "clean_error" in rates else []
    marks += [mark(rates["triggered_error"], "triggered", name="triggered error")] if "triggered_error" in rates else []
    scaled = [replace(m, value=m.value / top, low=m.low / top, high=min(1.0, m.high / top)) for m in marks]
    title = f"{entry['name']}: " + "; ".join(m.label for m in marks)
    cells = {name: _figure(rates.get(name)) for name in ("clean_error", "triggered_error")}
    return {"name": entry["name"], "bars": bars(scaled, title=title), **cells}


def _figure(found: Mapping[str, Any] | None) -> dict[str, str] | None:
    if found is None:
        return None
    interval = f"{padded(found['low'], 5)} to {padded(found['high'], 5)}"
    return {"value": padded(found["value"], 5), "interval": interval, "text": format_rate(dict(found))}
