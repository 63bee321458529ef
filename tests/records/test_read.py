"""Records from their files: the committed ones, one of each kind in the older form, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.core.files import file_digest, write_json
from badnets.core.rate import Estimate, Mean, PairedDifference, Rate
from badnets.records.certificate import Certificate, GuardRecord
from badnets.records.finding import Finding
from badnets.records.model import Model
from badnets.records.read import FORMATS, check_files, read_as, read_record
from badnets.records.results import ClassifierFigures, Comparison, DetectorFigures, Evaluation
from badnets.records.run import RunRecord, SceneExample
from badnets.records.study import StudyRecord, StudyRow

OLD = Path(__file__).parent / "old"
COMMITTED = sorted((Path(__file__).parents[2] / "results").glob("*/record.json"))
pytestmark = pytest.mark.filterwarnings("ignore:.*before records carried a digest of themselves")
KINDS: dict[str, type[Model]] = {
    "run_of_a_classifier": RunRecord,
    "run_of_a_detector": RunRecord,
    "study": StudyRecord,
    "certificate": Certificate,
    "guard": GuardRecord,
    "evaluation": Evaluation,
    "comparison": Comparison,
    "finding": Finding,
}


def old(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((OLD / f"{name}.json").read_text(encoding="utf-8"))
    return value


def written(folder: Path, value: Any) -> Path:
    write_json(folder / "record.json", value)
    return folder


def told(value: Any) -> Any:
    """Without the figures' derived numbers, and without what is None: what has to come back to the letter."""
    if isinstance(value, dict):
        derived = {"value", "low", "high"} if "total" in value or "seeds" in value else set()
        if str(value.get("interval")).startswith("spread between"):  # older ones reach beyond 100 points
            derived = {"low", "high"}
        return {k: told(v) for k, v in value.items() if k not in derived and v is not None}
    return [told(v) for v in value] if isinstance(value, list) else value


def holds(new: Any, before: Any) -> bool:
    """Whether ``new`` has everything that ``before`` has."""
    if isinstance(before, dict):
        return isinstance(new, dict) and all(k in new and holds(new[k], v) for k, v in before.items())
    if isinstance(before, list):
        return isinstance(new, list) and len(new) == len(before) and all(map(holds, new, before))
    return bool(new == before)


@pytest.mark.parametrize(
    "path", [*COMMITTED, *sorted(OLD.glob("*.json"))], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_records_come_back_with_everything(path: Path, tmp_path: Path) -> None:
    record = read_record(path)
    write_json(tmp_path / "again.json", record.to_json())
    again = read_record(tmp_path / "again.json")
    assert again == record
    assert again.to_json() == record.to_json()
    before = json.loads(path.read_text(encoding="utf-8"))
    before.pop("sha256", None)  # intervals are computed anew
    assert holds(told(record.to_json()), told(before))


def ends(value: Any) -> list[float]:
    """The ends of every interval of a difference below ``value``."""
    if isinstance(value, list):
        return [end for one in value for end in ends(one)]
    if not isinstance(value, dict):
        return []
    paired = value.get("unit") == "difference" or "paired" in str(value.get("interval")) or "first_only" in value
    own = [value.get(name) for name in ("low", "high")] if paired else []
    return [*(end for end in own if end is not None), *(end for one in value.values() for end in ends(one))]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_no_difference_reaches_beyond_100_points(path: Path) -> None:
    assert all(-1 <= end <= 1 for end in ends(read_record(path).to_json()))


def test_rows_of_older_records_are_cut_off_there() -> None:
    row = {**old("study")["rows"][0], "ours": 0.9, "low": -5.3, "high": 6.4}
    for unit, within in (("difference", (-1, 1)), ("rate", (0, 1)), ("channels", (-5.3, 6.4))):
        read = StudyRow.model_validate({**row, "unit": unit})
        assert (read.low, read.high) == within


def test_one_of_each_kind_is_kept() -> None:
    assert {path.stem for path in OLD.glob("*.json")} == set(KINDS)
    assert {old(name)["format"] for name in KINDS} == set(FORMATS)
    for name, kind in KINDS.items():
        assert type(read_record(OLD / f"{name}.json")) is kind


def test_an_old_run_of_a_classifier() -> None:
    run = read_as(OLD / "run_of_a_classifier.json", RunRecord)
    assert isinstance(run.results, ClassifierFigures)
    assert isinstance(run.results.asr, Mean)
    assert all(isinstance(part, Rate) for part in run.results.asr.parts)
    assert isinstance(run.results.asr_minus_reference.parts[0], PairedDifference)
    assert run.poisoned is not None
    assert run.poisoned.unit == "pictures"  # older records of classifiers do not say it
    assert run.planted[0].rule["kind"] == "all-to-one"
    assert run.data_name == "mnist"


def test_an_old_run_of_a_detector() -> None:
    run = read_as(OLD / "run_of_a_detector.json", RunRecord)
    assert isinstance(run.results, DetectorFigures)
    assert isinstance(run.results.map50, Estimate)
    assert isinstance(run.examples[0], SceneExample)
    assert run.results.appeared_triggered is None  # was not measured then


def test_an_old_study_says_what_it_bore_out() -> None:
    study = read_as(OLD / "study.json", StudyRecord)
    for row, before in zip(study.rows, old("study")["rows"], strict=True):
        assert row.verified is before["verified"]
        assert row.state in ("borne out", "not borne out")
        assert row.figure is None


@pytest.mark.parametrize("name", KINDS)
def test_a_newer_format_is_refused(name: str, tmp_path: Path) -> None:
    newer = {**old(name), "format": f"{old(name)['format'][:-2]}/2"}
    with pytest.raises(BadInput, match=r"^expected badnets/\w+/1 in .*, got the newer badnets/\w+/2; update badnets"):
        read_record(written(tmp_path, newer))


@pytest.mark.parametrize("value", [{}, [], 1, {"format": None}, {"format": "badnets/sweep/1"}, {"format": ["x"]}])
def test_what_is_no_record_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^expected a record \(badnets/run/1, .*record.json, got format"):
        read_record(written(tmp_path, value))


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_record_is_refused_by_place(name: str, tmp_path: Path) -> None:
    for field in sorted(old(name).keys() - {"format", "sha256"}):
        with pytest.raises(BadInput, match=rf"record.json \(badnets/\w+/1\): .*{field}.*; the file may be damaged"):
            read_record(written(tmp_path, {**old(name), field: [[]]}))
    with pytest.raises(BadInput, match="unknown key 'colour'"):
        read_record(written(tmp_path, {**old(name), "colour": 1}))


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    content = (OLD / "guard.json").read_text(encoding="utf-8")
    (tmp_path / "record.json").write_text(content[: len(content) // 2], encoding="utf-8")
    with pytest.raises(BadInput, match=r"^expected JSON in .*record.json, .* the file may be damaged"):
        read_record(tmp_path)


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^expected format 'badnets/run/1' in .*study.json, got 'badnets/study/1'"):
        read_as(OLD / "study.json", RunRecord)


def test_places_without_a_record_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^expected a run or a study \(a folder with record.json\) at .*, got none"):
        read_record(tmp_path)
    with pytest.raises(BadInput, match=r"^expected a run or a study .* at .*absent.json, got none; check the path"):
        read_record(tmp_path / "absent.json")
    (tmp_path / "trials").mkdir()
    with pytest.raises(BadInput, match=r"^expected a finished study in .*, got one that is half written; let `badnets"):
        read_record(tmp_path)


def test_an_exchanged_file_is_refused(tmp_path: Path) -> None:
    for name in ("network.safetensors", "plan.npz"):
        (tmp_path / name).write_text(name)
    files = {name: file_digest(tmp_path / name) for name in ("network.safetensors", "plan.npz")}
    check_files(tmp_path, files)
    check_files(tmp_path, {**files, "pictures.npz": "0" * 64})  # absent, as in committed records
    (tmp_path / "plan.npz").write_text("another")
    with pytest.raises(BadInput, match=r"plan.npz to be the file that its record describes, got another one"):
        check_files(tmp_path, files)
