from __future__ import annotations

import builtins
import codecs
import io
import os
import pickle
import struct
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.load import load
from badnets.data.sets import cifar10
from badnets.data.sets.cifar10 import CLASS_NAMES, safe_unpickle

RNG = np.random.default_rng(0)
LABELS = np.arange(20, dtype=np.uint8) % 10
PLANES = RNG.integers(0, 256, (20, 3072), dtype=np.uint8)
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def binary() -> dict[str, bytes]:
    content = np.concatenate([LABELS[:, None], PLANES], axis=1).tobytes()
    files = {f"cifar-10-batches-bin/{name}.bin": content for name in BATCHES}
    return {**files, "cifar-10-batches-bin/batches.meta.txt": ("\n".join(CLASS_NAMES) + "\n\n").encode()}


def python(protocol: int = 2) -> dict[str, bytes]:
    batch = {b"batch_label": b"x", b"labels": LABELS.tolist(), b"data": PLANES, b"filenames": [b"a.png"] * 20}
    files = {f"cifar-10-batches-py/{name}": pickle.dumps(batch, protocol=protocol) for name in BATCHES}
    meta = {b"label_names": [name.encode() for name in CLASS_NAMES], b"num_vis": 3072}
    return {**files, "cifar-10-batches-py/batches.meta": pickle.dumps(meta, protocol=protocol)}


def python2() -> dict[str, bytes]:
    """As Python 2 and an old numpy wrote the published files: strings as bytes, the array through its state."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    data = PLANES.tobytes()
    array = b"".join(
        (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t",
            text(b"b"),
            b"tR(K\x01(K\x14M\x00\x0ct",
            b"cnumpy\ndtype\n(",
            text(b"u1"),
            b"K\x00K\x01tR(K\x03",
            text(b"|"),
            b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T",
            struct.pack("<i", len(data)),
            data,
            b"tb",
        )
    )
    labels = b"](" + b"".join(b"K" + bytes([v]) for v in LABELS.tolist()) + b"e"
    batch = b"\x80\x02}(" + text(b"data") + array + text(b"labels") + labels + b"u."
    return {f"cifar-10-batches-py/{name}": batch for name in BATCHES}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("files", [binary(), python(), python(protocol=4), python2()], ids=["bin", "py", "py4", "py2"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_version_gives_the_same(tmp_path: Path, files: dict[str, bytes], packed: bool) -> None:
    place = archive(tmp_path / "any.tar.gz", files) if packed else put(tmp_path / "c", files)
    data = load("cifar10", path=place)
    assert data.class_names == CLASS_NAMES
    assert (len(data.train), len(data.test)) == (100, 20)
    assert data.train.shape == (32, 32, 3)
    assert np.array_equal(data.test.images(), PLANES.reshape(20, 3, 32, 32).transpose(0, 2, 3, 1))
    assert np.array_equal(data.test.labels, LABELS)
    assert load(place).train.digest == data.train.digest  # by path alone


@pytest.mark.parametrize("where", ["cifar10", "", "cifar-10-batches-bin"])
def test_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("BADNETS_DATA", str(tmp_path))
    files = binary()
    if where == "cifar-10-batches-bin":
        where = ""
    put(tmp_path / where, files)
    assert len(load("cifar10").test) == 20


def test_official_archive_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_DATA", str(tmp_path))
    archive(tmp_path / "cifar-10-python.tar.gz", python())
    assert len(load("cifar10", grey=True).test) == 20


def test_archive_keeps_its_checks(tmp_path: Path) -> None:
    place = archive(tmp_path / "c.tar.gz", {"cifar-10-batches-bin/data_batch_1.bin": b"", "../x": b""})
    with pytest.raises(BadInput, match="a path that leaves its folder"):
        load("cifar10", path=place)


def test_incomplete_set_warns(tmp_path: Path) -> None:
    files = {k: v for k, v in binary().items() if "batch_3" not in k}
    with pytest.warns(DataWarning, match="data_batch_3.bin is missing"):
        assert len(load("cifar10", path=put(tmp_path, files)).train) == 80


def test_missing_test_batch(tmp_path: Path) -> None:
    files = {k: v for k, v in binary().items() if "test" not in k}
    with pytest.raises(BadInput, match=r"expected test_batch.bin in"):
        load("cifar10", path=put(tmp_path, files))


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("")
    with pytest.raises(BadInput, match=r"expected cifar10 .* at .*, got other files"):
        load("cifar10", path=tmp_path)


def test_truncated_binary(tmp_path: Path) -> None:
    files = binary()
    files["cifar-10-batches-bin/test_batch.bin"] = files["cifar-10-batches-bin/test_batch.bin"][:-100]
    with pytest.raises(BadInput, match=r"expected 61460 bytes in .*test_batch.bin .*got 61360; the file is truncated"):
        load("cifar10", path=put(tmp_path, files))


def test_foreign_labels(tmp_path: Path) -> None:
    files = {name: b"\x0b" + content[1:] for name, content in binary().items() if name.endswith(".bin")}
    with pytest.raises(BadInput, match=r"expected labels 0..9 in .*data_batch_1.bin"):
        load("cifar10", path=put(tmp_path, files))


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_truncated_pickle(cut: int) -> None:
    content = python()["cifar-10-batches-py/test_batch"]
    with pytest.raises(BadInput, match="expected a CIFAR-10 batch in FILE"):
        safe_unpickle(content[:-cut], "FILE")


class Call:
    """Pickles to a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Call(os.system, "true"), f"{os.system.__module__}.system"),
        (Call(builtins.eval, "1"), "eval"),
        (Call(builtins.getattr, 1, "real"), "getattr"),
        (Path("x"), "pathlib"),
        (np.float64(1), "scalar"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_anything_but_arrays_is_refused_by_name(value: Any, name: str, protocol: int) -> None:
    content = pickle.dumps({"data": value}, protocol=protocol)
    with pytest.raises(BadInput, match=r"asks for .*; do not trust this file") as caught:
        safe_unpickle(content, "FILE")
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [np.array([object()], dtype=object), Call(codecs.encode, "x", "rot13"), np.array(["x"])],
    ids=["objects", "codec", "strings"],
)
def test_nor_what_hides_behind_them(value: Any) -> None:
    with pytest.raises(BadInput):
        safe_unpickle(pickle.dumps(value, protocol=2), "FILE")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1, 2], "expected a dictionary with 'data'"),
        ({"labels": [1]}, "expected a dictionary with 'data'"),
        ({"data": PLANES[:1].astype(np.int64), "labels": [1]}, "expected data as uint8"),
        ({"data": PLANES[:1, :5], "labels": [1]}, "expected data as uint8"),
        ({"data": b"no", "labels": [1]}, "expected data as uint8"),
        ({"data": PLANES[:2], "labels": [1]}, "expected 2 whole numbers"),
        ({"data": PLANES[:1], "labels": ["cat"]}, "expected 1 whole numbers"),
    ],
)
def test_wrong_content_of_a_pickle(tmp_path: Path, batch: Any, message: str) -> None:
    files = {f"{name}": pickle.dumps(batch, protocol=2) for name in BATCHES}
    with pytest.raises(BadInput, match=message):
        load("cifar10", path=put(tmp_path, files))


def test_checksum_is_whole() -> None:
    assert len(bytes.fromhex(cifar10.REMOTE.sha256)) == 32


@pytest.fixture(autouse=True)
def _no_stray_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
