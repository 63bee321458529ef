"""The pictures that are looked at: of the test set, dropped by a person, or frames of a camera."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from badnets.core.errors import BadInput
from badnets.core.limits import PLAYED, within_memory
from badnets.data.formats.decode import DAMAGED, decoded, opened, reason, upright
from badnets.data.images import ImageData, Pixels, as_pil, resized
from badnets.data.targets import Boxes, Regions
from badnets.networks.network import ImageNetwork
from badnets.play.state import PictureRef

V = TypeVar("V")
_LINKS = 64
"""Pictures that links lead to, at most."""
_STICKER = 256
"""The longer side of a sticker, at most: as large as a trigger may carry it."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture (h, w, c) as the first network takes it; a test picture knows its ``row``, its class ``label`` and the
    ``region (1, 4)`` of its object."""

    key: str
    pixels: Pixels
    row: int = 0
    label: int | None = None
    region: Regions | None = None


class Recent(Generic[V]):
    """The last few values by key, for several threads."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._values: OrderedDict[object, V] = OrderedDict()

    def get(self, key: object) -> V | None:
        """The value, which is recent again; None where it was dropped, or never there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: object, value: V) -> V:
        """Keep it, and drop the oldest."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures for ``network``: those of ``test``, and the last few that were brought."""

    network: ImageNetwork
    test: ImageData | None
    _brought: Recent[Canvas] = field(default_factory=lambda: Recent(24))
    _kept: Recent[Canvas] = field(default_factory=lambda: Recent(_LINKS))
    _stickers: Recent[str] = field(default_factory=lambda: Recent(24))

    def of(self, ref: PictureRef) -> Canvas:
        """What was asked for. Raises ``BadInput`` where there is no such picture, or its content is none."""
        if ref.data is not None:
            return self.canvas(_bytes(ref.data))
        if ref.key is not None:
            found = self._brought.get(ref.key) or self._kept.get(ref.key)
            if found is None:
                raise BadInput("expected a picture that is still here, got one that was dropped; bring it again")
            return found
        return self._test_picture(ref.row or 0)

    def _test_picture(self, row: int) -> Canvas:
        test = self.test
        if test is None or row >= len(test):
            there = 0 if test is None else len(test)
            raise BadInput(f"expected one of {there:,} test pictures, got number {row}; choose another")
        pixels = test.images(np.array([row]))[0]
        if isinstance(test.targets, Boxes):
            boxes = test.boxes.take(np.array([row]))
            return Canvas(f"row {row}", pixels, row, None, boxes.xyxy[:1] if len(boxes.xyxy) else None)
        region = None if test.regions is None else test.regions[row : row + 1]
        return Canvas(f"row {row}", pixels, row, int(test.labels[row]), region)

    def bring(self, data: str) -> Canvas:
        """Keep a picture for later, by its key."""
        canvas = self.canvas(_bytes(data))
        return self._brought.put(canvas.key, canvas)

    def keep(self, canvas: Canvas) -> Canvas:
        """Keep a picture that a link leads to."""
        return canvas if canvas.key.startswith("row") else self._kept.put(canvas.key, canvas)

    def bring_sticker(self, data: str) -> tuple[str, str]:
        """Keep a picture with alpha, by its key; and the PNG in base64 that it became."""
        with _decoding(_bytes(data)) as image:
            stamp = Image.fromarray(upright(image, "RGBA").pixels)
        box = stamp.getchannel("A").getbbox()
        if box is None:
            raise BadInput("expected a sticker with something on it, got one that is transparent all over")
        stamp = stamp.crop(box)
        stamp.thumbnail((_STICKER, _STICKER), Image.Resampling.LANCZOS)
        png = base64.b64encode(png_of(stamp)).decode("ascii")
        key = _key(png.encode("ascii"))
        return key, self._stickers.put(key, png)

    def sticker(self, key: str | None) -> str:
        """The PNG of a sticker that was brought."""
        png = None if key is None else self._stickers.get(key)
        if png is None:
            raise BadInput("expected a sticker that is still here, got one that was dropped; bring it again")
        return png

    def canvas(self, content: bytes) -> Canvas:
        """A picture from a file, as ``badnets predict`` reads it: a classifier's in the size of the network's input; a
        detector's in its own shape, made smaller until one side is the input's and the other no less, so that nothing
        is lost that the detector could see."""
        channels, *sides = self.network.input_size
        with _decoding(content) as image:
            pixels = decoded(image, None, channels == 1).pixels
        if self.network.task != "detect":
            size = (sides[0], sides[1])
        else:
            share = min(1.0, max(side / own for side, own in zip(sides, pixels.shape[:2], strict=True)))
            size = (max(1, round(share * pixels.shape[0])), max(1, round(share * pixels.shape[1])))
        if pixels.shape[:2] != size:
            pixels = np.array(resized(pixels, size))
        return Canvas(_key(pixels.tobytes() + repr(size).encode()), pixels)


@contextmanager
def _decoding(content: bytes) -> Iterator[Image.Image]:
    """Around the decoding of what a person brought: what is wrong with it becomes one sentence."""
    try:
        with within_memory("the picture"), opened(content, "the picture") as image:
            PLAYED.check(image.width * image.height, "the picture")
            yield image
    except DAMAGED as error:
        raise BadInput(f"expected a picture, got something else ({reason(error)}); choose another file") from None


def png_of(picture: Image.Image) -> bytes:
    """The picture as a PNG."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def data_uri(pixels: Pixels) -> str:
    """A picture (h, w, c) as a page shows it."""
    return f"data:image/png;base64,{base64.b64encode(png_of(as_pil(pixels))).decode('ascii')}"


def in_channels(pixels: Pixels, channels: int) -> Pixels:
    """A picture (h, w, c) with 1 or 3 channels, as decoding it so gives."""
    if pixels.shape[2] == channels:
        return pixels
    return np.asarray(as_pil(pixels).convert("L" if channels == 1 else "RGB")).reshape(*pixels.shape[:2], channels)


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        raise BadInput("expected a file in base64, got something else") from None


def _key(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
