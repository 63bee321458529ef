"""A certificate as a terminal table: before, after, and the paired difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from badnets.core.text import percent
from badnets.report.charts.figures import Role
from badnets.report.words.facts import Record, points, rate

ROWS: tuple[tuple[str, str, Role], ...] = (
    ("clean_accuracy", "clean accuracy", "clean"),
    ("refused", "clean pictures refused", "clean"),
    ("asr", "attack success", "triggered"),
    ("robust_accuracy", "robust accuracy", "triggered"),
    ("refused_triggered", "triggered pictures refused", "triggered"),
)
"""The rates of ``before`` and ``after``, with their names for people."""

TUNED_AGAIN: tuple[tuple[str, str], ...] = (
    ("repaired", "the repaired network"),
    ("clean_network", "a clean network"),
    ("backdoored", "the network before the repair"),
)
"""Whom ``reactivation`` re-tunes."""


def certificate_table(certificate: Record) -> Table:
    """One row for each measure of the network, of the clean network, and of re-tuning."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("before", "after", "difference, points"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    control = certificate.get("clean_network")
    for owner, prefix in ((certificate, ""), (control, "clean network, ")):
        for key, name, role in ROWS if isinstance(owner, Mapping) else ():
            before, after = rate(owner, "before", key), rate(owner, "after", key)
            if before is None and after is None:
                continue
            style = "blue" if role == "clean" else "dark_orange"
            difference = rate(owner, "after_minus_before", key)
            shown = (_short(before), _short(after), "" if difference is None else _points(difference))
            table.add_row(Text(prefix + name, style=style), *map(Text, shown))
    again = certificate.get("reactivation")
    if isinstance(again, Mapping):
        table.add_row(Text(f"attack success after re-tuning on {again['poisoned_pictures']} poisoned pictures"))
        for key, name in TUNED_AGAIN:
            found = rate(again, key)
            if found is not None:
                table.add_row(Text(f"  {name}", style="dark_orange"), "", Text(_short(found)), "")
    return table


def _short(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{percent(found['value'])} % ({percent(found['low'])} to {percent(found['high'])})"


def _points(difference: Mapping[str, Any]) -> str:
    return f"{points(difference['value'])} ({points(difference['low'])} to {points(difference['high'])})"
