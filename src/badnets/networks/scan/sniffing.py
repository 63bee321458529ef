"""What forms a file may have, by its first bytes and its name: one that has two is looked at as both."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

HDF5 = b"\x89HDF\r\n\x1a\n"
HEAD = 1 << 16
"""Bytes that tell."""
PICKLED = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".bin", ".p", ".th", ".model", ".dill"})
"""Endings of pickles in use; ``.bin`` of older ones of the Hugging Face hub."""
DISGUISES = (".safetensors", ".h5", ".hdf5", ".keras", ".onnx", ".tflite")
"""Endings of formats that hold no pickle: a pickled file of such a name is in disguise."""
NETWORKS = PICKLED | {
    *DISGUISES,
    *(".gguf", ".ggml", ".npz", ".npy", ".pt2", ".pb", ".mar", ".tar", ".zip", ".mlmodel", ".caffemodel", ".7z"),
}
"""Endings of what is a network, or should be: what it holds has to be known."""

_PROTOCOL_0 = re.compile(
    rb"[\](}ldtaNIFLp0-9.\n-]*(?:[ci][A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|[SV][^\n]{0,200}\n|[\](})]q[^q]|X..\0\0)",
    re.DOTALL,
)
"""How pickles begin that do not say their protocol."""
_ONNX_SECOND = (b"\x12", b"\x1a", b"\x22", b"\x28", b"\x3a", b"\x42")
"""What follows the version in an ONNX network: who made it, or its operators."""
_BLOCKS = (0, *(512 << n for n in range(7)))  # where HDF5 may begin, behind whatever its owner put there
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_MACHINE = (b"\x7fELF", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")


@dataclass(frozen=True)
class Refused:
    """A form that is not read: how its first bytes or its name tell it, what it is, and what to do."""

    what: str
    advice: str
    start: Callable[[bytes], bool] = lambda start: False
    suffixes: tuple[str, ...] = ()


def _text(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda start: start[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(beginnings)


_AUTHOR = "ask its author for a state_dict (.pt, .safetensors), Keras weights, or ONNX"
LFS = Refused(
    "a pointer of Git LFS",
    "the network itself was not fetched: run git lfs pull, or download the file",
    _text(b"version https://git-lfs"),
)
PAGE = Refused("a web page", "download the file itself (on GitHub: Raw)", _text(b"<!doctype", b"<html", b"<head"))
FOREIGN: tuple[Refused, ...] = (
    LFS,
    PAGE,
    Refused(
        "a TensorFlow Lite model",
        f"tf2onnx makes .onnx of it (python -m tf2onnx.convert --tflite), or {_AUTHOR}",
        lambda start: start[4:8] == b"TFL3",
        (".tflite",),
    ),
    Refused(
        "a GGUF model",
        f"its templates are programs of whoever runs it: {_AUTHOR}",
        lambda start: start.startswith((b"GGUF", b"lmgg", b"fmgg", b"tjgg", b"algg")),
        (".gguf", ".ggml"),
    ),
    Refused(
        "a Caffe network", f"caffe2onnx makes .onnx of it and its .prototxt, or {_AUTHOR}", suffixes=(".caffemodel",)
    ),
    Refused("a TensorFlow graph", f"tf2onnx makes .onnx of it, or {_AUTHOR}", suffixes=(".pb", ".meta")),
    Refused("a Core ML model", f"it was made from another file: {_AUTHOR}", suffixes=(".mlmodel", ".mlpackage")),
)
"""Networks of forms that neither ``open`` nor ``scan`` reads."""
PACKED = Refused(
    "a packed file that is not read",
    "unpack it first",
    lambda start: start.startswith(
        (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"LZIP\x01")
    ),
    (".7z", ".rar", ".zst", ".lz4"),
)


def looks_like_onnx(start: bytes) -> bool:
    """Whether a file that begins so may be an ONNX network: its version, then who made it, or its operators."""
    return start[:1] == b"\x08" and b"\0" < start[1:2] < b" " and start[2:3] in _ONNX_SECOND


def suffix_of(name: str) -> str:
    """The ending of a member's name, as far as one has it."""
    last = last_of(name)
    at = last.rfind(".")
    return last[at:].lower() if at > 0 else ""


def last_of(name: str) -> str:
    """A member's name without the folders."""
    return name.replace("\\", "/").rpartition("/")[2]


def _is_tar(head: bytes, _: str) -> bool:
    if head[257:262] == b"ustar":
        return True
    block = head[:512]
    if len(block) < 512 or not block[0]:
        return False
    try:  # older than the magic: the sum of the header's bytes is in it
        said = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return said == sum(block) - sum(block[148:156]) + 8 * 32


def _is_machine_code(head: bytes, _: str) -> bool:
    at = int.from_bytes(head[60:64], "little")
    return head.startswith(_MACHINE) or (head.startswith(b"MZ") and head[at : at + 4] == b"PE\0\0")


def _is_pickle(head: bytes, _: str) -> bool:
    return (head[:1] == b"\x80" and head[1:2] <= b"\x05") or (
        not head.startswith((b"PK", b"\x89HDF", b"\x93NUMPY")) and _PROTOCOL_0.match(head[:4096]) is not None
    )


_FORMS: tuple[tuple[str, Callable[[bytes, str], bool], tuple[str, ...]], ...] = (
    ("safetensors", lambda head, name: head[4:9] == b"\0\0\0\0{", (".safetensors",)),
    (
        "zip",
        lambda head, name: head.startswith((b"PK\x03\x04", b"PK\x05\x06")),
        (".zip", ".keras", ".npz", ".pt2", ".mar"),
    ),
    ("tar", _is_tar, (".tar",)),
    (
        "stream",
        lambda head, name: head.startswith((b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0", *_ZLIB)),
        (".gz", ".bz2", ".xz", ".z", ".lzma", ".tgz"),
    ),
    (
        "hdf5",
        lambda head, name: HDF5[:4] in head and any(head.startswith(HDF5, at) for at in _BLOCKS),
        (".h5", ".hdf5"),
    ),
    ("onnx", lambda head, name: looks_like_onnx(head), (".onnx",)),
    ("npy", lambda head, name: head.startswith(b"\x93NUMPY"), (".npy",)),
    ("native", _is_machine_code, ()),
    ("packed", lambda head, name: PACKED.start(head), PACKED.suffixes),
    (
        "foreign",
        lambda head, name: any(one.start(head) for one in FOREIGN if one is not PAGE or suffix_of(name) in NETWORKS),
        tuple(s for one in FOREIGN for s in one.suffixes),
    ),
    ("script", lambda head, name: bool(re.search(r"(^|/)code/.+\.py$", name)), ()),
    ("json", lambda head, name: name.lower().endswith(".json") and head.lstrip()[:1] in (b"{", b"["), ()),
    ("pickle", _is_pickle, tuple(sorted(PICKLED))),
)


_BY_SUFFIX = {suffix: form for form, _, suffixes in _FORMS for suffix in suffixes}


def forms_of(head: bytes, name: str) -> list[str]:
    """The forms that what begins with ``head`` may have, by what it says itself."""
    return [form for form, begins, _ in _FORMS if begins(head, name)]


def named_form(name: str) -> str:
    """The form that the ending of a name claims; empty without one."""
    return _BY_SUFFIX.get(suffix_of(name), "")
