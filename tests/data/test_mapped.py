from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.data.images import ArrayStore, read_mapped


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("rows", [[], [7], [0, 1, 2, 3], [299, 0, 150, 150, 3], list(range(300))])
def test_the_same_rows_as_in_memory(pixels: Any, tmp_path: Path, mode: Any, rows: list[int]) -> None:
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode=mode)
    index = np.array(rows, np.int64)
    out = ArrayStore(mapped).read(index)
    assert type(out) is np.ndarray
    assert np.array_equal(out, pixels[index])
    assert np.array_equal(read_mapped(mapped[10:], index[index < 290]), pixels[10:][index[index < 290]])


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_changes_are_kept(pixels: Any, tmp_path: Path, mode: Any) -> None:
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode=mode)
    mapped[5] = 77
    index = np.array([5, 290, 5], np.int64)
    read_mapped(mapped, index)
    assert (read_mapped(mapped, index)[0] == 77).all()


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc to count a mapping's pages")
def test_no_pages_stay_behind(tmp_path: Path) -> None:
    size = 64 << 20
    path = tmp_path / "large.u8"
    with path.open("wb") as file:
        file.truncate(size)
    mapped = np.memmap(path, np.uint8, mode="r", shape=(size // 3072, 32, 32, 3))
    read_mapped(mapped, np.arange(0, len(mapped), dtype=np.int64))
    read_mapped(mapped, np.arange(0, len(mapped), 50, dtype=np.int64))
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    resident = [
        int(next(line for line in lines if line.startswith("Rss:")).split()[1])
        for head in lines
        if head.endswith(path.name)
    ]
    assert sum(resident) < 1024  # kB


@pytest.mark.parametrize("start", [0, 1, 130])
def test_a_mapped_file_goes_to_another_process_by_its_name(pixels: Any, tmp_path: Path, start: int) -> None:
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")[start:]
    sent = pickle.dumps(ArrayStore(mapped))
    assert len(sent) < 1000
    again = pickle.loads(sent)  # noqa: S301  # our own bytes
    assert isinstance(again.array, np.memmap)
    assert np.array_equal(again.array, pixels[start:])


@pytest.mark.parametrize("kind", ["memory", "strided", "private"])
def test_other_arrays_go_as_they_are(pixels: Any, tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "pixels.npy", pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="c")
    mapped[3] = 5
    strided = np.load(tmp_path / "pixels.npy", mmap_mode="r")[::2]
    array = {"memory": pixels, "strided": strided, "private": mapped}[kind]
    again = pickle.loads(pickle.dumps(ArrayStore(array)))  # noqa: S301  # our own bytes
    assert np.array_equal(again.array, array)
