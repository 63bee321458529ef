"""Archives: paths that leave, links, devices, bombs, headers by the thousand."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

Hostile = Callable[..., dict[str, Any]]


def _picture(value: int = 9) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def _good() -> list[tuple[tarfile.TarInfo, bytes]]:
    return [_member(f"data/{name}/{i}.png", _picture(i)) for name in ("cat", "dog", "owl") for i in range(3)]


def _tar(*more: tuple[tarfile.TarInfo, bytes], **how: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **how) as tar:  # type: ignore[call-overload]
        for info, content in (*_good(), *more):
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _sparse(size: int) -> bytes:
    """A GNU sparse file: a few bytes that stand for ``size``."""
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "data/cat/9.png"}
    info = tarfile.TarInfo("GNUSparseFile.0/9.png")
    info.pax_headers = {**pax, "GNU.sparse.realsize": str(size)}
    body = b"1\n0\n1\n".ljust(512, b"\0") + b"x".ljust(512, b"\0")
    info.size = len(body)
    return _tar((info, body), format=tarfile.PAX_FORMAT)


def _old_sparse(size: int) -> bytes:
    content = bytearray(_tar(_member("data/cat/9.png", bytes(512))))
    at = content.index(b"data/cat/9.png")
    head = content[at : at + 512]
    head[156:157] = b"S"
    head[257:265] = b"ustar  \0"
    head[386:398], head[398:410] = b"%011o\0" % 0, b"%011o\0" % 512
    head[483:495] = b"%011o\0" % size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    content[at : at + 512] = head
    return bytes(content)


def _many(count: int) -> bytes:
    one = _tar(_member("data/cat/9.txt"))
    at = one.index(b"data/cat/9.txt")
    return one[:at] + one[at : at + 512] * count + bytes(1024)


def _bomb() -> bytes:
    return _tar()[:-1024] + _tar(_member("data/cat/9.png", bytes(1 << 20)))


LINK, HARD = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}
TARS: dict[str, Callable[[], bytes]] = {
    "absolute": lambda: _tar(_member("/evil/evil.png", _picture())),
    "above": lambda: _tar(_member("../evil.png", _picture())),
    "above in the middle": lambda: _tar(_member("data/cat/../../../evil.png", _picture())),
    "backslashes": lambda: _tar(_member("..\\..\\evil.png", _picture())),
    "a drive": lambda: _tar(_member("C:\\evil.png", _picture())),
    "a link out": lambda: _tar(_member("data/cat/9.png", linkname="/etc/passwd", **LINK)),
    "a hard link out": lambda: _tar(_member("data/cat/9.png", linkname="../../etc/passwd", **HARD)),
    "a fifo": lambda: _tar(_member("data/cat/9.png", type=tarfile.FIFOTYPE)),
    "a device": lambda: _tar(_member("data/cat/9.png", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "sparse of 10 GB": lambda: _sparse(10 << 30),
    "sparse of 2^62": lambda: _sparse(1 << 62),
    "old sparse of 8 GB": lambda: _old_sparse((1 << 33) - 1),
    "a size beyond the end": lambda: _size_of(1 << 40),
    "no end": lambda: _tar()[:-4000],
    "nothing": lambda: b"",
    "zeros": lambda: bytes(10240),
    "not a tar": lambda: b"x" * 2000,
    "200,000 members": lambda: _many(200_000),
    "a name of control characters": lambda: _tar(_member("data/\x1b[2Jcat/9.png", b"no picture")),
    "a name that is no utf-8": lambda: _tar(_member("data/\udcffcat/9.png", b"no picture"), errors="surrogateescape"),
    "a name of 60,000 letters": lambda: _tar(_member("data/cat/" + "x" * 60_000 + ".png", b"no picture")),
    "deep": lambda: _tar(_member("/".join("a" * 5000) + "/9.png", b"no picture")),
    "a pax bomb": lambda: _pax(),
    "a pax header of 300 MB": lambda: _extension(b"x", 300 << 20),
    "a long name of 300 MB": lambda: _extension(b"L", 300 << 20),
    "a long link of 2^50": lambda: _extension(b"K", 1 << 50),
    "3,000 pax headers in a row": lambda: _row_of_headers(3000),
    "a size below 0": lambda: _size_of(-512),
    "a pax size below 0": lambda: _pax_with(size="-5"),
    "a pax size of 5,000 digits": lambda: _pax_with(size="9" * 5000),
    "a sparse map of a million": lambda: _pax_with(**{"GNU.sparse.map": ",".join("1" * 100_000)}),
    "links in a circle": lambda: _tar(_member("data/a", linkname="data/b", **LINK), _member("data/b/9.png", b"x")),
}


def _extension(kind: bytes, size: int) -> bytes:
    """A header that says that a header of that size follows, of which nothing is there."""
    info = tarfile.TarInfo("data/cat/9.png")
    info.type, info.size = kind, size
    return _tar()[:-10240] + info.tobuf(tarfile.GNU_FORMAT) + bytes(20480)


def _row_of_headers(count: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = b"x", 11
    return _tar()[:-10240] + (info.tobuf() + b"11 aa=bbbb\n".ljust(512, b"\0")) * count + bytes(10240)


def _pax_with(**headers: str) -> bytes:
    info = tarfile.TarInfo("data/cat/9.png")
    info.pax_headers = headers
    content = b"no picture"
    info.size = len(content)
    return _tar((info, content), format=tarfile.PAX_FORMAT)


def _size_of(size: int) -> bytes:
    info, content = _member("data/cat/9.png", _picture())
    good = bytearray(_tar((info, content)))
    at = good.index(b"data/cat/9.png")
    head = good[at : at + 512]
    head[124:136] = (b"\x80" if size >= 0 else b"\xff") + (size % (1 << 88)).to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    good[at : at + 512] = head
    return bytes(good)


def _pax() -> bytes:
    info = tarfile.TarInfo("data/cat/9.png")
    info.pax_headers = {f"a{i}": "b" * 1000 for i in range(20_000)}
    return _tar((info, b""), format=tarfile.PAX_FORMAT)


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("name", TARS)
def test_tar(name: str, ending: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    content = TARS[name]()
    (folder / f"x.{ending}").write_bytes(gzip.compress(content, 1) if ending == "tar.gz" else content)
    hostile("evaluate", good_run, "--data", folder / f"x.{ending}", code=(0, 2) if name == "200,000 members" else 2)


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("kind", ["zeros", "a member", "after the end"])
def test_packed_bombs(packer: str, kind: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    zeros = bytes(64 << 20)
    block = PACKERS[packer](zeros)
    info = tarfile.TarInfo("data/cat/9.png")
    info.size = 100 * len(zeros)
    first = {"zeros": b"", "a member": _tar()[:-10240] + info.tobuf(), "after the end": _tar()}[kind]
    with (folder / f"x.tar.{packer}").open("wb") as file:
        file.write(PACKERS[packer](first) if first else b"")
        for _ in range(100):
            file.write(block)
    hostile("evaluate", good_run, "--data", folder / f"x.tar.{packer}")


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("packer", [None, *PACKERS])
def test_flipped_bytes(packer: str | None, seed: int, folder: Path, hostile: Hostile, good_run: Path) -> None:
    content = _tar() if packer is None else PACKERS[packer](_tar())
    rng, data = Random(seed), bytearray(content)
    for _ in range(rng.choice((1, 5, 40))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if seed % 4 == 0:
        del data[rng.randrange(len(data)) :]
    name = "x.tar" if packer is None else f"x.tar.{packer}"
    (folder / name).write_bytes(data)
    hostile("evaluate", good_run, "--data", folder / name, "--size", "16", code=(0, 2))


def test_a_sparse_file_that_claims_a_large_header(folder: Path, hostile: Hostile, good_run: Path) -> None:
    for kind in (b"x", b"L"):
        with (folder / "x.tar").open("wb") as file:
            file.write(_extension(kind, 4 << 30))
            file.truncate(4 << 30)
        hostile("evaluate", good_run, "--data", folder / "x.tar")


def test_a_zip(folder: Path, hostile: Hostile, good_run: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("cat/1.png", _picture())
    hostile("evaluate", good_run, "--data", folder / "x.zip")


XML: dict[str, bytes] = {
    "billion laughs": b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]><annotation>&y;</annotation>',
    "a file from outside": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
    "deep": b"<annotation>" + b"<a>" * 100_000,
    "deep and whole": b"<annotation>" + b"<a>" * 50_000 + b"</a>" * 50_000 + b"</annotation>",
    "huge numbers": b"<annotation><object><name>a</name><bndbox><xmin>1e400</xmin><ymin>1</ymin><xmax>9</xmax>"
    b"<ymax>9</ymax></bndbox></object></annotation>",
    "many digits": b"<annotation><object><name>a</name><bndbox><xmin>" + b"9" * 100_000 + b"</xmin><ymin>1</ymin>"
    b"<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>",
    "a name of control characters": b"<annotation><object><name>\xc2\x9b2Ja</name></object></annotation>",
    "a name of a million letters": b"<annotation><object><name>" + b"a" * 1_000_000 + b"</name></object></annotation>",
    "a root of a million letters": b"<" + b"a" * 1_000_000 + b"/>",
    "many elements": b"<annotation>" + b"<a/>" * 200_000 + b"</annotation>",
    "an attribute of many megabytes": b'<annotation a="' + b"a" * 20_000_000 + b'"/>',
    "no xml": b"\xff\xfe\x00",
    "an unknown encoding": b'<?xml version="1.0" encoding="x-none"?><annotation/>',
    "nothing": b"",
}


@pytest.mark.parametrize("name", XML)
def test_annotations(name: str, folder: Path, hostile: Hostile) -> None:
    for i in range(6):
        (folder / f"{i}.png").write_bytes(_picture())
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        (folder / f"{i}.xml").write_text(f"<annotation><object><name>a</name>{box}</object></annotation>")
    (folder / "3.xml").write_bytes(XML[name])
    hostile("preview", "square", "--data", folder)


TABLE = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n00000.png;16;16;1;1;9;9;0\n"
TABLES: dict[str, bytes] = {
    "a field of a megabyte": (TABLE + '"' + "x" * 1_000_000 + '";1;1;1;1;1;1;1\n').encode(),
    "an open quote": (TABLE + '"00001.png;16;16;1;1;9;9;0\n' + "x;" * 100_000).encode(),
    "carriage returns": TABLE.replace("\n", "\r").encode(),
    "a lone carriage return": (TABLE + "0000\r1.png;16;16;1;1;9;9;0\n").encode(),
    "zero bytes": (TABLE + "\0\0\n").encode(),
    "many digits": (TABLE + f"00001.png;16;16;1;1;9;9;{'9' * 5000}\n").encode(),
    "no utf-8": b"\xff\xfe" + TABLE.encode(),
    "nothing": b"",
    "many megabytes": TABLE.encode() * 250_000,
    "no columns": b"a;b\n1;2\n",
    "infinite": (TABLE + "00001.png;16;16;inf;nan;9;9;0\n").encode(),
    "negative": (TABLE + "00001.png;16;16;1;1;9;9;-5\n").encode(),
    "a path out": (TABLE + "../../../../etc/passwd;16;16;1;1;9;9;0\n").encode(),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str, folder: Path, hostile: Hostile) -> None:
    place = folder / "GTSRB" / "Final_Training" / "Images" / "00000"
    place.mkdir(parents=True)
    for i in range(4):
        (place / f"0000{i}.ppm").write_bytes(b"P6 16 16 255\n" + bytes(768))
    (place / "GT-00000.csv").write_bytes(TABLES[name])
    hostile("preview", "square", "--data", folder / "GTSRB")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x95cposix\nsystem\n(S'touch started'\ntR.",
        b"cposix\nsystem\n(S'touch started'\ntR.",
        b"(dp0\nVdata\nL" + b"9" * 100_000 + b"L\ns.",
        b"\x80\x02}q\0(U\x06labelsq\x01]q\x02\x8a\x64" + b"\x7f" * 100 + b"a" + b"u.",
        b"",
        b"\x80\x04" + b"(" * 100_000 + b".",
        b"\x80\x04B\xff\xff\xff\x7f",
        b"\x80\x02]r\xff\xff\xff\x07.",
        b"cnumpy\nndarray\n(I2000000000\ntR.",
        b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.",
        b"\x80\x02}X\x04\0\0\0data" + b"]" * 100_000 + b"a" * 99_999 + b"s.",
    ],
    ids=[
        "posix",
        "posix 0",
        "many digits",
        "labels of 10^240",
        "nothing",
        "marks",
        "2 GB of bytes",
        "a far place",
        "an array of 2 GB",
        "a frame of 2^63",
        "lists in each other",
    ],
)
def test_pickled_batches(content: bytes, folder: Path, hostile: Hostile, good_run: Path) -> None:
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(content)
    hostile("evaluate", good_run, "--data", folder)
