"""The page of a study: what was found, its figure, what was published, its blocks, the ledger, how to repeat it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from badnets.core.files import write_text
from badnets.core.toml import shipped_table
from badnets.records.study import StudyRecord
from badnets.report.pages.parts import repeat
from badnets.report.pages.study_blocks import panels
from badnets.report.pages.study_rows import findings, ledger_groups
from badnets.report.pages.templating import render

_SORT = (Path(__file__).parent / "templates" / "sort.js").read_text(encoding="utf-8")
_MEANINGS = shipped_table("badnets.report.words", "study.toml")


def write_study(record: StudyRecord, path: Path, *, title: str, published: str, trial_word: str = "trainings") -> Path:
    """Write the page to ``path``; contact sheets that lie beside it are linked."""
    sheets = [sheet.name for sheet in sorted(path.parent.glob("contact-sheet-*.png"))]
    text = render_study(record, title=title, published=published, trial_word=trial_word, sheets=sheets)
    return write_text(path, text)


def render_study(
    record: StudyRecord, *, title: str, published: str, trial_word: str = "trainings", sheets: Sequence[str] = ()
) -> str:
    """The page as HTML text. ``title``, ``published``, ``trial_word`` are the study's own words; ``sheets`` are files
    beside the page."""
    found = findings(record.rows)
    blocks = panels(record.blocks, sheets)
    sorts = any(panel.kind == "table" for row in blocks for panel in row)
    digest = base64.b64encode(hashlib.sha256(_SORT.encode()).digest()).decode()
    variants = {"as published" if row.variant == "published" else row.variant for row in record.rows}
    return render(
        "study.html.j2",
        title=title,
        finding=found[0],
        summary=_summary(record, trial_word),
        published=published,
        more=found[1:],
        blocks=blocks,
        groups=ledger_groups(record.rows),
        count=len(record.rows),
        repeat=repeat(record),
        definitions={k: v for k, v in _MEANINGS["variants"].items() if k in variants} | _MEANINGS["words"],
        script=Markup(_SORT) if sorts else None,  # noqa: S704  # our own file
        script_digest=digest,
    )


def _summary(record: StudyRecord, trial_word: str) -> str:
    parts = [record.study, "1 seed" if record.seeds == 1 else f"{record.seeds} seeds"]
    if record.trials:
        parts.append(f"{len(record.trials):,} {trial_word}")
    if record.unfinished:
        parts.append(f"{len(record.unfinished):,} more not yet run")
    if record.quick:
        parts.append("quick form: few trainings, so it shows more than it proves")
    return " · ".join(parts)
