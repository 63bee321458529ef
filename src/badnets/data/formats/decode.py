"""One encoded picture to pixels: the only reader of pictures, whichever entrance they come through.

The same bytes give the same pixels in a folder, an archive, a table of crops, beside boxes, as a trigger, and alone.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from badnets.core.errors import BadInput, first_line
from badnets.core.files import read_bytes
from badnets.core.limits import HEAVY_PICTURE, MEMBER, PICTURE, SCANS, SLOW_PICTURE, within_memory
from badnets.core.text import brief
from badnets.data.images import Pixels, resized

_KNOWN: Mapping[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "DIB": (".dib",),
    "ICO": (".ico",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SUN": (".ras",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),  # the last, for it has no mark of its own
}
"""Formats of Pillow, in the order in which they are tried, and how their files end.

Left out are formats that start a program (EPS), or of which nothing tells what they take (JPEG 2000: 15 kB may ask for
7 GB), and those that hold no pictures of data sets (icons of Apple, textures, Photoshop).
"""
FORMATS = tuple(_KNOWN)
"""What Pillow may open, whatever a file is called."""
ENDINGS = tuple(chain(*_KNOWN.values()))
"""Files with other endings are no pictures."""

_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_GREY_MODES = ("1", "L", "LA", *_DEEP_MODES)
_TURNS: Mapping[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}
"""What sets a picture upright, by its orientation in EXIF."""
_BAND = 4 << 20  # pixels that are converted at a time
_IN_PYTHON = ("ppm", "ppm_plain", "bmp_rle", "qoi", "SGI16")  # decoders that Pillow has in Python
_KEYS: Mapping[object, int] = {"L;2": 85, "L;4": 17}
"""What a level of few bits is multiplied by in decoding; Pillow leaves the transparent one of a PNG as it is."""

# What Pillow's decoders raise on damaged files, beside OSError; that of AVIF a RuntimeError.
_GENERAL = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, RuntimeError)
DAMAGED = (*_GENERAL, struct.error, zlib.error, Image.DecompressionBombError)


class Own(NamedTuple):
    """What a picture has of its own: its upright ``size`` (height, width), and its orientation in EXIF (``turn``, 1 to
    8; 1 is upright)."""

    size: tuple[int, int]
    turn: int


class Decoded(NamedTuple):
    """Pixels (h, w, c) and what the picture was before it was resized."""

    pixels: Pixels
    own: Own


@contextmanager
def opened(content: bytes, where: object = "a file", *, formats: Sequence[str] = FORMATS) -> Iterator[Image.Image]:
    """The picture in ``content``, not decoded yet: what all pictures from outside are opened by.

    Only raster formats are (others of Pillow's start programs), and none that claims more than the budget: BadInput
    names ``where``. For what is no picture, or a damaged one, one of ``DAMAGED`` comes.
    """
    if Image.MAX_IMAGE_PIXELS is not None and PICTURE.now > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = PICTURE.now  # somebody raised the budget: Pillow's own limit goes with it
    content = _of_icon(content) if content.startswith(b"\0\0\1\0") else content
    try:
        image = Image.open(io.BytesIO(content), formats=[name for name in formats if name in _offered()])
    except Image.DecompressionBombError as error:
        claimed = re.search(r"\((\d+) pixels\)", str(error))
        PICTURE.check(int(claimed[1]) if claimed else 2 * PICTURE.now, where)
        raise
    with image:
        in_python = bool(image.tile) and image.tile[0][0] in _IN_PYTHON
        heavy = image.format in ("WEBP", "AVIF") or image.mode in ("CMYK", "I", "F")
        limit = SLOW_PICTURE if in_python else HEAVY_PICTURE if heavy else PICTURE
        limit.check(image.width * image.height, where)
        if image.info.get("progressive"):  # each scan goes over the whole picture, however short it is
            SCANS.check(content.count(b"\xff\xda"), where)
        if image.format == "PNG" and "transparency" in image.info:
            _mend_key(image)
        yield image


@cache
def _offered() -> frozenset[str]:
    """The formats that the installed Pillow has: older ones lack some of ours."""
    Image.init()
    return frozenset(Image.OPEN)


def _of_icon(content: bytes) -> bytes:
    """The largest and deepest picture of an icon file, as a PNG or an icon file of its own: Pillow decodes when it
    opens one, and so before its size could be held against the budget."""
    count = struct.unpack_from("<H", content, 4)[0]
    entries = [struct.unpack_from("<BBBBHHII", content, 6 + 16 * i) for i in range(min(count, 256))]
    if not entries:
        raise ValueError("an icon without a picture")
    width, height, *rest, length, start = max(
        entries, key=lambda one: ((one[0] or 256) * (one[1] or 256), one[5], -one[7])
    )
    picture = content[start : start + length]
    if picture.startswith(b"\x89PNG"):
        return picture
    claimed = struct.unpack_from("<ii", picture, 4)
    if claimed != (width or 256, 2 * (height or 256)):
        raise ValueError("an icon of another size than its list says")
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, width, height, *rest, length, 22) + picture


def _mend_key(image: Image.Image) -> None:
    """The transparent color of a PNG in levels of the decoded picture, where Pillow leaves it in those of the file."""
    key, tiles = image.info["transparency"], getattr(image, "tile", None)
    raw = tiles[0][3] if tiles else None
    if isinstance(key, int):
        image.info["transparency"] = key * _KEYS.get(raw, 1)
    elif isinstance(key, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(level >> 8 for level in key)


def decode(
    content: bytes, *, size: tuple[int, int] | None = None, grey: bool | None = None, where: object = "a file"
) -> Pixels:
    """One picture as uint8 (h, w, 1 or 3).

    Grey pictures keep one channel, all others become RGB; ``grey`` True or False decides otherwise. The orientation in
    EXIF is respected, transparency is composited on white, only the first frame of several is taken. Of 16 bits the
    upper 8 are; floats are 0..1 or 0..255, and whole numbers of 32 bits those of 8 or of 16 bits, by the largest of the
    picture. ``size`` (height, width) resizes, bilinear with anti-aliasing, exactly as ``ImageData.resize`` does. Raises
    as ``opened`` does, which names ``where``.
    """
    with opened(content, where) as image:
        return decoded(image, size, grey).pixels


def decode_stamp(content: bytes, where: object = "a file") -> Pixels:
    """One picture as uint8 (h, w, 4), RGB and opacity: on white it is what ``decode`` gives (grey False)."""
    with opened(content, where) as image:
        return upright(image, "RGBA").pixels


def decoded(image: Image.Image, size: tuple[int, int] | None, grey: bool | None) -> Decoded:
    """The pixels of an opened picture, which is closed: a large one should not be in memory twice."""
    pixels, own = upright(image, "L" if (image.mode in _GREY_MODES if grey is None else grey) else "RGB")
    return Decoded(pixels if size is None or own.size == size else resized(pixels, size), own)


def upright(image: Image.Image, mode: str) -> Decoded:
    """The pixels of an opened picture in mode L, RGB or RGBA; it is closed."""
    # Pillow turns a TIFF itself while it loads it, and then forgets what it was.
    before = _orientation(image) if image.format == "TIFF" else None
    image.load()
    turn = _orientation(image)
    pixels = _flat_pixels(image, mode)
    image.close()
    if turn in _TURNS:
        pixels = np.ascontiguousarray(_TURNS[turn](pixels))
    height, width = pixels.shape[:2]
    return Decoded(pixels, Own((height, width), before or turn))


def _orientation(image: Image.Image) -> int:
    """As EXIF says, 1 to 8; 1 is upright, and what is not told."""
    if image.format == "JPEG" and "exif" not in image.info and "xmp" not in image.info:
        return 1  # reading EXIF costs as much as decoding a small JPEG
    told = image.getexif().get(ExifTags.Base.Orientation)
    return told if isinstance(told, int) and told in _TURNS else 1


def read_picture(path: Path, *, size: tuple[int, int] | None = None, channels: int | None = None) -> Pixels:
    """One picture of a file, as by ``decode``, with 1 or 3 ``channels`` if that is given."""
    with picture_file(path) as content:
        return decode(content, size=size, grey=None if channels is None else channels == 1, where=path)


@contextmanager
def picture_file(path: Path) -> Iterator[bytes]:
    """The content of a file that should be a picture; what is wrong with it, here or in decoding it inside, is
    BadInput."""
    try:
        with within_memory(path):
            yield read_bytes(path, MEMBER, "a picture")
    except FileNotFoundError:
        raise BadInput(f"expected a picture at {path}, got nothing; check the path") from None
    except DAMAGED as error:
        raise BadInput(f"expected a picture in {path}, got something else ({reason(error)})") from None


def reason(error: Exception) -> str:
    """What Pillow, or the system, says of a picture that cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    text = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    return brief(text, 120)


def channels_of(image: Image.Image) -> int:
    """How many channels an opened picture has by itself."""
    return 1 if image.mode in _GREY_MODES else 3


def _flat_pixels(image: Image.Image, mode: str) -> Pixels:
    """The pixels (h, w, c) of a decoded picture; of a large one a band at a time, so that little lies beside it."""
    width, height = image.size
    factor = _factor(image) if image.mode in _DEEP_MODES else 1.0
    step = max(1, _BAND // max(1, width))
    if height <= step:
        return np.asarray(_flat(image, mode, factor)).reshape(height, width, -1)
    out = np.empty((height, width, len(mode)), np.uint8)
    for top in range(0, height, step):
        band = image.crop((0, top, width, min(height, top + step)))
        out[top : top + step] = np.asarray(_flat(band, mode, factor)).reshape(band.height, width, -1)
    return out


def _factor(image: Image.Image) -> float:
    """What numbers of more than 8 bits are multiplied by to be 0..255."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return 1 / 256
    low, high = image.getextrema()  # of TIFF, where no header tells the range
    top = 255 if image.mode == "F" else 65535
    if not (isinstance(low, int | float) and isinstance(high, int | float) and 0 <= low <= high <= top):
        kind = "floating-point numbers 0..1 or 0..255" if image.mode == "F" else "whole numbers 0..65535"
        raise ValueError(f"pixels are {low:g} to {high:g}, expected {kind}")
    if image.mode == "F":
        return 255 if high <= 1 else 1
    return 1 if high <= 255 else 1 / 256


def _flat(image: Image.Image, mode: str, factor: float = 1.0) -> Image.Image:
    """Without transparency (but in mode RGBA), palette or more than 8 bits, in mode L, RGB or RGBA."""
    if image.mode in _DEEP_MODES:
        image = _shallow(image, factor)
    if image.mode == mode and (mode == "RGBA" or not image.has_transparency_data):
        return image
    if image.has_transparency_data or image.mode in ("RGBa", "PA"):
        rgba = image.convert("RGBA")
        if mode == "RGBA":
            return rgba
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert(mode)
    if image.mode in (mode, "1", "L"):
        return image.convert(mode)
    return image.convert("RGB").convert(mode)


def _shallow(image: Image.Image, factor: float) -> Image.Image:
    """Numbers of more than 8 bits in mode L, or LA where one of them is transparent."""
    deep = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(deep).all():
            raise ValueError("pixels are not all finite numbers")
        levels = np.rint(np.clip(deep * factor, 0, 255)).astype(np.uint8)
    else:
        levels = np.clip(deep.astype(np.int64) * factor, 0, 255).astype(np.uint8)
    grey = Image.fromarray(levels)
    key = image.info.get("transparency")
    if key is not None:
        grey.putalpha(Image.fromarray(np.where(deep == key, 0, 255).astype(np.uint8)))
    return grey
