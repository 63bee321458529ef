"""Rows of a study as a terminal table and as Markdown."""

from __future__ import annotations

from typing import Any

from badnets.core.rate import percent


def show_value(value: float | None, unit: str) -> str:
    """A rate in percent, a difference in points, anything else as it is."""
    if value is None:
        return "-"
    if unit == "rate":
        return f"{percent(value)} %"
    if unit == "difference":
        return f"{100 * value:+.3f} points"
    if unit == "yes or no":
        return "yes" if value else "no"
    return f"{value:g}"


def show_ours(row: dict[str, Any]) -> str:
    """Ours with its interval."""
    unit = row["unit"]
    shown = show_value(row["ours"], unit)
    if unit not in ("rate", "difference") or row["low"] is None or row["low"] == row["high"]:
        return shown
    low, high = (show_value(row[key], unit).split(" ")[0] for key in ("low", "high"))
    return f"{shown} ({low} to {high})"


def verdict_word(row: dict[str, Any]) -> str:
    """``yes``, ``no`` or ``-`` where it can't be said."""
    return {True: "yes", False: "no", None: "-"}[row["verified"]]


def study_table(record: dict[str, Any]) -> Any:
    """A rich table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title=f"{record['study']}{' (quick)' if record['quick'] else ''}")
    for name in ("what", "variant", "published", "ours", "seeds", "verified"):
        table.add_column(name, justify="right" if name in ("published", "ours", "seeds") else "left")
    for row in record["rows"]:
        published = show_value(row["published"], row["unit"])
        table.add_row(row["what"], row["variant"], published, show_ours(row), str(row["n_seeds"]), verdict_word(row))
    return table
