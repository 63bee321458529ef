"""README's ledger is made from records, and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.core.files import write_json
from badnets.studies.ledger import BEGIN, END, ledger, update_readme


@pytest.fixture
def results(tmp_path: Path, record: dict[str, Any]) -> Path:
    folder = tmp_path / "results"
    write_json(folder / "b" / "record.json", record)
    write_json(folder / "a" / "record.json", {**record, "study": "earlier", "quick": True, "seeds": 1})
    write_json(folder / "c" / "record.json", {"format": "badnets/run/1"})
    return folder


def test_a_table_for_each_study(results: Path) -> None:
    text = ledger(results)
    first, second = text.split("\n\n**")
    assert first.startswith("**`earlier`** (quick), 1 seed: `badnets reproduce")
    assert second.startswith("`made-up`**, 2 seeds: `badnets reproduce made-up --seeds 2`\n\n<details><summary>")
    table = [line for line in second.splitlines() if line.startswith("|")]
    lines = table[2:]
    assert lines[0] == (
        "| baseline: clean accuracy | published | 99.50 % | 99.10 % (97.83 to 100.00) | 2 "
        "| yes: within 0.5 points of 99.50 % asked |"
    )
    assert lines[2].endswith("| 1 | -: printed, not judged |")
    assert [line.replace("\\|", "").count("|") for line in table] == [7] * 7


def test_only_some_rows(results: Path) -> None:
    text = ledger(results, only=("worst",))
    assert text.count("worst") == 2
    assert "baseline" not in text
    assert ledger(results, only=("nowhere",)) == "No study is recorded yet."


def test_rows_nobody_published_or_judged_are_only_in_the_whole_ledger(tmp_path: Path, record: dict[str, Any]) -> None:
    first, *others = record["rows"]
    plain = {**first, "what": "only measured", "published": None, "verified": None}
    write_json(tmp_path / "s" / "record.json", {**record, "rows": [first, plain, *others]})
    assert "| only measured |" in ledger(tmp_path)
    short = ledger(tmp_path, compared=True)
    assert "only measured" not in short
    assert f"| {first['what']} |" in short
    assert f" of {len(others) + 2} rows</summary>" in short


def test_readme_changes_between_its_marks_alone(tmp_path: Path, results: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
    assert update_readme(readme, results)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# Title\n\n{BEGIN}\n\n**`earlier`**")
    assert text.endswith(f"|\n\n</details>\n\n{END}\n\nafter\n")
    assert "old" not in text
    assert not update_readme(readme, results)  # the same records, the same text
    assert readme.read_text(encoding="utf-8") == text
    assert update_readme(readme, tmp_path / "empty")
    assert "No study is recorded yet." in readme.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["no marks", f"{BEGIN} and no end", f"{END} before {BEGIN}"])
def test_a_readme_without_its_marks_is_left_alone(tmp_path: Path, results: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match="README"):
        update_readme(readme, results)
    assert readme.read_text(encoding="utf-8") == text


def test_what_is_not_yet_run_and_what_nobody_published_is_said(tmp_path: Path, record: dict[str, Any]) -> None:
    for row in record["rows"]:
        row["published"] = None
    folder = tmp_path / "ours"
    folder.mkdir()
    write_json(folder / "record.json", {**record, "trials": {"a": {}}, "unfinished": ["b", "c"]})
    text = ledger(tmp_path)
    assert "2 seeds (2 of 3 trials not yet run): `badnets" in text
    judged = [row["verified"] for row in record["rows"] if row["verified"] is not None]
    assert f"{judged.count(True)} of {len(judged)} judged figures are what is asked; all 5 rows" in text
