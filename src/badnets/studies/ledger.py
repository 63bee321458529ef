"""Rows of studies as tables: docs/ledger.md, made from the records under ``results/``, and one in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from badnets.records.read import RECORD, read_record
from badnets.records.study import StudyRecord, StudyRow
from badnets.report.words.values import show_ours, show_value, tally

_HEAD = ("| what | variant | published | ours (95 % interval) | seeds | state |", "|---|---|--:|--:|--:|---|")


def study_records(results: Path) -> list[StudyRecord]:
    """The recorded studies, by the name of their folder; runs beside them are passed over."""
    folders = sorted(path.parent for path in results.glob(f"*/{RECORD}"))
    return [record for record in map(read_record, folders) if isinstance(record, StudyRecord)]


def ledger(results: Path, *, only: tuple[str, ...] = ()) -> str:
    """Markdown: a folded table for each study, by name; ``only`` keeps rows that contain one of these."""
    parts = []
    for record in study_records(results):
        rows = [row for row in record.rows if not only or any(words in row.what for words in only)]
        if rows:
            parts.append(_table(record, rows))
    return "\n\n".join(parts) or "No study is recorded yet."


def _table(record: StudyRecord, rows: Sequence[StudyRow]) -> str:
    seeds = "1 seed" if record.seeds == 1 else f"{record.seeds} seeds"
    missing = len(record.unfinished or ())
    part = f" ({missing} of {missing + len(record.trials)} trials not yet run)" if missing else ""
    title = f"**`{record.study}`**{' (quick)' if record.quick else ''}, {seeds}{part}: `{record.command}`"
    fold = f"<details><summary>{_summary(rows)}; all {len(rows)} rows</summary>"
    return "\n".join([title, "", fold, "", *_HEAD, *map(_line, rows), "", "</details>"])


def _summary(rows: Sequence[StudyRow]) -> str:
    """What a reader sees before unfolding the table."""
    if published := [row for row in rows if row.published is not None]:
        return tally(published).removesuffix(".")
    verdicts = [row.verified for row in rows if row.verified is not None]  # no numbers published, or a study of ours
    return f"{verdicts.count(True)} of {len(verdicts)} judged figures are what is asked"


def _cells(row: StudyRow) -> tuple[str, ...]:
    published = show_value(row.published, row.unit)
    return row.what, row.variant, published, show_ours(row), str(row.n_seeds), row.state


def _line(row: StudyRow) -> str:
    """A bar or a line break would end a cell."""
    *cells, state = _cells(row)
    cells.append(state + (f": {row.why}" if row.why else ""))
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def study_table(record: StudyRecord) -> Table:
    """A row for each row of the record: what, variant, published, ours with its interval, seeds, state."""
    table = Table(box=box.SIMPLE, title=Text(f"{record.study}{' (quick)' if record.quick else ''}"))
    for name in ("what", "variant", "published", "ours", "seeds", "state"):
        table.add_column(name, justify="right" if name in ("published", "ours", "seeds") else "left")
    for row in record.rows:
        table.add_row(*map(Text, _cells(row)))
    return table
