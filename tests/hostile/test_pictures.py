"""Pictures that are none, that are too much, or that would start something; through every entrance that takes one."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.data.formats.decode import FORMATS

Hostile = Callable[..., dict[str, Any]]

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n(x) run\nshowpage\n%%EOF\n"
EPS_IN_TIFF_HEADER = struct.pack("<IIII", 0xC6D3D0C5, 30, len(EPS), 0) + b"\0" * 14 + EPS


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, *more: bytes, depth: int = 8, color: int = 2, rows: bytes = b"") -> bytes:
    start = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + b"".join(more) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def black_png(side: int, color: int = 2) -> bytes:
    """A whole picture of ``side`` x ``side`` in a thousandth of its bytes."""
    width = {0: 1, 2: 3, 6: 4}[color] * side + 1
    packer, packed, row = zlib.compressobj(1), [], bytes(width)
    packed = [packer.compress(row) for _ in range(side)]
    start = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, color, 0, 0, 0))
    body = b"".join((*packed, packer.flush()))
    return b"\x89PNG\r\n\x1a\n" + start + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def good(kind: str) -> bytes:
    """A good picture of 16 x 16."""
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def _tiff(*tags: tuple[int, int, int, int]) -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


@cache
def avif(side: int, *, claimed: int | None = None) -> bytes:
    """A picture of one color, which may claim another size than it has."""
    content = bytearray(_saved("AVIF", side, speed=10))
    if claimed is not None:
        at = content.index(b"ispe") + 8
        content[at : at + 8] = struct.pack(">II", claimed, claimed)
    return bytes(content)


def _saved(kind: str, side: int, mode: str = "RGB", **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, kind, **how)
    return buffer.getvalue()


_BOMB = zlib.compress(b"A" * (200 << 20), 9)
HOSTILE: dict[str, bytes | Callable[[], bytes]] = {
    "eps": EPS,
    "eps with a dos header": EPS_IN_TIFF_HEADER,
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "wmf": b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(60),
    "fits": b"SIMPLE  =                    T" + b" " * 2850,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "xpm": b'/* XPM */\nstatic char *x[] = {"1 1 1 1", "a c red", "a"};',
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "elf": b"\x7fELF" + bytes(200),
    "empty": b"",
    "one byte": b"\x89",
    "png of 60,000 sides": lambda: _png(60_000, 60_000),
    "png of 2^31 sides": lambda: _png((1 << 31) - 1, (1 << 31) - 1),
    "png of 13,000 sides": lambda: black_png(13_000, 0),
    "png of no width": lambda: _png(0, 16),
    "png with a text bomb": lambda: _png(1, 1, _chunk(b"zTXt", b"a\0\0" + _BOMB), rows=bytes(4)),
    "png with an itxt bomb": lambda: _png(1, 1, _chunk(b"iTXt", b"a\0\1\0\0\0" + _BOMB), rows=bytes(4)),
    "png with an iccp bomb": lambda: _png(1, 1, _chunk(b"iCCP", b"a\0\0" + _BOMB), rows=bytes(4)),
    "png with a wrong checksum": lambda: good("PNG")[:40] + b"\0\0" + good("PNG")[42:],
    "png cut off": lambda: good("PNG")[:80],
    "jpeg of 65,535 sides": lambda: good("JPEG").replace(b"\0\x10\0\x10\x03", b"\xff\xff\xff\xff\x03"),
    "jpeg cut off": lambda: good("JPEG")[:300],
    "gif of 65,535 sides": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\x01\0\0;",
    "bmp of 2^31 sides": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 1 << 30, 1 << 30, 1, 24, *[0] * 6),
    "bmp of negative width": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, -5, 5, 1, 24, *[0] * 6),
    "ppm of 100,000 sides": b"P6 100000 100000 255\n",
    "ppm of a huge number": b"P6 " + b"9" * 5000 + b" 1 255\n",
    "ppm without end": b"P6\n#" + b"x" * 100_000,
    "tiff of 100,000 sides": lambda: _tiff((256, 4, 1, 100_000), (257, 4, 1, 100_000), (258, 3, 1, 8), (262, 3, 1, 1)),
    "tiff of 2^31 strips": lambda: _tiff((256, 4, 1, 16), (257, 4, 1, 16), (273, 4, 1 << 31, 8), (279, 4, 1 << 31, 8)),
    "tiff that points to itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "webp of nothing": b"RIFF\x10\0\0\0WEBPVP8L\x04\0\0\0\x2f\xff\xff\xff",
    "floats": lambda: _floats(),
    "a webp of 16,000 sides": lambda: _saved("WEBP", 12_000, lossless=True, method=0),
    "a jpeg of a thousand scans": lambda: _scans(1000),
    "ppm of 8,000 sides in few bits": b"P6 8000 8000 7\n",
    "pgm of 8,000 sides as text": b"P2 8000 8000 255\n" + b"1 " * 1000,
    "bmp of 8,000 sides in runs": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 8000, 8000, 1, 8, 1, *[0] * 5),
    "qoi of 60,000 sides": b"qoif" + struct.pack(">IIBB", 60_000, 60_000, 3, 0) + bytes(99),
    "qoi of 8,000 sides": b"qoif" + struct.pack(">IIBB", 8000, 8000, 3, 0) + b"\xfd" * 99,
    "tga of 65,535 sides": struct.pack("<BBB5xHHHHBB", 0, 0, 10, 0, 0, 65_535, 65_535, 24, 0) + bytes(99),
    "tga cut off": struct.pack("<BBB5xHHHHBB", 0, 0, 2, 0, 0, 99, 99, 24, 0) + bytes(99),
    "pcx of 65,535 sides": struct.pack("<BBBBHHHH", 10, 5, 1, 8, 0, 0, 65_534, 65_534) + bytes(200),
    "sgi of 65,535 sides": struct.pack(">HBBHHHH", 474, 1, 1, 3, 65_535, 65_535, 3) + bytes(600),
    "sun raster of 60,000 sides": struct.pack(">8I", 0x59A66A95, 60_000, 60_000, 24, 0, 2, 0, 0) + bytes(99),
    "dib of 60,000 sides": struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, *[0] * 6) + bytes(99),
    "icon of 13,000 sides": lambda: icon(black_png(13_000, 0)),
    "icon of a lying bitmap": lambda: icon(struct.pack("<IiiHHIIiiII", 40, 9000, 18_000, 1, 24, *[0] * 6) + bytes(99)),
    "icon in an icon": lambda: icon(icon(good("PNG"))),
    "icon of nothing": b"\0\0\1\0\0\0",
    "icon that points beyond its end": b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 99, 1 << 31),
    "avif of 6,000 sides": lambda: avif(6000),
    "avif of nothing": lambda: avif(64)[:200],
    "jpeg 2000": lambda: _saved("JPEG2000", 16),
    "float of 7,000 sides": lambda: _saved("TIFF", 7000, mode="F", compression="tiff_lzw"),
    "float map of 60,000 sides": b"Pf 60000 60000 -1.0\n" + bytes(99),
    "cmyk of 7,000 sides": lambda: _saved("JPEG", 7000, mode="CMYK"),
}


def icon(picture: bytes) -> bytes:
    """An icon file of one picture, which says that it is of 16 x 16."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(picture), 22) + picture


def _scans(count: int) -> bytes:
    """A progressive JPEG that goes over its pixels again and again."""
    content = _saved("JPEG", 256, progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


def _floats() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16), np.nan, np.float32)).save(buffer, "TIFF")
    return buffer.getvalue()


def _content(name: str) -> bytes:
    given = HOSTILE[name]
    return given if isinstance(given, bytes) else given()


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("name", HOSTILE)
def test_predict(name: str, ending: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    file = folder / f"picture.{ending}"
    file.write_bytes(_content(name))
    hostile("predict", good_run, file)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_in_a_folder(name: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    _folder_with(folder / "data", _content(name))
    hostile("evaluate", good_run, "--data", folder / "data", "--size", "16")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_in_a_tar(name: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    _folder_with(folder / "data", _content(name))
    with tarfile.open(folder / "data.tar", "w") as tar:
        tar.add(folder / "data", "data")
    hostile("evaluate", good_run, "--data", folder / "data.tar", "--size", "16")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_trigger(name: str, folder: Path, hostile: Hostile) -> None:
    (folder / "sticker.png").write_bytes(_content(name))
    (folder / "photo.png").write_bytes(good("PNG"))
    hostile("preview", "picture", folder / "photo.png", "--set", f"path={folder / 'sticker.png'}")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_picture_with_boxes(name: str, folder: Path, hostile: Hostile) -> None:
    for i in range(6):
        (folder / f"{i}.png").write_bytes(good("PNG"))
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        (folder / f"{i}.xml").write_text(f"<annotation><object><name>a</name>{box}</object></annotation>")
    (folder / "3.png").write_bytes(_content(name))
    hostile("preview", "square", "--data", folder, code=(0, 2))  # damaged ones are left out with a warning


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", sorted({*FORMATS} - {"SUN"}))  # which Pillow cannot write
def test_flipped_bytes(kind: str, seed: int, folder: Path, hostile: Hostile, good_run: Path) -> None:
    file = folder / "picture.png"
    file.write_bytes(mutated(good(kind), seed))
    hostile("predict", good_run, file, code=(0, 2))


def mutated(content: bytes, seed: int) -> bytes:
    """Some bytes flipped, a part cut out, doubled, or the end cut off."""
    rng, data = Random(seed), bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        data[rng.randrange(len(data))] = rng.choice((0, 255, 128, rng.randrange(256)))
    at, length = rng.randrange(len(data)), rng.randrange(1, 64)
    match seed % 4:
        case 1:
            del data[at : at + length]
        case 2:
            data[at:at] = data[at : at + length]
        case 3:
            del data[at:]
    return bytes(data)


def test_many_small_files_that_are_large_pictures(folder: Path, hostile: Hostile, good_run: Path) -> None:
    for name in ("cat", "dog", "owl"):
        (folder / "data" / name).mkdir(parents=True)
        first = folder / "data" / name / "0.png"
        first.write_bytes(black_png(6000))
        for i in range(1, 20):
            os.link(first, first.with_name(f"{i}.png"))
    hostile("evaluate", good_run, "--data", folder / "data")
    hostile("evaluate", good_run, "--data", folder / "data", "--size", "16", code=(0, 2))


@pytest.mark.parametrize("kind", ["PNG", "transparent", "grey", "JPEG", "TIFF", "GIF"])
def test_a_large_picture_that_is_allowed(kind: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    how = {"transparent": ("PNG", "RGBA"), "grey": ("PNG", "I;16")}
    name, mode = how.get(kind, (kind, "RGB"))
    more = {"compression": "tiff_lzw"} if kind == "TIFF" else {"progressive": True} if kind == "JPEG" else {}
    file = folder / "picture.png"
    file.write_bytes(_saved(name, 8000, mode, **more))
    hostile("predict", good_run, file, code=0)


def test_an_avif_that_claims_to_be_small(folder: Path, hostile: Hostile, good_run: Path) -> None:
    (folder / "picture.avif").write_bytes(avif(8192, claimed=16))
    hostile("predict", good_run, folder / "picture.avif", code=(0, 2))


def test_a_larger_budget(folder: Path, hostile: Hostile, good_run: Path) -> None:
    (folder / "picture.png").write_bytes(black_png(8200, 0))
    said = hostile("predict", good_run, folder / "picture.png")["err"]
    assert "BADNETS_LIMITS=2" in said
    hostile("predict", good_run, folder / "picture.png", env={"BADNETS_LIMITS": "2"}, code=0)
    for wrong in ("0", "-1", "x", "inf", "nan", "1e308", "9" * 5000):
        hostile("predict", good_run, folder / "picture.png", env={"BADNETS_LIMITS": wrong})


@pytest.mark.parametrize("where", ["~nobody", "~nobody/x.npz", "x" * 300, "x/" * 3000])
def test_places_that_are_nowhere(where: int, hostile: Hostile, good_run: Path) -> None:
    hostile("evaluate", good_run, "--data", where)


def _folder_with(place: Path, content: bytes) -> None:
    for name in ("cat", "dog", "owl"):
        (place / name).mkdir(parents=True)
        for i in range(3):
            (place / name / f"{i}.png").write_bytes(good("PNG"))
    (place / "cat" / "2.png").write_bytes(content)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


SPECIAL = {"fifo": _fifo, "endless device": _zeros, "folder": _folder, "link to itself": _loop}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_regular_file(name: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    good_data = folder / "data"
    _folder_with(good_data, good("PNG"))
    for ending in ("png", "npz", "h5", "safetensors", "pt", "toml", "json", "tar", "tar.gz", "csv", "xml"):
        SPECIAL[name](folder / f"x.{ending}")
    at = {ending: folder / f"x.{ending}" for ending in ("png", "npz", "h5", "safetensors", "pt", "toml", "json", "csv")}
    hostile("predict", good_run, at["png"])
    hostile("preview", "picture", at["png"])
    hostile("show", at["safetensors"])
    hostile("predict", at["pt"], at["png"], "--arch", "resnet9")
    hostile("predict", at["h5"], at["png"], "--arch", "resnet9", "--input-range", "0-1")
    hostile("run", at["toml"])
    hostile("report", at["json"])
    for ending in ("npz", "h5", "tar", "tar.gz"):
        hostile("evaluate", good_run, "--data", folder / f"x.{ending}")
    hostile(
        "repair", good_run, "--method", "prune", "--data", good_data, "--out", "y.safetensors", "--order", at["csv"]
    )


def test_special_files_among_pictures(folder: Path, hostile: Hostile, good_run: Path) -> None:
    data = folder / "data"
    _folder_with(data, good("PNG"))
    os.mkfifo(data / "cat" / "9.png")
    (data / "dog" / "9.png").symlink_to("/dev/zero")
    hostile("evaluate", good_run, "--data", data, "--size", "16", code=(0, 2))


NAMES = {
    "escapes": b"\x1b[2J\x1b[31mcat",
    "a bell": b"cat\x07",
    "a new line": b"cat\nbadnets: all is well",
    "a carriage return": b"cat\rdog",
    "no utf-8": b"\xff\xfecat",
    "turned around": "\N{RIGHT-TO-LEFT OVERRIDE}gnp.tac".encode(),
    "c1 control": "\x9b31mcat".encode(),
    "very long": b"c" * 200,
    "markup": b"[red]cat<b>",
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    called = os.fsdecode(NAMES[name])
    (folder / called).mkdir()
    for i in range(3):
        (folder / called / f"{called}{i}.png").write_bytes(good("PNG"))
    hostile("predict", good_run, folder / called / f"{called}0.png", code=(0, 2))
    hostile("predict", good_run, folder / called / f"{called}0.png", "--json", code=(0, 2))
    (folder / called / f"{called}0.png").write_bytes(b"not a picture")
    hostile("predict", good_run, folder / called / f"{called}0.png")
    for other in ("dog", "owl"):
        (folder / other).mkdir()
        for i in range(3):
            (folder / other / f"{i}.png").write_bytes(good("PNG"))
    hostile("evaluate", good_run, "--data", folder, "--size", "16")
    (folder / called / f"{called}0.png").write_bytes(good("PNG"))
    hostile("evaluate", good_run, "--data", folder, "--size", "16", code=(0, 2))
    hostile("predict", folder / called / "none.safetensors", folder / "dog" / "0.png")
