"""Records and files that were changed since they were written: refused, or read with a warning that outputs repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badnets.core import VERSION
from badnets.core.errors import BadInput
from badnets.core.files import digest, file_digest, write_json
from badnets.core.toml import tomllib
from badnets.records.read import network_file, read_record, read_run, read_verified, write_record
from badnets.records.run import RunRecord
from badnets.records.verified import UnverifiedWarning, doubts, sealed, unverified

Make = Callable[..., RunRecord]


@pytest.fixture
def folder(tmp_path: Path, detector_record: Make) -> Path:
    """A run's folder of today."""
    for name in ("network.safetensors", "plan.npz"):
        (tmp_path / name).write_text(name)
    record = detector_record()
    today = record.environment.model_copy(update={"versions": {"badnets": VERSION}})
    files = {name: file_digest(tmp_path / name) for name in ("network.safetensors", "plan.npz")}
    write_record(tmp_path / "record.json", record.model_copy(update={"environment": today, "files": files}))
    return tmp_path


def changed(folder: Path, change: Callable[[dict[str, Any]], object], *, seal: bool = False) -> None:
    value = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    change(value)
    write_json(folder / "record.json", sealed(value) if seal else value)


def test_the_version_is_one() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == VERSION


def test_a_record_carries_the_digest_of_the_rest(folder: Path) -> None:
    value = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    assert list(value)[-1] == "sha256"
    assert value.pop("sha256") == digest(value)
    assert read_run(folder) == read_verified(folder) == read_record(folder / "record.json")


def test_its_layout_does_not_count(folder: Path) -> None:
    value = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    (folder / "record.json").write_text(json.dumps(dict(reversed(value.items()))), encoding="utf-8")
    read_run(folder)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a count": lambda r: r["results"]["asr"].update(hits=1),
    "a name": lambda r: r.update(name="other"),
    "another digest": lambda r: r.update(sha256="0" * 64),
    "no text": lambda r: r.update(sha256=None),
    "no digest": lambda r: r.pop("sha256"),
    "no digest and no version": lambda r: [r.pop("sha256"), r["environment"]["versions"].clear()],
    "no digest and a strange version": lambda r: [r.pop("sha256"), r["environment"]["versions"].update(badnets="²")],
    "no digest and a later version": lambda r: [r.pop("sha256"), r["environment"]["versions"].update(badnets="1")],
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_record_is_refused_by_name(folder: Path, what: str) -> None:
    changed(folder, CHANGES[what])
    with pytest.raises(BadInput, match=r"record\.json .*; restore it, make it anew, or go on .* --unverified"):
        read_record(folder)
    with unverified() as found:
        with pytest.warns(UnverifiedWarning, match=r"^not verified: .*record\.json"):
            record = read_record(folder)
        assert len(found) == len(doubts()) == 1
        assert record.to_json()["verified"] is False  # whatever is written now says so
    assert doubts() == ()
    assert "verified" not in record.to_json()


@pytest.mark.parametrize("name", ["network.safetensors", "plan.npz"])
def test_a_changed_file_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_text("another")
    for read in (read_run, read_verified, network_file):
        with pytest.raises(BadInput, match=f"expected .*{name} to be the file that its record describes"):
            read(folder)
    with unverified() as found:
        with pytest.warns(UnverifiedWarning, match=name):
            read_run(folder)
        read_run(folder)  # it is said once
        assert len(found) == 1


def test_a_file_that_changes_while_we_look_is_read_again(folder: Path) -> None:
    read_run(folder)
    (folder / "plan.npz").write_text("another!")
    with pytest.raises(BadInput, match=r"plan\.npz"):
        read_run(folder)


@pytest.mark.parametrize("name", ["../x", "/dev/zero", "a/b", "..", ""])
def test_names_of_files_do_not_lead_elsewhere(folder: Path, name: str) -> None:
    changed(folder, lambda record: record["files"].update({name: "0" * 64}), seal=True)
    with pytest.raises(BadInput, match="expected names of files in"):
        read_run(folder)


def test_older_records_are_read_with_a_warning(folder: Path) -> None:
    changed(folder, lambda record: [record.pop("sha256"), record["environment"]["versions"].update(badnets="0.2.0")])
    with pytest.warns(UnverifiedWarning, match="before records carried a digest of themselves"):
        read_run(folder)


def test_a_folder_without_a_record_is_a_network_of_nobody(tmp_path: Path) -> None:
    assert network_file(tmp_path) == tmp_path / "network.safetensors"


def test_a_doubt_is_kept_in_what_is_made_of_it(folder: Path) -> None:
    (folder / "plan.npz").write_text("another")
    with unverified(), pytest.warns(UnverifiedWarning):
        write_record(folder / "again.json", read_run(folder))
    assert read_record(folder / "again.json").verified is False
