"""Rows of a study as a terminal table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from badnets.records.study import StudyRecord
from badnets.report.words.values import show_ours, show_value

if TYPE_CHECKING:
    from rich.table import Table


def study_table(record: StudyRecord) -> Table:
    """A row for each row of the record: what, variant, published, ours with its interval, seeds, state."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, title=Text(f"{record.study}{' (quick)' if record.quick else ''}"))
    for name in ("what", "variant", "published", "ours", "seeds", "state"):
        table.add_column(name, justify="right" if name in ("published", "ours", "seeds") else "left")
    for row in record.rows:
        published = show_value(row.published, row.unit)
        table.add_row(*map(Text, (row.what, row.variant, published, show_ours(row), str(row.n_seeds), row.state)))
    return table
