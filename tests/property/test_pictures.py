"""The same bytes give the same pixels, whichever entrance they come through."""

from __future__ import annotations

import base64
import io
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from badnets.backdoors.triggers.picture import Picture, picture_of
from badnets.core.cache import DataWarning
from badnets.data.formats.decode import decode, decode_stamp, read_picture
from badnets.data.load import load
from badnets.defenses.stamps import read_stamp

SIDE = (10, 14)  # height, width
TURN = 6


def _noise(*channels: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (*SIDE, *channels), np.uint8)


def _encoded(image: Image.Image, format: str = "PNG", **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **how)
    return out.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = TURN
    return exif


def _key() -> bytes:
    image = Image.fromarray(_noise(3))
    return _encoded(image, transparency=image.getpixel((3, 3)))


def _palette(**how: object) -> bytes:
    return _encoded(Image.fromarray(_noise(3)).quantize(16), **how)


_DEEP = _noise().astype(np.uint16) * 257
_MASK = Image.fromarray(_noise(4))
MODES: dict[str, Callable[[], bytes]] = {
    "1": lambda: _encoded(Image.fromarray(_noise() > 127)),
    "1 with a key": lambda: _encoded(Image.fromarray(_noise() > 127), transparency=0),
    "L": lambda: _encoded(Image.fromarray(_noise())),
    "L with a key": lambda: _encoded(Image.fromarray(_noise()), transparency=int(_noise()[3, 3])),
    "LA": lambda: _encoded(Image.fromarray(_noise(2))),
    "P": _palette,
    "P with a key": lambda: _palette(transparency=3),
    "P with alphas": lambda: _palette(transparency=bytes(range(0, 256, 16))),
    "gif with a key": lambda: _encoded(Image.fromarray(_noise(3)).quantize(16), "GIF", transparency=2),
    "RGB": lambda: _encoded(Image.fromarray(_noise(3))),
    "RGB with a key": _key,
    "RGBA": lambda: _encoded(_MASK),
    "RGBA webp": lambda: _encoded(_MASK, "WEBP", lossless=True),
    "RGBA tiff": lambda: _encoded(_MASK, "TIFF"),
    "RGBA turned": lambda: _encoded(_MASK, exif=_turned()),
    "RGBA tga": lambda: _encoded(_MASK, "TGA"),
    "RGBA qoi": lambda: _encoded(_MASK, "QOI"),
    "RGBA avif": lambda: _encoded(_MASK, "AVIF"),
    "RGBA icon": lambda: _encoded(_MASK, "ICO", sizes=[SIDE[::-1]]),
    "RGBA icon of bits": lambda: _encoded(_MASK, "ICO", sizes=[SIDE[::-1]], bitmap_format="bmp"),
    "CMYK": lambda: _encoded(Image.fromarray(_noise(3)).convert("CMYK"), "JPEG"),
    "CMYK tiff": lambda: _encoded(Image.fromarray(_noise(3)).convert("CMYK"), "TIFF"),
    "YCbCr tiff": lambda: _encoded(Image.fromarray(_noise(3)).convert("YCbCr"), "TIFF"),
    "LAB tiff": lambda: _encoded(
        ImageCms.profileToProfile(
            Image.fromarray(_noise(3)), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        ),
        "TIFF",
    ),
    "I;16 png": lambda: _encoded(Image.fromarray(_DEEP)),
    "I;16 with a key": lambda: _encoded(Image.fromarray(_DEEP), transparency=int(_DEEP[3, 3])),
    "I;16 tiff": lambda: _encoded(Image.fromarray(_DEEP), "TIFF"),
    "I;16B tiff": lambda: _encoded(Image.frombytes("I;16B", SIDE[::-1], _DEEP.astype(">u2").tobytes()), "TIFF"),
    "I tiff": lambda: _encoded(Image.fromarray(_DEEP.astype(np.int32)), "TIFF"),
    "I ppm": lambda: _encoded(Image.fromarray(_DEEP.astype(np.int32)), "PPM"),
    "F tiff of shares": lambda: _encoded(Image.fromarray(_noise().astype(np.float32) / 255), "TIFF"),
    "F tiff of levels": lambda: _encoded(Image.fromarray(_noise().astype(np.float32)), "TIFF"),
    "jpeg turned": lambda: _encoded(Image.fromarray(_noise(3)), "JPEG", exif=_turned()),
    "webp turned": lambda: _encoded(Image.fromarray(_noise(3)), "WEBP", exif=_turned()),
    "tiff turned": lambda: _encoded(Image.fromarray(_noise(3)), "TIFF", exif=_turned()),
    "bmp": lambda: _encoded(Image.fromarray(_noise(3)), "BMP"),
    "dib": lambda: _encoded(Image.fromarray(_noise(3)), "DIB"),
    "pcx": lambda: _encoded(Image.fromarray(_noise(3)), "PCX"),
    "sgi": lambda: _encoded(Image.fromarray(_noise(3)), "SGI"),
    "tga": lambda: _encoded(Image.fromarray(_noise(3)), "TGA", compression="tga_rle"),
}


def _folder(place: Path, content: bytes) -> None:
    for name in ("a", "b"):
        (place / name).mkdir(parents=True)
        for i in range(2):
            (place / name / f"{i}.png").write_bytes(content)


def _from_folder(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    _folder(place / "set", content)
    return load(place / "set", grey=False).train.pixels.one(0)


def _from_tar(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    _folder(place / "set", content)
    with tarfile.open(place / "set.tar", "w") as tar:
        tar.add(place / "set", "set")
    return load(place / "set.tar", grey=False).train.pixels.one(0)


def _from_voc(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    said = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    for i in range(4):
        (place / f"{i}.png").write_bytes(content)
        (place / f"{i}.xml").write_text(f"<annotation>{said}<object><name>a</name>{box}</object></annotation>")
    return load("voc", path=place).train.pixels.one(0)


def _from_lisa(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    (place / "images").mkdir()
    lines = ["file,label,track"]
    for i in range(4):
        (place / "images" / f"{i}.png").write_bytes(content)
        lines.append(f"{i}.png,stop,{i}")
    (place / "labels.csv").write_text("\n".join(lines))
    return load("lisa", path=place, size=size).train.pixels.one(0)


def _from_gtsrb(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    folder = place / "GTSRB" / "Final_Training" / "Images" / "00000"
    folder.mkdir(parents=True)
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for i in range(4):
        (folder / f"{i:05}_00000.ppm").write_bytes(content)
        lines.append(f"{i:05}_00000.ppm;{size[1]};{size[0]};0;0;{size[1]};{size[0]};0")
    (folder / "GT-00000.csv").write_text("\n".join(lines))
    return load("gtsrb", path=place, size=size).train.pixels.one(0)


def _alone(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    (place / "x.png").write_bytes(content)
    return read_picture(place / "x.png", channels=3)


def _on_white(stamp: np.ndarray) -> np.ndarray:
    white = Image.new("RGBA", stamp.shape[1::-1], (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, Image.fromarray(stamp)).convert("RGB"))


def _as_a_trigger(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    (place / "x.png").write_bytes(content)
    return _on_white(np.asarray(picture_of(Picture(path=str(place / "x.png")).png)))


def _inside_a_trigger(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    png = content if content.startswith(b"\x89PNG") else _encoded(Image.fromarray(decode_stamp(content)))
    return _on_white(np.asarray(picture_of(Picture(png=base64.b64encode(png).decode()).png)))


def _to_be_unlearned(place: Path, content: bytes, size: tuple[int, int]) -> np.ndarray:
    (place / "x.png").write_bytes(content)
    stamp = read_stamp(place / "x.png", (3, *size))
    colors = np.rint(stamp.pattern.permute(1, 2, 0).numpy() * 255)
    return _on_white(np.concatenate([colors, np.rint(stamp.mask.numpy()[0, ..., None] * 255)], 2).astype(np.uint8))


ENTRANCES = {
    "folder": _from_folder,
    "tar": _from_tar,
    "voc": _from_voc,
    "lisa": _from_lisa,
    "gtsrb": _from_gtsrb,
    "alone": _alone,
    "trigger": _as_a_trigger,
    "inside a trigger": _inside_a_trigger,
    "stamp": _to_be_unlearned,
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("mode", MODES)
def test_same_bytes_same_pixels(mode: str, entrance: str, tmp_path: Path) -> None:
    content = MODES[mode]()
    expected = decode(content, grey=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        got = ENTRANCES[entrance](tmp_path, content, expected.shape[:2])
    assert np.array_equal(got, expected)


RIGHT: dict[str, Callable[[], np.ndarray]] = {
    "I;16 png": lambda: np.repeat(_noise()[..., None], 3, 2),
    "I;16 tiff": lambda: np.repeat(_noise()[..., None], 3, 2),
    "I;16B tiff": lambda: np.repeat(_noise()[..., None], 3, 2),
    "I tiff": lambda: np.repeat(_noise()[..., None], 3, 2),
    "I ppm": lambda: np.repeat(_noise()[..., None], 3, 2),
    "F tiff of shares": lambda: np.repeat(_noise()[..., None], 3, 2),
    "F tiff of levels": lambda: np.repeat(_noise()[..., None], 3, 2),
    "I;16 with a key": lambda: np.repeat(np.where(_noise() == _noise()[3, 3], 255, _noise())[..., None], 3, 2),
    "L with a key": lambda: np.repeat(np.where(_noise() == _noise()[3, 3], 255, _noise())[..., None], 3, 2),
    "RGBA": lambda: _on_white(_noise(4)),
    "RGBA qoi": lambda: _on_white(_noise(4)),
    "RGBA tga": lambda: _on_white(_noise(4)),
    "RGBA icon": lambda: _on_white(_noise(4)),
    "RGBA icon of bits": lambda: _on_white(_noise(4)),
    "RGBA turned": lambda: np.rot90(_on_white(_noise(4)), -1),
    "tiff turned": lambda: np.rot90(_noise(3), -1),
    **dict.fromkeys(("RGB", "bmp", "dib", "pcx", "sgi", "tga"), lambda: _noise(3)),
}


@pytest.mark.parametrize("mode", RIGHT)
def test_and_the_right_ones(mode: str) -> None:
    assert np.array_equal(decode(MODES[mode](), grey=False), RIGHT[mode]())
