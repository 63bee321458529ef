from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path

import pytest

from badnets.core import cache
from badnets.core.cache import CacheWarning, cache_dir, entry


def test_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("BADNETS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "badnets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cache.sys, "platform", "linux")
    assert cache_dir() == tmp_path / ".cache" / "badnets"


def test_entry_is_made_once_and_found_by_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    made: list[int] = []

    def write(folder: Path) -> None:
        made.append(1)
        (folder / "value").write_text("7")

    first = entry("kind", {"a": 1, "b": 2}, write)
    again = entry("kind", {"b": 2, "a": 1}, write)
    other = entry("kind", {"a": 2, "b": 2}, write)
    assert first is not None
    assert first == again != other
    assert (first / "value").read_text() == "7"
    assert len(made) == 2


def test_damaged_entry_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))

    def write(folder: Path) -> None:
        (folder / "value").write_text("whole")

    def whole(folder: Path) -> bool:
        return (folder / "value").read_text() == "whole"

    folder = entry("kind", {}, write, whole)
    assert folder is not None
    (folder / "value").write_text("ha")
    assert entry("kind", {}, write, whole) == folder
    assert (folder / "value").read_text() == "whole"


def test_failed_entry_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))

    def write(folder: Path) -> None:
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entry("kind", {}, write)
    assert list((tmp_path / "kind").iterdir()) == []


@pytest.mark.parametrize("kind", ["a file in the way", "no room left"])
def test_unwritable_cache_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    place = tmp_path / "cache"
    if kind == "a file in the way":
        place.write_text("")
    monkeypatch.setenv("BADNETS_CACHE", str(place))

    def write(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert entry("kind", {}, write) is None
    assert [w.category for w in caught] == [CacheWarning]
    assert str(place) in str(caught[0].message)
    assert "BADNETS_CACHE" in str(caught[0].message)
