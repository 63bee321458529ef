"""The ledger: README's table of studies, made from the records under ``results/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from badnets.core.record import read_json
from badnets.studies.tables import show_ours, show_value, verdict_word

BEGIN, END = "<!-- ledger: made by `make docs` from results/ -->", "<!-- end of ledger -->"


def ledger(results: Path, *, only: tuple[str, ...] = ()) -> str:
    """Markdown: a table for each study, in the order of their names; ``only`` keeps rows that contain one of these."""
    parts = []
    for path in sorted(results.glob("*/record.json")):
        record: dict[str, Any] = read_json(path)
        if record.get("format") != "badnets/study/1":
            continue
        lines = [f"**`{record['study']}`**, {record['seeds']} seeds", "", "| what | variant | published | ours (95 % interval) | seeds | verified |"]  # noqa: E501
        lines.append("|---|---|--:|--:|--:|---|")
        for row in record["rows"]:
            if only and not any(words in row["what"] for words in only):
                continue
            cells = (row["what"], row["variant"], show_value(row["published"], row["unit"]), show_ours(row))
            lines.append(f"| {' | '.join(cells)} | {row['n_seeds']} | {verdict_word(row)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def update_readme(readme: Path, results: Path) -> bool:
    """Put the ledger between its marks; True when the file changed."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    new = f"{before}{BEGIN}\n\n{ledger(results)}\n\n{END}{after}"
    if new == text:
        return False
    readme.write_text(new, encoding="utf-8")
    return True
