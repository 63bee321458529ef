"""The ledger: README's table of studies, made from the records under ``results/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.files import read_json, whole_file
from badnets.records.study import StudyRow
from badnets.report.words.values import show_ours, show_value, verdict_word

FORMAT = "badnets/study/1"
BEGIN, END = "<!-- ledger: made by `make docs` from results/ -->", "<!-- end of ledger -->"
_HEAD = ("| what | variant | published | ours (95 % interval) | seeds | verified |", "|---|---|--:|--:|--:|---|")


def ledger(results: Path, *, only: tuple[str, ...] = (), compared: bool = False) -> str:
    """Markdown: a folded table for each study, by name; ``only`` keeps rows that contain one of these, ``compared``
    those that were published or are judged."""
    parts = []
    for path in sorted(results.glob("*/record.json")):
        record: dict[str, Any] = read_json(path)
        if record.get("format") != FORMAT:
            continue
        rows = [row for row in record["rows"] if not only or any(words in row["what"] for words in only)]
        if rows:
            parts.append(_table(record, rows, compared=compared))
    return "\n\n".join(parts) or "No study is recorded yet."


def _table(record: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, compared: bool) -> str:
    shown = [row for row in rows if row["published"] is not None or row["verified"] is not None] if compared else rows
    seeds = "1 seed" if record["seeds"] == 1 else f"{record['seeds']} seeds"
    missing = len(record.get("unfinished", ()))
    part = f" ({missing} of {missing + len(record['trials'])} trials not yet run)" if missing else ""
    title = f"**`{record['study']}`**{' (quick)' if record['quick'] else ''}, {seeds}{part}: `{record['command']}`"
    fold = f"<details><summary>{_summary(rows, len(shown))}</summary>"
    return "\n".join([title, "", fold, "", *_HEAD, *map(_line, shown), "", "</details>"])


def _summary(rows: Sequence[Mapping[str, Any]], shown: int) -> str:
    """What a reader sees before unfolding the table."""
    count = f"all {len(rows)} rows" if shown == len(rows) else f"{shown} of {len(rows)} rows"
    judged = [row["verified"] for row in rows if row["published"] is not None]
    if not judged:  # a report without numbers, or a study of our own
        asked = [row["verified"] for row in rows if row["verified"] is not None]
        return f"{asked.count(True)} of {len(asked)} judged figures are what is asked; {count}"
    borne, not_borne = judged.count(True), judged.count(False)
    open_ones = len(judged) - borne - not_borne
    return (
        f"{borne} of {len(judged)} published figures are borne out, {not_borne} are not, "
        f"of {open_ones} it can't be said; {count}"
    )


def _line(row: Mapping[str, Any]) -> str:
    typed = StudyRow.model_validate(row)  # BORDER
    verified = verdict_word(typed) + (f": {row['why']}" if row["why"] else "")
    cells = (row["what"], row["variant"], show_value(row["published"], row["unit"]), show_ours(typed))
    return "| " + " | ".join(_cell(text) for text in (*cells, str(row["n_seeds"]), verified)) + " |"


def _cell(text: str) -> str:
    """A bar or a line break would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def update_readme(readme: Path, results: Path) -> bool:
    """Put the ledger between its marks; True when the file changed. Raises BadInput where a mark is missing."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadInput(f"expected the marks {BEGIN!r} and {END!r} in {readme}, got none or one; put them back")
    new = f"{before}{BEGIN}\n\n{ledger(results, compared=True)}\n\n{END}{after}"
    if new == text:
        return False
    with whole_file(readme) as partial:
        partial.write_text(new, encoding="utf-8")
    return True
