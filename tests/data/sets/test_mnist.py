from __future__ import annotations

import gzip
import socket
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from badnets.core import cache
from badnets.core.cache import CacheWarning
from badnets.core.errors import BadInput
from badnets.data.load import load
from badnets.data.sets import mnist
from badnets.data.sets.download import Remote
from badnets.data.sets.mnist import read_idx

TRAIN = "train-images-idx3-ubyte"
FILES = (TRAIN, "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_set(folder: Path, *, packed: bool = True, n: int = 40, labels: np.ndarray | None = None) -> None:
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        count = n if name.startswith("train") else 10
        if "images" in name:
            array = rng.integers(0, 256, (count, 6, 5), dtype=np.uint8)
        else:
            array = (np.arange(count) % 10).astype(np.uint8)
            if labels is not None and name.startswith("train"):
                array = labels
        content = idx(array)
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", ["", "raw"])
def test_by_path_packed_or_not_also_under_raw(tmp_path: Path, packed: bool, below: str) -> None:
    write_set(tmp_path / "things" / below, packed=packed)
    data = load(tmp_path / "things")
    assert (len(data.train), len(data.test), len(data.select)) == (40, 10, 0)
    assert data.train.shape == (6, 5, 1)
    assert data.train.name == "things"
    assert data.class_names == tuple("0123456789")
    assert np.array_equal(data.train.labels, np.arange(40) % 10)


def test_packed_and_plain_are_the_same(tmp_path: Path) -> None:
    write_set(tmp_path / "a", packed=True)
    write_set(tmp_path / "b", packed=False)
    assert load(tmp_path / "a").train.digest == load(tmp_path / "b" / TRAIN).train.digest


def test_large_plain_files_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, packed=False)
    whole = load(tmp_path).train.digest
    monkeypatch.setattr(cache, "MAP_ABOVE", 100)
    assert isinstance(read_idx(tmp_path / TRAIN, 3), np.memmap)
    assert load(tmp_path).train.digest == whole


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", ""])
def test_named_set_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    write_set(tmp_path / folder)
    monkeypatch.setenv("BADNETS_DATA", str(tmp_path))
    data = load("mnist", select=0.25, seed=3)
    assert data.train.name == "mnist"
    assert (len(data.train), len(data.select)) == (30, 10)


def test_fashion_has_its_names_and_is_not_taken_for_mnist(tmp_path: Path) -> None:
    labels = np.zeros(60_000, np.uint8)
    labels[:10] = (9, 0, 0, 3, 0, 2, 7, 2, 5, 5)
    write_set(tmp_path, labels=labels)
    assert mnist.find_idx(tmp_path) is not None
    with pytest.raises(BadInput, match=r"expected mnist .*got other files"):
        load("mnist", path=tmp_path)
    write_set(tmp_path)
    assert load("fashion-mnist", path=tmp_path).class_names[9] == "Ankle boot"


def test_data_folder_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_DATA", str(tmp_path / "absent"))
    with pytest.raises(BadInput, match="BADNETS_DATA"):
        load("mnist")


def test_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    gone = tuple(replace(r, urls=(f"http://127.0.0.1:{closed_port}/{r.file}",)) for r in mnist.NAMED["mnist"].remotes)
    monkeypatch.setitem(mnist.NAMED, "mnist", mnist.NAMED["mnist"]._replace(remotes=gone))
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    with pytest.raises(BadInput) as caught:
        load("mnist")
    text = str(caught.value)
    assert text.startswith(f"expected mnist in {tmp_path / 'data' / 'mnist'}, got no network (")
    assert f"put {TRAIN}.gz, " in text
    assert "give its path" in text
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "file"))
    with pytest.warns(CacheWarning), pytest.raises(BadInput, match="no network"):
        load("mnist")


def test_files_in_the_cache_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    write_set(tmp_path / "data" / "mnist")
    assert len(load("mnist").train) == 40


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("keep", [2, 10, 16, 500])
def test_truncated(tmp_path: Path, suffix: str, keep: int) -> None:
    content = idx(np.zeros((40, 6, 5), np.uint8))[:keep]
    path = tmp_path / f"{TRAIN}{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    expected = 16 + (1200 if keep >= 16 else 0)
    with pytest.raises(BadInput, match=rf"expected {expected} bytes in .*{TRAIN}.*, got {keep}; the file is truncated"):
        read_idx(path, 3)


def test_truncated_gzip(tmp_path: Path) -> None:
    path = tmp_path / f"{TRAIN}.gz"
    noise = np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8)
    path.write_bytes(gzip.compress(idx(noise))[:600])
    with pytest.raises(BadInput, match=r"expected 1216 bytes in .*, got \d+; the file is truncated"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG" + bytes(40), "IDX file"),
        (bytes((0, 0, 0x0D, 3)) + bytes(40), "unsigned bytes"),
        (idx(np.zeros(40, np.uint8)), "expected 3 dimensions"),
        (idx(np.zeros((4, 6, 5), np.uint8)) + b"x", "got more"),
    ],
)
def test_foreign_content(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / TRAIN).write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_idx(tmp_path / TRAIN, 3)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / f"{TRAIN}.gz"
    path.write_bytes(b"no gzip at all")
    with pytest.raises(BadInput, match=r"expected a gzip file at .*train-images"):
        read_idx(path, 3)


def test_labels_must_fit_the_pictures(tmp_path: Path) -> None:
    write_set(tmp_path, labels=np.zeros(39, np.uint8))
    with pytest.raises(BadInput, match=r"expected 40 labels in .*train-labels.*got 39"):
        load(tmp_path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(BadInput, match="got none for test labels"):
        load("mnist", path=tmp_path)


def test_checksums_are_whole() -> None:
    remotes: tuple[Remote, ...] = (*mnist.NAMED["mnist"].remotes, *mnist.NAMED["fashion-mnist"].remotes)
    assert len(remotes) == 8
    assert all(len(bytes.fromhex(r.sha256)) == 32 for r in remotes)


@pytest.mark.data
def test_real_mnist(shared_data: Path) -> None:
    data = load("mnist", path=shared_data / "mnist")
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.train.shape == (28, 28, 1)
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    with pytest.raises(BadInput, match="expected fashion-mnist"):
        load("fashion-mnist", path=shared_data / "mnist")


@pytest.mark.data
def test_checksums_are_of_the_real_files(shared_data: Path) -> None:
    for remote in mnist.NAMED["mnist"].remotes:
        assert mnist_sha256(shared_data / "mnist" / remote.file) == remote.sha256


def mnist_sha256(path: Path) -> str:
    from badnets.data.sets.download import content_sha256

    return content_sha256(path, unpacked=True)
