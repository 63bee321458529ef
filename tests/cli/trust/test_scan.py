"""``badnets scan``: exit codes, lines, JSON, SARIF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Badnets
from tests.hostile.made import SYSTEM, archived, called, npy, torch_zip

STABLE = {"file", "member", "offset", "what", "why", "severity"}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    files = {
        "safe.npy": npy(b"\0" * 8, "<f8"),
        "unsafe.pt": torch_zip(SYSTEM),
        "unknown.pkl": called("nobody.Here"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return {name.partition(".")[0]: tmp_path / name for name in files}


@pytest.mark.parametrize(("verdict", "code"), [("safe", 0), ("unsafe", 1), ("unknown", 1)])
def test_verdicts(badnets: Badnets, places: dict[str, Path], verdict: str, code: int) -> None:
    said = badnets("scan", places[verdict])
    assert (said.code, said.err) == (code, "")
    assert said.out.splitlines()[-1].startswith(f"{verdict}: ")
    value: dict[str, Any] = badnets("scan --json", places[verdict]).json
    assert (value["format"], value["verdict"], value["files"]) == ("badnets/scan/1", verdict, 1)
    assert all(set(one) >= STABLE for one in value["findings"])
    assert len(value["findings"]) == code


def test_a_line_for_each(badnets: Badnets, places: dict[str, Path]) -> None:
    line = badnets("scan", places["unsafe"]).out.splitlines()[0]
    assert line.startswith(f"unsafe   {places['unsafe']}!archive/data.pkl at 2: calls os.system, which runs commands. ")
    assert "do not open it" in line


def test_a_folder(badnets: Badnets, places: dict[str, Path], tmp_path: Path) -> None:
    said = badnets("scan", tmp_path)
    assert said.code == 1
    assert said.out.splitlines()[-1] == "unsafe: 2 of 3 files: 1 unsafe and 1 unknown findings"


def test_sarif(badnets: Badnets, places: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "a b\u202e.pkl").write_bytes(called("os.system"))
    badnets("scan --sarif out.sarif", tmp_path)
    value = json.loads(Path("out.sarif").read_text())
    assert value["version"] == "2.1.0"
    (run,) = value["runs"]
    known = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {(one["ruleId"], one["level"]) for one in run["results"]} == {
        ("pickle-runs", "error"),
        ("pickle-unknown", "warning"),
    }
    assert {one["ruleId"] for one in run["results"]} == known
    places_ = [one["locations"][0]["physicalLocation"] for one in run["results"]]
    assert {place["artifactLocation"]["uri"] for place in places_} == {
        "a%20b%E2%80%AE.pkl",
        "unknown.pkl",
        "unsafe.pt",
    }
    assert sorted(place.get("region", {}).get("byteOffset", -1) for place in places_) == [-1, 2, 2]


def test_many_lines(badnets: Badnets, tmp_path: Path) -> None:
    names = [called(f"nobody.f{number}")[:-1] + b"0" for number in range(80)]
    (tmp_path / "x.zip").write_bytes(archived({"x.pkl": b"".join(names) + b"N."}))
    said = badnets("scan", tmp_path / "x.zip")
    assert len(said.out.splitlines()) == 52
    assert "and 30 more (--json has them all)" in said.out
    assert len(badnets("scan --json", tmp_path / "x.zip").json["findings"]) == 80


def test_what_is_not_there(badnets: Badnets) -> None:
    said = badnets("scan nothing.pt")
    assert (said.code, said.out) == (2, "")
    assert said.message == "badnets: expected a network file or a folder at nothing.pt, got nothing; check the path"
