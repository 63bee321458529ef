"""Arrays of pictures in .npz, HDF5 and IDX files that reach outside, claim more than they have, or hold nonsense."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Hostile = Callable[..., dict[str, Any]]

IMAGES = np.random.default_rng(1).integers(0, 256, (24, 16, 16, 3), np.uint8)
LABELS = np.tile(np.arange(3), 8)


def _npz(path: Path, **arrays: object) -> None:
    np.savez(path, **{"images": IMAGES, "labels": LABELS, **arrays})


def _npz_of(path: Path, **members: bytes) -> None:
    """Members as raw bytes; the others are good ones."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in (("images", IMAGES), ("labels", LABELS)):
            if name not in members:
                buffer = io.BytesIO()
                np.save(buffer, value)
                archive.writestr(f"{name}.npy", buffer.getvalue())
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def _header(shape: str, dtype: str = "|u1", version: tuple[int, int] = (1, 0), *, fortran: bool = False) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text


class _Marks:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("started-by-a-pickle", "w")


def _objects(path: Path) -> None:
    np.savez(path, images=IMAGES, labels=np.array([_Marks()] * 24, object))


_PARTS = ("x_train", "x_test", "val_images", "y_train", "y_test", "val_labels", "region", "groups", "a", "b")
NPZ: dict[str, Callable[[Path], object]] = {
    "objects": _objects,
    "labels of 10^15": lambda p: _npz(p, labels=np.where(LABELS == 2, 10**15, LABELS)),
    "labels of 10^9": lambda p: _npz(p, labels=np.where(LABELS == 2, 10**9, LABELS)),
    "labels of 10^300": lambda p: _npz(p, labels=np.where(LABELS == 2, 1e300, LABELS)),
    "labels of 2^64": lambda p: _npz(p, labels=np.full(24, (1 << 64) - 1, np.uint64)),
    "labels below 0": lambda p: _npz(p, labels=LABELS - 1),
    "labels of NaN": lambda p: _npz(p, labels=np.full(24, np.nan)),
    "labels of texts": lambda p: _npz(p, labels=LABELS.astype(str)),
    "labels of dates": lambda p: _npz(p, labels=LABELS.astype("datetime64[s]")),
    "labels of complex": lambda p: _npz(p, labels=LABELS.astype(complex)),
    "one label": lambda p: _npz(p, labels=np.int64(1)),
    "one-hot of 10^7": lambda p: _npz_of(p, labels=_header("(24, 10000000)") + bytes(240_000_000)),
    "pictures of 10^12": lambda p: _npz_of(p, images=_header("(1000000, 1000, 1000)")),
    "pictures of 10^30": lambda p: _npz_of(p, images=_header("(10000000000, 10000000000, 10000000000)")),
    "pictures of negative shape": lambda p: _npz_of(p, images=_header("(-1, 16, 16)")),
    "pictures of a bomb": lambda p: _npz_of(p, images=_header("(24, 8000, 8000)") + bytes(24 * 8000 * 8000)),
    "pictures of floats": lambda p: _npz(p, images=IMAGES * 3.7),
    "pictures of NaN": lambda p: _npz(p, images=np.full((24, 16, 16), np.nan)),
    "pictures of 10^20": lambda p: _npz(p, images=IMAGES * 1e20),
    "pictures of no size": lambda p: _npz(p, images=IMAGES[:, :0]),
    "pictures of structures": lambda p: _npz(p, images=np.zeros((24, 16, 16), [("a", "u1"), ("b", "u1")])),
    "pictures of voids": lambda p: _npz(p, images=np.zeros((24, 16, 16), "V3")),
    "a header that is code": lambda p: _npz_of(p, images=_header("__import__('os').system('touch started')")),
    "a header of deep brackets": lambda p: _npz_of(p, images=_header("(" * 300 + ")" * 300)),
    "a header of many digits": lambda p: _npz_of(p, images=_header("(" + "9" * 5000 + ",)")),
    "a header longer than the file": lambda p: _npz_of(p, images=b"\x93NUMPY\x01\0\xff\xff" + b"{"),
    "a header of another version": lambda p: _npz_of(p, images=_header("(24, 16, 16)", version=(9, 9))),
    "a header of version 3": lambda p: _npz_of(p, images=_header("(24, 16, 16)", version=(3, 0))),
    "a header that is no dict": lambda p: _npz_of(p, images=b"\x93NUMPY\x01\0\x06\0[1,2]\n"),
    "a header with an unknown type": lambda p: _npz_of(p, images=_header("(24, 16, 16)", "<q99")),
    "a pickle in place of an array": lambda p: _npz_of(p, images=pickle.dumps(_Marks())),
    "nothing": lambda p: p.write_bytes(b""),
    "no zip": lambda p: p.write_bytes(b"PK\x03\x04" + bytes(100)),
    "a plain array": lambda p: p.write_bytes(_header("(24, 16, 16)") + bytes(24 * 256)),
    "no arrays": lambda p: zipfile.ZipFile(p, "w").close(),
    "other arrays": lambda p: np.savez(p, a=IMAGES, b=LABELS),
    "names of control characters": lambda p: _npz(p, class_names=np.array(["\x1b[2Jcat", "dog\x07", "o\nwl"])),
    "names of a million letters": lambda p: _npz(p, class_names=np.array(["a" * 1_000_000, "b", "c"])),
    "names twice": lambda p: _npz(p, class_names=np.array(["a", "a", "a"])),
    "names that are numbers": lambda p: _npz(p, class_names=np.arange(3)),
    "keys of control characters": lambda p: np.savez(p, **{"\x1b[2Jx": IMAGES}),
    "groups of objects": lambda p: _npz(p, groups=np.array([_Marks()] * 24, object)),
    "region of NaN": lambda p: _npz(p, region=np.full((24, 4), np.nan, np.float32)),
    "names that are no text": lambda p: _npz(p, class_names=np.array(["\udcffa", "b", "c"])),
    "10^7 names of no letters": lambda p: _npz_of(p, class_names=_header("(10000000,)", "<U0")),
    "10^12 pictures of no size": lambda p: _npz_of(
        p, images=_header("(1000000000000, 0, 16)"), labels=_header("(1000000000000, 0)")
    ),
    "one picture of 10^9": lambda p: _npz_of(p, images=_header("(1, 32768, 32768)"), labels=_header("(1,)") + b"\0"),
    "labels of another number": lambda p: _npz_of(p, labels=_header("(20000000,)") + bytes(20_000_000)),
    "region of another number": lambda p: _npz_of(p, region=_header("(10000000, 4)") + bytes(40_000_000)),
    "groups of 10^12": lambda p: _npz_of(p, groups=_header("(1000000000000,)", "<U0")),
    "ten bombs": lambda p: _npz_of(p, **{name: _header("(50, 1000, 1000)") + bytes(5 * 10**7) for name in _PARTS}),
    "a type of 10^9 bytes": lambda p: _npz_of(p, images=_header("(24,)", "|V1000000000")),
    "a header of spaces": lambda p: _npz_of(
        p, images=b"\x93NUMPY\x02\0" + struct.pack("<I", 1 << 27) + b" " * (1 << 27)
    ),
    "a directory of a million": lambda p: _large_directory(p),
    "all members in one place": lambda p: _overlapping(p),
    "a member beyond the end": lambda p: _beyond(p),
    "a member of another size": lambda p: _resized_member(p),
    "the same member twice": lambda p: _twice(p),
    "100,000 members": lambda p: _many_members(p),
    "a member under a password": lambda p: _flagged(p),
}


def _large_directory(path: Path) -> None:
    """A directory of which the end says that it has a million entries; they are not even there."""
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, len(entry) * 1_000_000, 0, 0)
    path.write_bytes(entry * 1_000_000 + end)


def _patched(path: Path, mark: bytes, at: int, value: bytes, which: int = 0) -> None:
    """A good file with other bytes behind a mark."""
    _npz(path)
    content = bytearray(path.read_bytes())
    start = [i for i in range(len(content)) if content.startswith(mark, i)][which] + at
    content[start : start + len(value)] = value
    path.write_bytes(content)


def _beyond(path: Path) -> None:
    _patched(path, b"PK\1\2", 42, struct.pack("<I", 1 << 30))


def _resized_member(path: Path) -> None:
    _patched(path, b"PK\1\2", 20, struct.pack("<II", 1 << 31, 1 << 31))


def _overlapping(path: Path) -> None:
    """Every entry of the directory points to the same bomb."""
    body = _header("(150, 1000, 1000)") + bytes(150 * 10**6)
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(body) + packer.flush()
    crc, directory = zlib.crc32(body), b""
    for name in (f"{part}.npy".encode() for part in _PARTS):
        sizes = (crc, len(packed), len(body), len(name))
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 0, *sizes, 0, 0, 0, 0, 0, 0) + name
    name = b"x_train.npy"
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, crc, len(packed), len(body), len(name), 0) + name
    start = len(local) + len(packed)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, len(_PARTS), len(_PARTS), len(directory), start, 0)
    path.write_bytes(local + packed + directory + end)


def _twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name twice
        for value in (IMAGES, LABELS):
            buffer = io.BytesIO()
            np.save(buffer, value)
            archive.writestr("images.npy", buffer.getvalue())


def _many_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(100_000):
            archive.writestr(f"x{i}.npy", b"")


def _flagged(path: Path) -> None:
    _npz(path)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", NPZ)
def test_npz(name: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    NPZ[name](folder / "x.npz")
    harmless = ("names of", "names twice", "region of", "a header of version 3")
    hostile("evaluate", good_run, "--data", folder / "x.npz", code=(0, 2) if name.startswith(harmless) else 2)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("packed", [False, True])
def test_flipped_bytes_of_npz(
    mutated: Callable[[bytes, int], bytes], seed: int, packed: bool, folder: Path, hostile: Hostile, good_run: Path
) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, images=IMAGES, labels=LABELS)
    (folder / "x.npz").write_bytes(mutated(buffer.getvalue(), seed))
    hostile("evaluate", good_run, "--data", folder / "x.npz", code=(0, 2))


def _idx(dims: tuple[int, ...], body: bytes, kind: int = 8) -> bytes:
    return bytes((0, 0, kind, len(dims))) + b"".join(struct.pack(">I", side) for side in dims) + body


GOOD_IDX = {
    "train-images-idx3-ubyte": _idx((24, 16, 16), IMAGES[..., 0].tobytes()),
    "train-labels-idx1-ubyte": _idx((24,), LABELS.astype(np.uint8).tobytes()),
    "t10k-images-idx3-ubyte": _idx((24, 16, 16), IMAGES[..., 1].tobytes()),
    "t10k-labels-idx1-ubyte": _idx((24,), LABELS.astype(np.uint8).tobytes()),
}
IDX: dict[str, bytes] = {
    "2^32 pictures": _idx(((1 << 32) - 1, 1 << 16, 1 << 16), b""),
    "4 GB of pictures": _idx((1 << 22, 32, 32), b"1234"),
    "other type": _idx((24, 16, 16), IMAGES[..., 0].tobytes(), 13),
    "other dimensions": _idx((24, 256), IMAGES[..., 0].tobytes()),
    "too short": _idx((24, 16, 16), b""),
    "too long": _idx((24, 16, 16), IMAGES.tobytes()),
    "nothing": b"",
    "no pictures": _idx((0, 16, 16), b""),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", IDX)
def test_idx(name: str, packed: bool, folder: Path, hostile: Hostile, good_run: Path) -> None:
    place = folder / "data"
    place.mkdir()
    for file, content in {**GOOD_IDX, "train-images-idx3-ubyte": IDX[name]}.items():
        (place / (f"{file}.gz" if packed else file)).write_bytes(gzip.compress(content) if packed else content)
    hostile("evaluate", good_run, "--data", place)


@pytest.mark.parametrize("file", GOOD_IDX)
def test_an_idx_file_of_no_pixels_or_of_one_large_picture(
    file: str, folder: Path, hostile: Hostile, good_run: Path
) -> None:
    place = folder / "data"
    place.mkdir()
    for dims in ((24, 0, 0), (1, 65535, 65535)):
        for name, content in {**GOOD_IDX, file: _idx(dims, b"")}.items():
            (place / name).write_bytes(content)
        hostile("evaluate", good_run, "--data", place)


def test_a_packed_bomb_in_idx(folder: Path, hostile: Hostile, good_run: Path) -> None:
    place = folder / "data"
    place.mkdir()
    bomb = _idx((4_000_000, 32, 32), b"") + bytes(1 << 20) * 3907
    for file, content in {**GOOD_IDX, "train-images-idx3-ubyte": bomb}.items():
        (place / f"{file}.gz").write_bytes(gzip.compress(content, 1))
    hostile("evaluate", good_run, "--data", place)
