"""Pictures in HDF5 files that reach outside, load plug-ins, or claim more than they have."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

Hostile = Callable[..., dict[str, Any]]
IMAGES = np.random.default_rng(1).integers(0, 256, (24, 16, 16, 3), np.uint8)
LABELS = np.tile(np.arange(3), 8)


def _hdf5(path: Path, **sets: object) -> None:
    with h5py.File(path, "w") as file:
        for name, value in {"data": IMAGES, "label": LABELS, **sets}.items():
            if value is not None:
                file[name] = value


def _with(path: Path, name: str, make: Callable[[h5py.File], object]) -> None:
    _hdf5(path, **{name: None})
    with h5py.File(path, "a") as file:
        make(file)


SHAPE = (24, 16, 16, 3)


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("data", SHAPE, "u1", external=[("/proc/self/exe", 0, IMAGES.nbytes)])


def _virtual(file: h5py.File, source: str) -> None:
    layout = h5py.VirtualLayout(SHAPE, "u1")
    layout[...] = h5py.VirtualSource(source, "data", SHAPE)
    file.create_virtual_dataset("data", layout)


def _external_link(file: h5py.File) -> None:
    other = Path(file.filename).with_name("other.h5")
    _hdf5(other)
    file["data"] = h5py.ExternalLink(str(other), "data")


def _unknown_filter(file: h5py.File) -> None:
    space, kind = h5py.h5s.create_simple(SHAPE), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    kind.set_chunk(SHAPE)
    kind.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
    h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT8, space, kind)


def _references(file: h5py.File) -> None:
    file["data"] = np.array([file["label"].ref] * 24, h5py.ref_dtype)


def _nested(file: h5py.File) -> None:
    group = file
    for _ in range(3000):
        group = group.create_group("g")


def _many_groups(file: h5py.File) -> None:
    for i in range(30_000):
        file.create_group(f"g{i}")


def _loop(file: h5py.File) -> None:
    file["data"] = h5py.SoftLink("/data")


def _hard_loop(file: h5py.File) -> None:
    group = file.create_group("data")
    group["again"] = file["/"]


def _virtual_of_another(path: Path) -> None:
    _hdf5(path.with_name("o.h5"))
    _with(path, "data", lambda file: _virtual(file, "o.h5"))


HDF5: dict[str, Callable[[Path], object]] = {
    "external storage": lambda p: _with(p, "data", _external_storage),
    "virtual of another file": _virtual_of_another,
    "virtual of nothing": lambda p: _with(p, "data", lambda f: _virtual(f, "gone.h5")),
    "virtual of itself": lambda p: _with(p, "data", lambda f: _virtual(f, ".")),
    "external link": lambda p: _with(p, "data", _external_link),
    "a filter that is not there": lambda p: _with(p, "data", _unknown_filter),
    "chunks never written": lambda p: _with(p, "data", lambda f: f.create_dataset("data", SHAPE, "u1", chunks=SHAPE)),
    "never written": lambda p: _with(p, "data", lambda f: f.create_dataset("data", SHAPE, "u1")),
    "some chunks never written": lambda p: _with(p, "data", lambda f: _half(f)),
    "10^12 pictures never written": lambda p: _with(
        p, "data", lambda f: f.create_dataset("data", (10**12, 16, 16), "u1", chunks=(1, 16, 16))
    ),
    "a bomb": lambda p: _with(p, "data", lambda f: _bomb(f)),
    "labels of 10^15": lambda p: _hdf5(p, label=np.where(LABELS == 2, 10**15, LABELS)),
    "labels of texts": lambda p: _hdf5(p, label=LABELS.astype("S1")),
    "a bomb of one chunk": lambda p: _with(p, "data", lambda f: _one_chunk(f)),
    "many bombs": lambda p: _with(p, "data", lambda f: _many_bombs(f)),
    "labels of another number": lambda p: _with(
        p,
        "label",
        lambda f: f.create_dataset(
            "label", data=np.zeros(20_000_000, np.uint8), chunks=(10_000_000,), compression="gzip"
        ),
    ),
    "one-hot of 10^6": lambda p: _hdf5(p, label=np.zeros((24, 1_000_000), np.uint8)),
    "a soft link out": lambda p: _with(p, "data", lambda f: f.__setitem__("data", h5py.SoftLink("/other/data"))),
    "a good set and a link": lambda p: _with(p, "x", lambda f: f.__setitem__("x", h5py.ExternalLink("o.h5", "/"))),
    "references": lambda p: _with(p, "data", _references),
    "a link to itself": lambda p: _with(p, "data", _loop),
    "a group that holds itself": lambda p: _with(p, "data", _hard_loop),
    "3,000 groups in each other": lambda p: _with(p, "data", _nested),
    "30,000 groups": lambda p: _with(p, "data", _many_groups),
    "compound": lambda p: _hdf5(p, data=np.zeros((24, 16, 16), [("a", "u1")])),
    "opaque": lambda p: _hdf5(p, data=np.zeros((24, 16, 16), "V4")),
    "no pictures": lambda p: _hdf5(p, data=IMAGES[:0]),
    "half floats of NaN": lambda p: _hdf5(p, data=np.full(SHAPE, np.nan, np.float16)),
    "empty file": lambda p: p.write_bytes(b""),
    "signature alone": lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"),
    "names of control characters": lambda p: _with(p, "data", lambda f: f.create_group("\x1b[2Jx")),
}


def _half(file: h5py.File) -> None:
    file.create_dataset("data", SHAPE, "u1", chunks=(4, 16, 16, 3))[:4] = IMAGES[:4]


def _one_chunk(file: h5py.File) -> None:
    """A small picture in a chunk of 900 MB."""
    large = (1, 30_000, 30_000)
    file.create_dataset("data", (1, 16, 16), "u1", maxshape=(None,) * 3, chunks=large, compression="gzip")[:] = 1


def _many_bombs(file: h5py.File) -> None:
    file["data"] = IMAGES
    for i in range(3):
        file.create_dataset(f"x{i}", data=np.zeros((100, 1000, 1000), np.uint8), chunks=(1, 1000, 1000), compression=1)


def _bomb(file: h5py.File) -> None:
    whole = file.create_dataset("data", (60_000, 256, 256), "u1", chunks=(1000, 256, 256), compression="gzip")
    whole[:1000] = np.zeros((1000, 256, 256), np.uint8)
    whole[59_000:] = np.zeros((1000, 256, 256), np.uint8)


@pytest.mark.parametrize("name", HDF5)
def test_hdf5(name: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    HDF5[name](folder / "x.h5")
    hostile("evaluate", good_run, "--data", folder / "x.h5")


@pytest.mark.parametrize("seed", range(30))
def test_flipped_bytes_of_hdf5(
    mutated: Callable[[bytes, int], bytes], seed: int, folder: Path, hostile: Hostile, good_run: Path
) -> None:
    _hdf5(folder / "x.h5")
    (folder / "x.h5").write_bytes(mutated((folder / "x.h5").read_bytes(), seed))
    hostile("evaluate", good_run, "--data", folder / "x.h5", code=(0, 2))


PLUGIN = r"""
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void mark(void) { fclose(fopen(getenv("CANARY"), "w")); }
int H5PLget_plugin_type(void) { return 0; }
const void *H5PLget_plugin_info(void) { return 0; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to make a plug-in")
@pytest.mark.parametrize("command", ["data", "network"])
def test_no_filter_plug_in_is_loaded(
    command: str, folder: Path, hostile: Hostile, good_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = folder.parent
    source = folder / "plug.c"
    source.write_text(PLUGIN)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", around / "path" / "libplug.so", source], check=True)
    env = {"HDF5_PLUGIN_PATH": str(around / "path"), "CANARY": str(around / "started-plugin"), "HOME": str(around)}
    _with(folder / "x.h5", "data", _unknown_filter)
    if command == "data":
        hostile("evaluate", good_run, "--data", folder / "x.h5", env=env)
    else:
        with h5py.File(folder / "x.h5", "a") as file:
            file.create_group("layers/dense/vars")
            file.move("data", "layers/dense/vars/0")
        hostile("predict", folder / "x.h5", "x.png", "--arch", "g1-cnn", "--input-range", "0-1", env=env)
