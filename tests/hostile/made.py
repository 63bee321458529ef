"""Parts of the files in ``scanned.py``: pickles, archives, descriptions, each with a call that does nothing."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

TEXT = b"(X\x01\0\0\0:t"
STATE = b"\x80\x02}X\x06\0\0\0weightK\x01s."


def called(name: str, arguments: bytes = TEXT) -> bytes:
    """A pickle of protocol 2 that calls ``module.name``."""
    module, _, function = name.rpartition(".")
    return b"\x80\x02" + f"c{module}\n{function}\n".encode() + arguments + b"R."


SYSTEM = called("os.system")


class Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (":",)


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def torch_zip(content: bytes, *, how: int = zipfile.ZIP_STORED, name: str = "archive/data.pkl", **more: bytes) -> bytes:
    """An archive as torch.save writes it, around any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr(name, content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", b"\x01\x02\x03\x04" * 16)
        for member, value in more.items():
            archive.writestr(member, value)
    return buffer.getvalue()


def torch_older(content: bytes) -> bytes:
    """The older format: five pickles, then numbers."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}]
    return b"".join(pickle.dumps(one, 2) for one in head) + content + pickle.dumps([], 2)


def zipped(**members: bytes) -> bytes:
    """A plain archive."""
    return archived(members)


def archived(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """A plain archive of any names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, target
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def patched(content: bytes, *changes: tuple[int, bytes]) -> bytes:
    data = bytearray(content)
    for at, new in changes:
        data[at : at + len(new)] = new
    return bytes(data)


def entry_of(content: bytes, number: int = 0) -> int:
    """Where the list's line of a member begins."""
    at = -1
    for _ in range(number + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    return at


def broken_sum() -> bytes:
    """torch does not compare it."""
    content = torch_zip(SYSTEM)
    return patched(content, (14, b"\1\2\3\4"), (entry_of(content) + 16, b"\1\2\3\4"))


def two_names() -> bytes:
    """The list says what torch reads; the member's own header says something else."""
    content = torch_zip(SYSTEM)
    return patched(content, (30, b"archive/data.txt"))


def encrypted_flag() -> bytes:
    """Set in the list alone: some readers give up, others do not look."""
    content = torch_zip(SYSTEM)
    return patched(content, (entry_of(content) + 8, b"\1"), (6, b"\1"))


def without_list() -> bytes:
    content = torch_zip(SYSTEM)
    return content[: entry_of(content)]


def hidden_member() -> bytes:
    """In the archive, but not in its list."""
    content = torch_zip(STATE, **{"archive/extra.pkl": SYSTEM})
    first, last = entry_of(content, 3), content.index(b"PK\x05\x06")
    size = struct.unpack("<I", content[last + 12 : last + 16])[0] - (last - first)
    content = content[:first] + content[last:]
    return patched(content, (first + 8, struct.pack("<HH", 3, 3)), (first + 12, struct.pack("<I", size)))


def keras(config: Any) -> bytes:
    weights = hdf5(lambda file: file.create_group("layers"))
    members = {"metadata.json": b'{"keras_version": "3.5.0"}', "config.json": json.dumps(config).encode()}
    return archived({**members, "model.weights.h5": weights})


def layer(kind: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    inner = {"module": module, "class_name": kind, "config": {"name": "x", **config}, "registered_name": None}
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [inner]}}


def hdf5(make: Callable[[h5py.File], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        make(file)
    return buffer.getvalue()


def keras_2(kind: str, **config: Any) -> bytes:
    described = {"class_name": "Sequential", "config": [{"class_name": kind, "config": {"name": "x", **config}}]}
    return hdf5(lambda file: file.attrs.update(model_config=json.dumps(described)))


def stored_outside(file: h5py.File) -> None:
    file.create_dataset("kernel", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/other.h5", "x", (4,))
    file.create_virtual_dataset("kernel", layout)


def filtered() -> bytes:
    content = hdf5(
        lambda f: f.create_dataset("k", (64,), "f4", data=np.ones(64, "f4"), chunks=(64,), compression="lzf")
    )
    return content.replace(struct.pack("<H", 32000), struct.pack("<H", 32123))


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def onnx(tensor: bytes = b"", domain: str = "", kind: str = "Relu") -> bytes:
    """An ONNX network of one operator."""
    node = field(1, b"x") + field(2, b"y") + field(4, kind.encode()) + (field(7, domain.encode()) if domain else b"")
    graph = field(1, node) + field(2, b"g") + (field(5, tensor) if tensor else b"")
    return field(1, 8) + field(2, b"test") + field(7, graph) + field(8, field(1, b"") + field(2, 17))


def onnx_beside(location: str) -> bytes:
    """A tensor of it lies in another file."""
    entry = field(1, b"location") + field(2, location.encode())
    return field(1, 4) + field(2, 1) + field(8, b"w") + field(13, entry) + field(14, 1)


def npy(content: bytes, described: str = "|O") -> bytes:
    """An array of numpy, with any content."""
    text = f"{{'descr': '{described}', 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content


def safetensors(header: Any, body: bytes = b"") -> bytes:
    """A header of any content, and what follows."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def script(text: str) -> bytes:
    content = b"\x80\x02c__torch__\nN\n)\x81}X\x08\0\0\0training\x89sb."
    return torch_zip(content, **{"archive/code/__torch__.py": text.encode(), "archive/constants.pkl": b"\x80\x02)."})


def pt2(**members: bytes) -> bytes:
    own = {"e/archive_format": b"pt2", "e/archive_version": b"0", "e/models/model.json": b'{"graph_module": {}}'}
    return archived({**own, **members})


def with_joblib() -> bytes:
    """As joblib writes an array with an object beside it."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump([np.arange(4.0), Calls()], buffer)
    return buffer.getvalue()


def buried() -> bytes:
    with tempfile.TemporaryFile() as file:
        np.save(file, np.random.default_rng(1).normal(size=3000))
        file.seek(128)
        return file.read() + SYSTEM + b"\0" * 500
