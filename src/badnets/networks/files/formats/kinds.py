"""What kind of file it is, by its first bytes: how it is read, or why it is not."""

from __future__ import annotations

import zipfile
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.data.formats.hdf5_file import SIGNATURE
from badnets.networks.files.formats.entries import ForeignFile, read_safetensors, read_torch
from badnets.networks.files.formats.keras_file import WEIGHTS, read_keras, read_keras_archive
from badnets.networks.files.header import opened
from badnets.networks.files.tensors import ADVICE, check_catalog
from badnets.networks.scan.sniffing import DISGUISES, FOREIGN, PACKED, Refused, looks_like_onnx

_START = 512
_REFUSED = (
    *FOREIGN,
    Refused(
        "numbers of numpy", "pictures are named with --data", lambda start: start.startswith(b"\x93NUMPY"), (".npy",)
    ),
    Refused("a packed file", "unpack it first", lambda start: start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))),
    PACKED,
    Refused("a tar archive", "unpack it first", lambda start: start[257:262] == b"ustar"),
    Refused(
        "a description without weights",
        "name the file of weights",
        lambda start: start.lstrip()[:1] in (b"{", b"["),
        (".json",),
    ),
)


def is_onnx(path: Path) -> bool:
    """Whether it is an ONNX network: by its name, unless its first bytes are those of something else, or by those."""
    with opened(path, "the file") as stream:
        start = stream.read(_START)
    if looks_like_onnx(start):
        return True
    known = any(one.start(start) for one in _REFUSED) or start.startswith((SIGNATURE, b"PK", b"\x80"))
    return path.suffix.lower() == ".onnx" and not known


def read_foreign(path: Path) -> list[ForeignFile]:
    """What is in a file that another program wrote; several, if it holds several networks, the likeliest first. Raises
    ``BadInput``, which names the format and says what to do, for what is not opened."""
    with opened(path, "the file") as stream:
        start = stream.read(_START)
    if start.startswith(SIGNATURE):
        return [read_keras(path)]
    if start[4:9] == b"\0\0\0\0{":  # before pickles: a header's length may begin with the same byte
        return [read_safetensors(path)]
    for known in _REFUSED:
        if known.start(start) or path.suffix.lower() in known.suffixes:
            raise BadInput(f"{path}: expected a network, got {known.what}; {known.advice}")
    if start.startswith((b"PK", b"\x80")):
        if start.startswith(b"PK") and (special := _archive(path)) is not None:
            return special
        if path.suffix.lower() in DISGUISES:
            raise BadInput(
                f"{path}: expected weights in HDF5 or safetensors, got a pickled file in disguise, which may run code "
                "when opened; nothing in it was run"
            )
        return read_torch(path)
    got = "an empty one" if not start else "something else"
    wanted = "safetensors, .pt or .pth, Keras HDF5 or .keras, .onnx"
    raise BadInput(f"{path}: expected a file of weights ({wanted}), got {got}; {ADVICE}")


def _archive(path: Path) -> list[ForeignFile] | None:
    """What a zip archive holds that torch.save did not write; None for one that it may have written."""
    check_catalog(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError):
        return None  # torch's own reader says what is wrong
    if WEIGHTS in names and "config.json" in names:
        return [read_keras_archive(path)]
    tops = {name.rpartition("/")[2] for name in names}
    if any(name.endswith(".npy") for name in names):
        raise BadInput(f"{path}: expected a network, got arrays of numpy (.npz); pictures are named with --data")
    if "saved_model.pb" in tops:
        raise BadInput(f"{path}: expected a network, got a packed SavedModel of TensorFlow; tf2onnx makes .onnx of it")
    if {"serialized_exported_program.json", "archive_format"} & tops and "data.pkl" not in tops:
        raise BadInput(f"{path}: expected plain weights, got an exported program (.pt2); {ADVICE}, or export .onnx")
    return None
