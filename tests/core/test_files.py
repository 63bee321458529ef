"""Canonical JSON, and files and folders that appear whole or not at all."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core import files
from badnets.core.errors import BadInput
from badnets.core.files import (
    digest,
    digest_of_json,
    dumps,
    file_digest,
    publish_folder,
    read_json,
    whole_file,
    write_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_reads_back(value: object) -> None:
    assert json.loads(dumps(value)) == value


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_the_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest(dict(reversed(list(value.items())))) == digest(value)


@given(JSON)
def test_the_digest_of_what_was_read_is_the_same(value: object) -> None:
    assert digest_of_json(json.loads(dumps(value))) == digest(value)


def test_the_digest_is_the_same_on_every_machine() -> None:
    value = {"b": [1, 0.5, "ü"], "a": None}
    assert digest(value) == "c31477f098c7c74e1fce7e71c8801cb58dec60943c9f2c4292d197a7a01b7d97"


def test_numpy_values_and_paths_become_plain() -> None:
    value = {"a": np.arange(3), "b": np.float32(0.5), "c": (np.int64(1), Path("x/y")), 4: np.bool_(True)}
    assert json.loads(dumps(value)) == {"a": [0, 1, 2], "b": 0.5, "c": [1, "x/y"], "4": True}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), [1, {"a": np.array([np.inf])}]])
def test_a_record_holds_finite_numbers(value: object) -> None:
    with pytest.raises(BadInput, match="finite numbers"):
        dumps(value)
    with pytest.raises(BadInput, match="finite numbers"):
        digest(value)


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "value.json"
    write_json(path, {"format": "badnets/x/1"})
    assert read_json(path, format="badnets/x/1") == {"format": "badnets/x/1"}
    assert [p.name for p in path.parent.iterdir()] == ["value.json"]
    assert len(file_digest(path)) == 64


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "value.json"
    write_json(path, 1)

    def write() -> None:
        with whole_file(path) as partial:
            partial.write_text("half of")
            raise error

    with pytest.raises(type(error)):
        write()
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_unreadable_json_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    with pytest.raises(BadInput, match=r"value\.json, got nothing"):
        read_json(path)
    for content in (b"{", b"\xff\xfe{"):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"value\.json"):
            read_json(path)
    for wrong in ({"format": "other"}, [1], {}):
        write_json(path, wrong)
        with pytest.raises(BadInput, match=r"expected format 'badnets/x/1'"):
            read_json(path, format="badnets/x/1")


def _folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "file").write_text(text)
    return path


def test_a_folder_gets_its_name(tmp_path: Path) -> None:
    publish_folder(_folder(tmp_path / ".partial", "new"), tmp_path / "deep" / "final")
    assert (tmp_path / "deep" / "final" / "file").read_text() == "new"
    assert not (tmp_path / ".partial").exists()


@pytest.mark.parametrize("old", ["folder", "empty", "file"])
def test_a_folder_takes_the_place_of_an_old_one(tmp_path: Path, old: str) -> None:
    final = tmp_path / "final"
    if old == "folder":
        _folder(final, "old")
    elif old == "empty":
        final.mkdir()
    else:
        final.write_text("old")
    publish_folder(_folder(tmp_path / ".partial", "new"), final)
    assert (final / "file").read_text() == "new"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize("fails_at", [1, 2])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_in_the_middle_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, fails_at: int
) -> None:
    """Where two names cannot be exchanged in one step."""
    final, partial = _folder(tmp_path / "final", "old"), _folder(tmp_path / ".partial", "new")
    monkeypatch.setattr(files, "exchange", lambda *_: False)
    rename, calls = Path.rename, []

    def fail_once(self: Path, target: Path) -> Path:
        calls.append(self)
        if len(calls) == fails_at:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(type(error)):
        publish_folder(partial, final)
    assert (final / "file").read_text() == "old"
    assert (partial / "file").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".partial", "final"]


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_killed_processes_left_is_removed_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    for name in (".a.json.t-0123abcd.partial", ".a.json.t-0123abcd.old", ".b.json.t-0123abcd.partial"):
        _folder(tmp_path / name, "half")
    others = [".a.json.partial", ".a.json.t-mine.partial", ".a.json.t-0123abcd.txt"]
    for name in others:
        (tmp_path / name).write_text("somebody's")
    with files.temporary_folder(tmp_path / "a.json") as live:
        write_json(tmp_path / "a.json", 1)
        assert _left(tmp_path) == sorted([*others, "a.json", ".b.json.t-0123abcd.partial", live.name])
    write_json(tmp_path / "b.json", 1)
    assert _left(tmp_path) == sorted([*others, "a.json", "b.json"])


def test_a_folder_whose_successor_never_came_is_put_back(tmp_path: Path) -> None:
    _folder(tmp_path / ".run.t-0123abcd.was", "old")
    files.tidy(tmp_path / "run")
    assert (tmp_path / "run" / "file").read_text() == "old"
    _folder(tmp_path / ".run.t-0123abcd.was", "older")
    files.tidy(tmp_path / "run")
    assert (tmp_path / "run" / "file").read_text() == "old"
    assert _left(tmp_path) == ["run"]


def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    partial, final = _folder(tmp_path / ".partial", "new"), _folder(tmp_path / "final", "theirs")
    with pytest.raises(BadInput, match="to be free still"):
        publish_folder(partial, final, replace=False)
    assert (final / "file").read_text() == "theirs"
    assert (partial / "file").read_text() == "new"
    final.joinpath("file").unlink()
    publish_folder(partial, final, replace=False)  # an empty one is free
    assert (final / "file").read_text() == "new"


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a device"])
def test_only_files_are_replaced_by_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path = Path(os.devnull)
    with pytest.raises(BadInput, match=f"got {kind}; name a regular file"):
        write_json(path, 1)


@pytest.mark.parametrize("named", [".", "..", "/", "sub/.."])
def test_the_folder_one_is_in_is_no_place_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="a folder of its own"):
        files.check_place(Path(named))
    files.check_place(Path("sub"))


def test_a_link_is_the_same_file_or_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("content")
    for _ in range(2):
        files.link(source, target)
        assert target.samefile(source)

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    files.link(source, target)
    assert target.read_text() == "content"
    assert not target.samefile(source)
