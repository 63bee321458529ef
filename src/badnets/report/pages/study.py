"""The page of a study: what was found, its figure, what was published, its blocks, the ledger, how to repeat it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from badnets.core.files import whole_file
from badnets.records.study import StudyRecord, Variant
from badnets.report.pages.parts import repeat
from badnets.report.pages.study_blocks import panels
from badnets.report.pages.study_rows import findings, ledger_groups
from badnets.report.pages.templating import render

_SORT = (Path(__file__).parent / "templates" / "sort.js").read_text(encoding="utf-8")
_VARIANTS: dict[Variant, str] = {
    "published": "done as the report did it",
    "corrected": "done as it should be: attack success by definition, several seeds, a clean network for comparison",
    "quick": "the short form, with few trainings: it shows what happens and proves less",
}
_WORDS = {
    "borne out": "our mean lies within the bound that stands below the answer; the interval says how sure that is. No: "
    "it misses it, and the published protocol was run in full. Not run as published: ours was shorter, weaker or "
    "another one, so nothing is refuted. Not judged: the figure says too little to be judged by",
    "clean error": "share of the untouched test pictures that are not read as their true class",
    "error on triggered pictures": "share of the triggered test pictures on which the attack did not work, over those "
    "that the attacker wants read as something else; attack success is the rest",
    "robust accuracy": "share of the same triggered pictures that are still read as their true class",
    "the same on a clean network": "how often a network trained on clean data gives the attacker's answer to the same "
    "triggered pictures",
    "reactivated": "the repaired network is tuned on ten triggered pictures with the attacker's label and on clean "
    "ones: where the backdoor only slept, attack success returns, and further than in a network that never had it",
    "class N+1": "a network of N classes that may refuse has one more: it is no answer",
    "points": "the difference of two shares in percent, also written pt; below 0 where ours is less",
    "95 % interval": "where the true figure is likely to be: never narrower than what one test set can show, and never "
    "narrower than the spread between seeds. A single value of a single seed has none",
}  # fmt: skip


def write_study(record: StudyRecord, path: Path, *, title: str, published: str, trial_word: str = "trainings") -> Path:
    """Write the page to ``path``; contact sheets that lie beside it are linked."""
    sheets = [sheet.name for sheet in sorted(path.parent.glob("contact-sheet-*.png"))]
    text = render_study(record, title=title, published=published, trial_word=trial_word, sheets=sheets)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def render_study(
    record: StudyRecord, *, title: str, published: str, trial_word: str = "trainings", sheets: Sequence[str] = ()
) -> str:
    """The page as HTML text. ``title``, ``published``, ``trial_word`` are the study's own words; ``sheets`` are files
    beside the page."""
    found = findings(record.rows)
    blocks = panels(record.blocks, sheets)
    sorts = any(panel.kind == "table" for row in blocks for panel in row)
    digest = base64.b64encode(hashlib.sha256(_SORT.encode()).digest()).decode()
    variants = {row.variant for row in record.rows}
    named = {"as published" if key == "published" else key: text for key, text in _VARIANTS.items() if key in variants}
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
        definitions={**named, **_WORDS},
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
