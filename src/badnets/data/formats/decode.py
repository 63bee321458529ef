"""Encoded pictures to pixels: many at a time, and written one after another into one file.

Pixels lie in that file in the order in which the pictures came, with the same number of channels, so that pictures of
one size *are* an array (n, h, w, c) and can be memory-mapped.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from badnets.core.cache import MAP_ABOVE, warn_of_data
from badnets.core.errors import BadInput
from badnets.data.formats.contents import File
from badnets.data.images import ArrayStore, MixedStore, Pixels, PixelStore, Rows, TakenStore, resized
from badnets.data.overlay import color

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
"""Files with other endings are no pictures."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What Pillow may open, whatever a file is called: others of its formats start a program (EPS) or are rarely used."""

_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I")
_TURNED = (5, 6, 7, 8)  # orientations in EXIF that swap width and height
_CHUNK = 64
_WORKERS = min(8, os.cpu_count() or 1)
_SMALL = 8 << 10  # bytes of a picture; below, threads only wait for the interpreter and make it slower

Report = Callable[[int, int], None]
"""``report(pictures done, position of the last one)``."""

# What Pillow's decoders raise on damaged files, beside OSError.
_GENERAL = (OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError)
DAMAGED = (*_GENERAL, struct.error, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class Album:
    """Decoded pictures: the path and (height, width, channels) of each, (path, reason) of those that were damaged, and
    all ``pixels`` (bytes,), one picture after another, in memory or mapped."""

    paths: list[str]
    shapes: list[tuple[int, int, int]]
    damaged: list[tuple[str, str]]
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.shapes)

    def warn_of_damaged(self, place: Path) -> None:
        """Say how many were left out, and which is the first by its name."""
        if self.damaged:
            path, reason = min(self.damaged)
            left = f"{len(self.damaged)} damaged pictures were left out, the first is {path} ({reason})"
            warn_of_data(f"{place}: {left}")

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(math.prod(shape) for shape in self.shapes)])

    def one(self, row: int) -> Pixels:
        """Picture ``row`` (h, w, c), a view."""
        return self.pixels[self._starts[row] : self._starts[row + 1]].reshape(self.shapes[row])

    def store(self, rows: Rows, *, map_above: int | None = None) -> PixelStore:
        """The pictures ``rows``, in this order: one array where all pictures of the album have one size. More than
        ``map_above`` bytes (by default ``MAP_ABOVE``) are not copied."""
        large = len(self.pixels) > (MAP_ABOVE if map_above is None else map_above)
        if len(set(self.shapes)) == 1:
            array = self.pixels.reshape(len(self), *self.shapes[0])
            return TakenStore(ArrayStore(array), rows) if large else ArrayStore(np.asarray(array[rows]))
        album = self if large else replace(self, pixels=np.array(self.pixels))
        return MixedStore(tuple(album.one(row) for row in rows.tolist()))


def decode(content: bytes, *, size: tuple[int, int] | None = None, grey: bool | None = None) -> Pixels:
    """One picture as uint8 (h, w, 1 or 3).

    Grey pictures (1, 8 or 16 bit) keep one channel, all others become RGB; ``grey`` True or False decides otherwise.
    The orientation in EXIF is respected, transparency is composited on white, only the first frame of several is taken.
    ``size`` (height, width) resizes, bilinear with anti-aliasing, exactly as ``ImageData.resize`` does.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
        opened.load()
        # Reading EXIF costs as much as decoding a small JPEG, so look whether there is any.
        turned = opened if opened.format == "JPEG" and "exif" not in opened.info else ImageOps.exif_transpose(opened)
        wanted = ("L" if opened.mode in _GREY_MODES else "RGB") if grey is None else ("L" if grey else "RGB")
        pixels: Pixels = np.asarray(_flat(turned, wanted))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return pixels if size is None or pixels.shape[:2] == size else resized(pixels, size)


def read_picture(path: Path, *, size: tuple[int, int] | None = None, channels: int | None = None) -> Pixels:
    """One picture of a file, as by ``decode``, with 1 or 3 ``channels`` if that is given."""
    try:
        return decode(path.read_bytes(), size=size, grey=None if channels is None else channels == 1)
    except FileNotFoundError:
        raise BadInput(f"expected a picture at {path}, got nothing; check the path") from None
    except DAMAGED as error:
        raise BadInput(f"expected a picture in {path}, got something else ({error})") from None


def own_size(content: bytes) -> tuple[int, int] | None:
    """(height, width) that ``decode`` would give, from the header alone; None for what is no picture."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED
            return image.size if turned else image.size[::-1]
    except DAMAGED:
        return None


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Without transparency, palette or more than 8 bits, in mode L or RGB."""
    if image.mode == mode and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(deep, 0, 65535) >> 8).astype(np.uint8)).convert(mode)
    if image.has_transparency_data or image.mode in ("La", "RGBa", "PA"):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert(mode)
    return image.convert("RGB").convert(mode) if image.mode == "P" else image.convert(mode)


def decode_into(
    sink: BinaryIO, pictures: Iterable[File], *, size: tuple[int, int] | None, grey: bool | None, report: Report
) -> tuple[list[str], list[tuple[int, int, int]], list[tuple[str, str]]]:
    """Decode all ``pictures`` in threads and write their pixels to ``sink``, in order; memory holds only a few. What
    comes of it is ``paths``, ``shapes`` and ``damaged`` of an album."""
    paths: list[str] = []
    shapes: list[tuple[int, int, int]] = []
    damaged: list[tuple[str, str]] = []
    done = 0

    def decoded_or_reason(picture: File) -> Pixels | str:
        try:
            return decode(picture.read(), size=size, grey=grey)
        except DAMAGED as error:
            if "cannot identify image file" in str(error):
                return "not a picture"
            return str(error) or type(error).__name__

    def work(chunk: list[File]) -> list[Pixels | str]:
        return [decoded_or_reason(picture) for picture in chunk]

    for chunk, results in _in_threads(iter(pictures), work):
        for picture, result in zip(chunk, results, strict=True):
            if isinstance(result, str):
                damaged.append((picture.path, result))
                continue
            sink.write(result.tobytes())
            paths.append(picture.path)
            shapes.append((result.shape[0], result.shape[1], result.shape[2]))
        done += len(chunk)
        report(done, chunk[-1].position)
    return paths, shapes, damaged


def _in_threads(
    pictures: Iterator[File], work: Callable[[list[File]], list[Pixels | str]]
) -> Iterator[tuple[list[File], list[Pixels | str]]]:
    """Chunks with their results, in order, only a few chunks ahead of the reader."""
    waiting: deque[tuple[list[File], Callable[[], list[Pixels | str]]]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        while chunk := list(islice(pictures, _CHUNK)):
            large = sum(picture.length for picture in chunk) >= _SMALL * len(chunk)
            waiting.append((chunk, pool.submit(work, chunk).result if large else partial(work, chunk)))
            if len(waiting) > 2 * _WORKERS:
                first, results = waiting.popleft()
                yield first, results()
        for first, results in waiting:
            yield first, results()


def read_album(pictures: Iterable[File], *, size: tuple[int, int] | None, grey: bool, report: Report) -> Album:
    """All ``pictures`` decoded in memory, as by ``decode_into``."""
    sink = io.BytesIO()
    paths, shapes, damaged = decode_into(sink, pictures, size=size, grey=grey, report=report)
    return Album(paths, shapes, damaged, np.frombuffer(sink.getbuffer(), np.uint8))


def widen(source: BinaryIO, shapes: Iterable[tuple[int, int, int]], sink: BinaryIO) -> None:
    """Copy pixels from one file to another, with three channels each."""
    for h, w, c in shapes:
        pixels = np.frombuffer(source.read(h * w * c), np.uint8).reshape(h, w, c)
        sink.write(color(pixels).tobytes())
