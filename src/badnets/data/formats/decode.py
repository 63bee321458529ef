"""Encoded pictures to pixels: many at a time, and written one after another into one file.

Pixels lie in that file in the order in which the pictures came, with the same number of channels, so that pictures of
one size *are* an array (n, h, w, c) and can be memory-mapped.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from badnets.core.cache import MAP_ABOVE, warn_of_data
from badnets.core.errors import BadInput, first_line
from badnets.core.files import read_bytes
from badnets.core.limits import (
    HEAVY_PICTURE,
    MEMBER,
    PICTURE,
    PICTURES_BLOW_UP,
    PICTURES_FREE,
    SCANS,
    SLOW_PICTURE,
    check_unpacked,
    within_memory,
)
from badnets.core.text import brief
from badnets.data.formats.contents import File
from badnets.data.images import ArrayStore, MixedStore, Pixels, PixelStore, Rows, TakenStore, resized
from badnets.data.overlay import color

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
"""Files with other endings are no pictures."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What Pillow may open, whatever a file is called: others of its formats start a program (EPS) or are rarely used."""

_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I")
_TURNED = (5, 6, 7, 8)  # orientations in EXIF that swap width and height
_TURNS: Mapping[object, Callable[[Pixels], Pixels]] = {
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
_IN_PYTHON = ("ppm", "ppm_plain")  # decoders that Pillow has in Python
_CHUNK = 64
_CHUNK_BYTES = 8 << 20  # of encoded pictures; a chunk ends there too
_AHEAD = 8 * _CHUNK_BYTES
_WORKERS = min(8, os.cpu_count() or 1)
_SMALL = 8 << 10  # bytes of a picture; below, threads only wait for the interpreter and make it slower
_ROOM = 96 << 20  # bytes of pixels in work or waiting, for each thread

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


@contextmanager
def opened(content: bytes, where: object = "a file", *, formats: Sequence[str] = FORMATS) -> Iterator[Image.Image]:
    """The picture in ``content``, not decoded yet: what all pictures from outside are opened by.

    Only raster formats are (others of Pillow's start programs), and none that claims more than the budget: BadInput
    names ``where``. For what is no picture, or a damaged one, one of ``DAMAGED`` comes.
    """
    if Image.MAX_IMAGE_PIXELS is not None and PICTURE.now > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = PICTURE.now  # somebody raised the budget: Pillow's own limit goes with it
    try:
        image = Image.open(io.BytesIO(content), formats=list(formats))
    except Image.DecompressionBombError as error:
        claimed = re.search(r"\((\d+) pixels\)", str(error))
        PICTURE.check(int(claimed[1]) if claimed else 2 * PICTURE.now, where)
        raise
    with image:
        in_python = bool(image.tile) and image.tile[0][0] in _IN_PYTHON
        heavy = image.format == "WEBP" or image.mode == "CMYK"
        limit = SLOW_PICTURE if in_python else HEAVY_PICTURE if heavy else PICTURE
        limit.check(image.width * image.height, where)
        if image.info.get("progressive"):  # each scan goes over the whole picture, however short it is
            SCANS.check(content.count(b"\xff\xda"), where)
        if image.mode == "F":
            raise ValueError("pixels are floating-point numbers")
        yield image


def decode(
    content: bytes, *, size: tuple[int, int] | None = None, grey: bool | None = None, where: object = "a file"
) -> Pixels:
    """One picture as uint8 (h, w, 1 or 3).

    Grey pictures (1, 8 or 16 bit) keep one channel, all others become RGB; ``grey`` True or False decides otherwise.
    The orientation in EXIF is respected, transparency is composited on white, only the first frame of several is taken.
    ``size`` (height, width) resizes, bilinear with anti-aliasing, exactly as ``ImageData.resize`` does. Raises as
    ``opened`` does, which names ``where``.
    """
    with opened(content, where) as image:
        return _decoded(image, size, grey)


def _decoded(image: Image.Image, size: tuple[int, int] | None, grey: bool | None) -> Pixels:
    """The pixels of an opened picture, which is closed: a large one should not be in memory twice."""
    image.load()
    # Reading EXIF costs as much as decoding a small JPEG, so look whether there is any.
    plain = image.format == "JPEG" and "exif" not in image.info
    turn = None if plain else _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    pixels = _flat_pixels(image, "L" if (image.mode in _GREY_MODES if grey is None else grey) else "RGB")
    image.close()
    if turn is not None:
        pixels = np.ascontiguousarray(turn(pixels))
    return pixels if size is None or pixels.shape[:2] == size else resized(pixels, size)


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
        raise BadInput(f"expected a picture in {path}, got something else ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """What Pillow, or the system, says of a picture that cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    text = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    return brief(text, 120)


def own_size(content: bytes, where: object = "a file") -> tuple[int, int] | None:
    """(height, width) that ``decode`` would give, from the header alone; None for what is no picture."""
    try:
        with opened(content, where) as image:
            turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) in _TURNED
            return image.size if turned else image.size[::-1]
    except DAMAGED:
        return None


def _flat_pixels(image: Image.Image, mode: str) -> Pixels:
    """The pixels (h, w, c) of a decoded picture; of a large one a band at a time, so that little lies beside it."""
    width, height = image.size
    step = max(1, _BAND // max(1, width))
    if height <= step:
        return np.asarray(_flat(image, mode)).reshape(height, width, -1)
    out = np.empty((height, width, len(mode)), np.uint8)
    for top in range(0, height, step):
        band = image.crop((0, top, width, min(height, top + step)))
        out[top : top + step] = np.asarray(_flat(band, mode)).reshape(band.height, width, -1)
    return out


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Without transparency, palette or more than 8 bits, in mode L or RGB."""
    if image.mode == mode and not image.has_transparency_data:
        return image
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(deep, 0, 65535) >> 8).astype(np.uint8)).convert(mode)
    if image.has_transparency_data or image.mode in ("La", "RGBa", "PA"):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert(mode)
    return image.convert("RGB").convert(mode) if image.mode == "P" else image.convert(mode)


class _Done(NamedTuple):
    """A picture that was opened: the bytes of pixels that it claims, and its pixels; or what is wrong with it; or None
    where there was no room to decode it."""

    claimed: int
    result: Pixels | str | None


@dataclass
class _Room:
    """Bytes of pixels that may be in work or waiting at a time."""

    free: float
    lock: Lock = field(default_factory=Lock)

    def take(self, amount: int) -> bool:
        """Whether there is that much; then it is taken."""
        with self.lock:
            enough = amount <= self.free
            self.free -= amount if enough else 0
        return enough

    def give(self, amount: int) -> None:
        """Give some of it back."""
        with self.lock:
            self.free += amount


@dataclass(frozen=True)
class _Decoder:
    """How pictures are decoded, in threads while there is ``room``."""

    size: tuple[int, int] | None
    grey: bool | None
    room: _Room

    def work(self, chunk: list[File]) -> list[_Done]:
        """Each picture; large ones for which there is no room are left to whoever takes the results."""
        return [self.one(picture, self.room) for picture in chunk]

    def one(self, picture: File, room: _Room) -> _Done:
        """A picture; its pixels stay in the room until they are given back."""
        claimed = taken = kept = 0
        try:
            with within_memory(brief(picture.path)), opened(picture.read(), picture.path) as image:
                pixels = image.width * image.height
                claimed = pixels * (1 if image.mode in _GREY_MODES else 3)
                if not room.take(8 * pixels):  # Pillow has 4 bytes for each pixel, we have 3
                    return _Done(claimed, None)
                taken = 8 * pixels
                result = _decoded(image, self.size, self.grey)
                kept = result.nbytes
                return _Done(claimed, result)
        except DAMAGED as error:
            return _Done(claimed, _reason(error))
        finally:
            room.give(taken - kept)


def decode_into(
    sink: BinaryIO, pictures: Iterable[File], *, size: tuple[int, int] | None, grey: bool | None, report: Report
) -> tuple[list[str], list[tuple[int, int, int]], list[tuple[str, str]]]:
    """Decode all ``pictures`` in threads and write their pixels to ``sink``, in order; memory holds only a few. What
    comes of it is ``paths``, ``shapes`` and ``damaged`` of an album.

    Pictures that are, all together, far larger than their files are refused.
    """
    paths: list[str] = []
    shapes: list[tuple[int, int, int]] = []
    damaged: list[tuple[str, str]] = []
    done = claimed = encoded = 0
    decoder = _Decoder(size, grey, _Room(_ROOM * _WORKERS))
    with closing(_in_threads(iter(pictures), decoder.work)) as chunks:
        for chunk, results in chunks:
            for picture, one in zip(chunk, results, strict=True):
                claimed, encoded = claimed + one.claimed, encoded + picture.length
                check_unpacked(claimed, encoded, picture.path, limit=PICTURES_BLOW_UP, free=PICTURES_FREE)
                result = decoder.one(picture, _Room(math.inf)).result if one.result is None else one.result
                if isinstance(result, str):
                    damaged.append((picture.path, result))
                elif result is not None:
                    sink.write(result.data)
                    paths.append(picture.path)
                    shapes.append((result.shape[0], result.shape[1], result.shape[2]))
                    decoder.room.give(result.nbytes if one.result is not None else 0)
            done += len(chunk)
            report(done, chunk[-1].position)
    return paths, shapes, damaged


def _in_threads(
    pictures: Iterator[File], work: Callable[[list[File]], list[_Done]]
) -> Generator[tuple[list[File], list[_Done]], None, None]:
    """Chunks with their results, in order, only a few chunks ahead of the reader."""
    waiting: deque[tuple[list[File], Callable[[], list[_Done]]]] = deque()
    ahead = 0
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        while chunk := _chunk(pictures):
            length = sum(picture.length for picture in chunk)
            large = length >= _SMALL * len(chunk)
            waiting.append((chunk, pool.submit(work, chunk).result if large else partial(work, chunk)))
            ahead += length
            while waiting and (len(waiting) > 2 * _WORKERS or ahead > _AHEAD):
                first, results = waiting.popleft()
                yield first, results()
                ahead -= sum(picture.length for picture in first)
        for first, results in waiting:
            yield first, results()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunk(pictures: Iterator[File]) -> list[File]:
    """The next few of them."""
    chunk: list[File] = []
    length = 0
    while len(chunk) < _CHUNK and length < _CHUNK_BYTES and (picture := next(pictures, None)) is not None:
        chunk.append(picture)
        length += picture.length
    return chunk


def read_album(pictures: Iterable[File], *, size: tuple[int, int] | None, grey: bool, report: Report) -> Album:
    """All ``pictures`` decoded, as by ``decode_into``, into a file that nobody else sees: they may be many."""
    with tempfile.TemporaryFile() as sink:
        paths, shapes, damaged = decode_into(sink, pictures, size=size, grey=grey, report=report)
        sink.flush()
        empty = not sum(map(math.prod, shapes))
        pixels = np.zeros(0, np.uint8) if empty else np.memmap(sink, np.uint8, mode="r")
    return Album(paths, shapes, damaged, pixels)


def widen(source: BinaryIO, shapes: Iterable[tuple[int, int, int]], sink: BinaryIO) -> None:
    """Copy pixels from one file to another, with three channels each."""
    for h, w, c in shapes:
        pixels = np.frombuffer(source.read(h * w * c), np.uint8).reshape(h, w, c)
        sink.write(color(pixels).tobytes())
