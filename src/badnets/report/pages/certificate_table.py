"""A certificate as a terminal table: before, after, and the paired difference."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from badnets.core.rate import Interval
from badnets.core.text import short_figure
from badnets.records.blocks import Role
from badnets.records.certificate import Certificate, Control, GuardRecord
from badnets.report.pages.table import STYLES, plain_table
from badnets.report.words.names import known

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


def certificate_table(certificate: Certificate | GuardRecord) -> Table:
    """One row for each measure of the network, of the clean network, of each target, and of re-tuning."""
    table = plain_table("before", "after", "difference, points")
    _standings(table, certificate, "")
    if isinstance(certificate, GuardRecord):
        return table
    for target in certificate.targets or ():
        name = f"attack success, target {certificate.class_names[target.target]}"
        _add(table, name, "triggered", target.before, target.after, None)
    if certificate.clean_network is not None:
        _standings(table, certificate.clean_network, "clean network, ")
    if (again := certificate.reactivation) is not None:
        table.add_row(Text(f"attack success after re-tuning on {again.poisoned_pictures} poisoned pictures"))
        for key, name in TUNED_AGAIN:
            _add(table, f"  {name}", "triggered", None, getattr(again, key), None)
    return table


def _standings(table: Table, owner: Certificate | GuardRecord | Control, prefix: str) -> None:
    for key, name, role in ROWS:
        change = getattr(owner.after_minus_before, key, None)
        _add(table, prefix + name, role, getattr(owner.before, key), getattr(owner.after, key), change)


def _add(table: Table, name: str, role: Role, *figures: Interval | None) -> None:
    """A row of before, after and their difference, where any is known."""
    cells = ["" if known(figure) is None else short_figure(figure) for figure in figures]
    if any(cells):
        table.add_row(Text(name, style=STYLES[role]), *map(Text, cells))
