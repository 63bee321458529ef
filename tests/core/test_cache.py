from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from badnets.core import cache
from badnets.core.cache import Cache, CacheWarning, cache_dir, lock
from badnets.core.errors import BadInput


def _whole(path: Path) -> str:
    text = path.read_text()
    if not text.startswith("whole"):
        raise ValueError("damaged")
    return text


def _write(folder: Path) -> None:
    (folder / "value").write_text("whole")


TEXTS = Cache("texts", read=_whole, suffix=".txt")
FOLDERS = Cache("folders", read=lambda folder: _whole(folder / "value"))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))
    cache._warn_unwritable.cache_clear()
    return tmp_path / "cache"


def test_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("BADNETS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "badnets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir().name == "badnets"
    assert cache_dir().is_absolute()


def test_an_entry_is_made_once_and_found_by_its_key() -> None:
    made: list[int] = []

    def write(path: Path) -> None:
        made.append(1)
        path.write_text(f"whole {len(made)}")

    assert TEXTS.get({"a": 1, "b": 2}, write) == "whole 1"
    assert TEXTS.get({"b": 2, "a": 1}, write) == "whole 1"
    assert TEXTS.get({"a": 2, "b": 2}, write) == "whole 2"


def test_an_entry_may_be_a_folder() -> None:
    for _ in range(2):
        assert FOLDERS.get({}, _write) == "whole"


def test_a_damaged_entry_is_made_anew_after_one_warning(place: Path) -> None:
    FOLDERS.get({}, _write)
    (kept,) = (place / "folders").iterdir()
    (kept / "value").write_text("ha")
    with pytest.warns(CacheWarning, match=f"damaged in the cache, and made anew: {kept}") as caught:
        assert FOLDERS.get({}, _write) == "whole"
    assert len(caught) == 1
    assert FOLDERS.get({}, _write) == "whole"


@pytest.mark.parametrize("cached", [TEXTS, FOLDERS], ids=["file", "folder"])
def test_what_can_be_read_but_is_not_what_was_written(place: Path, cached: Cache[str]) -> None:
    def write(path: Path) -> None:
        (path / "value" if path.is_dir() else path).write_text("whole 1")

    cached.get({}, write)
    (kept,) = (place / cached.kind).iterdir()
    (kept / "value" if kept.is_dir() else kept).write_text("whole 2")
    with pytest.warns(CacheWarning, match="made anew") as caught:
        assert cached.get({}, write) == "whole 1"
    assert len(caught) == 1
    assert [path.name for path in (place / cached.kind).iterdir()] == [kept.name]


@pytest.mark.parametrize("change", ["more", "less", "renamed"])
def test_other_files_in_a_folder(place: Path, change: str) -> None:
    def write(folder: Path) -> None:
        (folder / "value").write_text("whole")
        (folder / "second").write_text("second")

    FOLDERS.get({}, write)
    (kept,) = (place / "folders").iterdir()
    if change == "more":
        (kept / "third").touch()
    elif change == "less":
        (kept / "second").unlink()
    else:
        (kept / "second").rename(kept / "third")
    with pytest.warns(CacheWarning, match="made anew"):
        FOLDERS.get({}, write)
    assert {path.name for path in kept.iterdir()} == {"value", "second"}


def test_entries_of_versions_without_digests_are_replaced_in_silence(place: Path) -> None:
    assert TEXTS.get({}, lambda path: path.write_text("whole")) == "whole"  # type: ignore[func-returns-value]
    (kept,) = (place / "texts").iterdir()
    kept.rename(kept.with_name(f"{kept.name.partition('-')[0]}.txt"))
    assert TEXTS.get({}, lambda path: path.write_text("whole 2")) == "whole 2"
    assert len(list((place / "texts").iterdir())) == 1


def test_what_a_killed_process_left_is_removed(place: Path) -> None:
    (place / "texts" / ".texts.t-0123abcd.partial" / "x").mkdir(parents=True)
    for _ in range(2):
        TEXTS.get({}, lambda path: path.write_text("whole"))
        assert len(list((place / "texts").iterdir())) == 1


def test_a_cache_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", "~nobody-at-all/cache")
    with pytest.raises(BadInput, match="there is no such user"):
        cache_dir()


def test_a_failed_entry_leaves_nothing(place: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TEXTS.get({}, write)
    assert list((place / "texts").iterdir()) == []


@pytest.mark.parametrize("kind", ["a file in the way", "no room left"])
def test_an_unwritable_cache_is_one_warning(place: Path, kind: str) -> None:
    if kind == "a file in the way":
        place.write_text("")

    def write(path: Path) -> None:
        if kind == "no room left" and place in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_text("whole")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for key in (1, 2):
            assert TEXTS.get({"key": key}, write) == "whole"
    assert [w.category for w in caught] == [CacheWarning]
    assert str(place) in str(caught[0].message)
    assert "BADNETS_CACHE" in str(caught[0].message)


def test_a_cache_that_may_only_be_read_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FOLDERS.get({}, _write)

    def refused(name: str) -> None:
        raise PermissionError(errno.EACCES, name)

    monkeypatch.setattr(cache, "lock", refused)
    assert FOLDERS.get({}, lambda _: pytest.fail("it was there")) == "whole"


def test_no_room_anywhere_is_said_in_a_sentence() -> None:
    def write(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with (
        pytest.warns(CacheWarning, match="No space left"),
        pytest.raises(BadInput, match=r"expected room in .*; set BADNETS_CACHE"),
    ):
        TEXTS.get({}, write)


def test_one_process_works_on_an_entry() -> None:
    probe = "from badnets.core.cache import lock; lock('entry').acquire(timeout=0)"
    with lock("entry"):
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert "Timeout" in done.stderr
    subprocess.run([sys.executable, "-c", probe], check=True)
