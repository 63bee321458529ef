"""Many encoded pictures to pixels: decoded in threads, and written one after another into one file.

Pixels lie in that file in the order in which the pictures came, with the same number of channels, so that pictures of
one size *are* an array (n, h, w, c) and can be memory-mapped.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import MAP_ABOVE, warn_of_data
from badnets.core.limits import PICTURES_BLOW_UP, PICTURES_FREE, check_unpacked, within_memory
from badnets.core.text import brief
from badnets.data.formats.contents import File
from badnets.data.formats.decode import DAMAGED, Decoded, Own, channels_of, decoded, opened, reason
from badnets.data.images import ArrayStore, MixedStore, Pixels, PixelStore, Rows, TakenStore
from badnets.data.overlay import color

_CHUNK = 64
_CHUNK_BYTES = 8 << 20  # of encoded pictures; a chunk ends there too
_AHEAD = 8 * _CHUNK_BYTES
_WORKERS = min(8, os.cpu_count() or 1)
_SMALL = 8 << 10  # bytes of a picture; below, threads only wait for the interpreter and make it slower
_ROOM = 96 << 20  # bytes of pixels in work or waiting, for each thread

Report = Callable[[int, int], None]
"""``report(pictures done, position of the last one)``."""


@dataclass(frozen=True, eq=False)
class Album:
    """Decoded pictures: the path and (height, width, channels) of each, (path, reason) of those that were damaged, all
    ``pixels`` (bytes,), one picture after another, in memory or mapped, and where it is asked for what each was of its
    ``own``, before it was resized."""

    paths: list[str]
    shapes: list[tuple[int, int, int]]
    damaged: list[tuple[str, str]]
    pixels: Pixels
    own: list[Own] = field(default_factory=list)

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


class _Done(NamedTuple):
    """A picture that was opened: the bytes of pixels that it claims, and what it is decoded to; or what is wrong with
    it; or None where there was no room to decode it."""

    claimed: int
    result: Decoded | str | None


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
                claimed = pixels * channels_of(image)
                if not room.take(8 * pixels):  # Pillow has 4 bytes for each pixel, we have 3
                    return _Done(claimed, None)
                taken = 8 * pixels
                result = decoded(image, self.size, self.grey)
                kept = result.pixels.nbytes
                return _Done(claimed, result)
        except DAMAGED as error:
            return _Done(claimed, reason(error))
        finally:
            room.give(taken - kept)


def decode_into(
    sink: BinaryIO, pictures: Iterable[File], *, size: tuple[int, int] | None, grey: bool | None, report: Report
) -> Album:
    """Decode all ``pictures`` in threads and write their pixels to ``sink``, in order; memory holds only a few. What
    comes of it is an album without its pixels.

    Pictures that are, all together, far larger than their files are refused.
    """
    paths: list[str] = []
    shapes: list[tuple[int, int, int]] = []
    damaged: list[tuple[str, str]] = []
    own: list[Own] = []
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
                    pixels = result.pixels
                    sink.write(pixels.data)
                    paths.append(picture.path)
                    shapes.append((pixels.shape[0], pixels.shape[1], pixels.shape[2]))
                    own.append(result.own)
                    decoder.room.give(pixels.nbytes if one.result is not None else 0)
            done += len(chunk)
            report(done, chunk[-1].position)
    return Album(paths, shapes, damaged, np.zeros(0, np.uint8), own)


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
        album = decode_into(sink, pictures, size=size, grey=grey, report=report)
        sink.flush()
        return replace(album, pixels=np.memmap(sink, np.uint8, mode="r")) if sink.tell() else album


def widen(source: BinaryIO, shapes: Iterable[tuple[int, int, int]], sink: BinaryIO) -> None:
    """Copy pixels from one file to another, with three channels each."""
    for h, w, c in shapes:
        pixels = np.frombuffer(source.read(h * w * c), np.uint8).reshape(h, w, c)
        sink.write(color(pixels).tobytes())
