"""The ledger is made from records, and from nothing else; the terminal table of a study."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from badnets.core.errors import BadInput
from badnets.core.files import write_json
from badnets.records.study import StudyRecord, TrialSummary
from badnets.studies.ledger import ledger, study_table


@pytest.fixture
def results(tmp_path: Path, record: StudyRecord, repository: Path) -> Path:
    folder = tmp_path / "results"
    put(folder / "b", record)
    put(folder / "a", record.model_copy(update={"study": "earlier", "quick": True, "seeds": 1}))
    run = repository / "results" / "mnist-badnets" / "record.json"
    (folder / "c").mkdir()
    (folder / "c" / "record.json").write_bytes(run.read_bytes())
    return folder


@pytest.fixture
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


def put(folder: Path, record: StudyRecord) -> None:
    write_json(folder / "record.json", record.to_json())


def test_a_table_for_each_study(results: Path) -> None:
    text = ledger(results)
    first, second = text.split("\n\n**")
    assert first.startswith("**`earlier`** (quick), 1 seed: `badnets reproduce")
    assert second.startswith("`made-up`**, 2 seeds: `badnets reproduce made-up --seeds 2`\n\n<details><summary>")
    table = [line for line in second.splitlines() if line.startswith("|")]
    lines = table[2:]
    assert lines[0].startswith("| baseline: clean accuracy | published | 99.50 % | 99.10 % (")
    assert lines[0].endswith(" | 2 | borne out: within 0.5 points of 99.50 % asked |")
    assert lines[2].endswith("| 1 | not run as published: at most 0.09 % asked; 3 passes, not 30 |")
    assert lines[3].endswith("| 1 | not judged: printed, not judged |")
    assert [line.replace("\\|", "").count("|") for line in table] == [7] * 8


def test_only_some_rows(results: Path) -> None:
    text = ledger(results, only=("worst",))
    assert text.count("worst") == 2
    assert "baseline" not in text
    assert ledger(results, only=("nowhere",)) == "No study is recorded yet."


def test_every_state_is_counted(results: Path) -> None:
    states = "1 is not, 1 was not run as published, of 2 it can't be said"
    assert f"<summary>1 of 5 published figures is borne out, {states}; all 6 rows</summary>" in ledger(results)


def test_what_is_not_yet_run_and_what_nobody_published_is_said(tmp_path: Path, record: StudyRecord) -> None:
    rows = tuple(row.model_copy(update={"published": None}) for row in record.rows)
    trials = {"a": TrialSummary(seed=1, spec={}, counts={}, seconds=None)}
    put(tmp_path / "ours", record.model_copy(update={"rows": rows, "trials": trials, "unfinished": ("b", "c")}))
    text = ledger(tmp_path)
    assert "2 seeds (2 of 3 trials not yet run): `badnets" in text
    judged = [row.verified for row in rows if row.verified is not None]
    assert f"{judged.count(True)} of {len(judged)} judged figures are what is asked; all 6 rows" in text


def test_a_newer_record_is_named(tmp_path: Path, record: StudyRecord) -> None:
    write_json(tmp_path / "s" / "record.json", {**record.to_json(), "format": "badnets/study/2"})
    with pytest.raises(BadInput, match="got the newer badnets/study/2; update badnets to read it"):
        ledger(tmp_path)


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
