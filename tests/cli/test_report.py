"""``badnets report``: the page of whatever a record is of."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from badnets.core.files import read_json, write_json
from badnets.core.rate import Rate
from badnets.records.certificate import Certificate, Change, Defender, GuardRecord, Standing, Truth
from badnets.records.finding import Finding
from badnets.records.model import Environment

Call = Any
RESULTS = Path(__file__).resolve().parents[2] / "results"
DONE: dict[str, Any] = {
    "network": "a.safetensors", "model": "b.h5", "architecture": "g1-cnn", "data": {"name": "digits"},
    "data_digest": "0",
    "class_names": ("0", "1"), "defender": Defender(pictures=100, digest="0", seed=1), "truth": Truth(), "trace": (),
    "method": {"kind": "fine-tune"}, "chosen": "epoch 1", "stopped": None, "seconds": 1.0,
    "command": "badnets repair b.h5",
    "before": Standing(clean_accuracy=Rate(99, 100)), "after": Standing(clean_accuracy=Rate(98, 100)),
    "after_minus_before": Change(), "environment": Environment(versions={}, platform="p", processor="c"),
    "commit": None, "files": {},
}  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A committed study, alone in its folder."""
    folder = tmp_path / "study"
    folder.mkdir()
    shutil.copy(RESULTS / "useloff-mnist" / "record.json", folder)
    return folder


def test_a_study_gets_its_page(badnets: Call, study: Path) -> None:
    said = badnets("report study")
    assert (said.code, said.err, said.out) == (0, "", "page  study/report.html\n")
    text = (study / "report.html").read_text()
    assert "Backdoor and clean-label attacks on handwritten digits" in text
    assert "published figures are borne out" in text
    assert badnets("report --out page.html study/record.json").out == "page  page.html\n"


def test_a_run_whose_files_are_others_is_refused(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    (copy / read_json(copy / "record.json")["network"]).write_bytes(b"another network")
    badnets.refused("to be the file that its record describes", "report copy")


def test_a_certificate_gets_its_page_beside_it(badnets: Call, tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "pictures": 100,
        "changed": True,
        "clean_network": None,
        "reactivation": None,
        "notes": (),
        "timings_s": {},
    }
    write_json(tmp_path / "fixed.json", Certificate(**DONE, **more).to_json())
    assert badnets("report fixed.json").out == "page  fixed.html\n"
    assert "fine tune" in (tmp_path / "fixed.html").read_text()


def test_a_finding_gets_its_page_where_the_audit_has_it(badnets: Call, tmp_path: Path) -> None:
    found = Finding(
        verdict="nothing-found", reason="it is usual", p=0.4, ground="matched", n_references=39, target=None,
        source=None, kind=None, trigger=None, classes=(), pictures=0, model="b.h5", network_sha256=None,
        architecture="g1-cnn", class_names=("0", "1"), input_size=(1, 28, 28), data=None, data_digest=None,
        detectors=(), seed=1, seconds=1.0, command="badnets audit b.h5", environment=DONE["environment"], commit=None,
    )  # fmt: skip
    for name in ("finding.json", "other.json"):
        write_json(tmp_path / name, found.to_json())
    assert badnets("report finding.json").out == "page  report.html\n"
    assert "Nothing found (p = 0.4" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert badnets("report --out x.html .").out == "page  x.html\n"
    assert badnets("report other.json").out == "page  other.html\n"


def test_other_records_have_no_page_and_studies_are_not_compared(badnets: Call, study: Path, tmp_path: Path) -> None:
    more = {"threshold": 0.5, "refuse": 0.01, "calibration": Rate(1, 100), "warning": None}
    write_json(tmp_path / "guard.json", GuardRecord(**DONE, **more).to_json())
    expected = "expected a run, a study, a repair's certificate or a finding in guard.json"
    badnets.refused(f"{expected}, got badnets/guard/1", "report guard.json")
    badnets.refused("expected only runs to compare, got badnets/study/1", "report", study, study)


def test_a_newer_record_and_a_half_written_study_are_told(badnets: Call, study: Path, tmp_path: Path) -> None:
    write_json(study / "record.json", {"format": "badnets/study/2"})
    assert "got the newer badnets/study/2; update badnets to read it" in badnets("report study").message
    (tmp_path / "half" / "trials").mkdir(parents=True)
    assert "got one that is half written" in badnets("report half").message
