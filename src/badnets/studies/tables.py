"""Rows of a study as a terminal table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from badnets.records.study import StudyRow
from badnets.report.words.values import show_ours, show_value, verdict_word

if TYPE_CHECKING:
    from rich.table import Table


def study_table(record: dict[str, Any]) -> Table:
    """A row for each row of the record: what, variant, published, ours with its interval, seeds, verified."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, title=Text(f"{record['study']}{' (quick)' if record['quick'] else ''}"))
    for name in ("what", "variant", "published", "ours", "seeds", "verified"):
        table.add_column(name, justify="right" if name in ("published", "ours", "seeds") else "left")
    for row in record["rows"]:
        typed = StudyRow.model_validate(row)  # BORDER
        published = show_value(row["published"], row["unit"])
        cells = (row["what"], row["variant"], published, show_ours(typed), str(row["n_seeds"]), verdict_word(typed))
        table.add_row(*map(Text, cells))
    return table
