"""The terminal table of a study."""

from __future__ import annotations

import io

from rich.console import Console

from badnets.records.study import StudyRecord
from badnets.studies.tables import study_table


def shown(record: StudyRecord) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=180, no_color=True).print(study_table(record))
    return [line.strip() for line in stream.getvalue().splitlines() if line.strip()]


def test_every_row_is_shown_with_published_ours_and_state(record: StudyRecord) -> None:
    lines = shown(record)
    assert lines[0] == "made-up"
    assert lines[1].split() == ["what", "variant", "published", "ours", "seeds", "state"]
    states = ["borne out", "not borne out", "not run as published", "not judged", "borne out", "not judged"]
    assert all(line.endswith(state) for line, state in zip(lines[3:], states, strict=True))
    assert " ".join(lines[3].split()).startswith("baseline: clean accuracy published 99.50 % 99.10 % (")
    assert "0.09 %" in lines[4]
    assert "0.30 % (0.10 to 0.88)" in lines[4]
    assert "+0.02 points (\N{MINUS SIGN}" in lines[7]
    assert lines[8].split()[-5:] == ["yes", "yes", "1", "not", "judged"]


def test_the_quick_form_says_so_and_names_are_no_markup(record: StudyRecord) -> None:
    lines = shown(record.model_copy(update={"quick": True}))
    assert lines[0] == "made-up (quick)"
    assert any("[red]" in line for line in lines)
