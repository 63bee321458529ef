"""The machinery of every trigger that pastes something: an RGBA stamp, a place, and many pictures at once.

Colors and alpha are bytes, and bytes are mixed in whole numbers, so results are the same on every machine. Pictures
that get the same stamp at the same spot are changed by one assignment; others are gathered and scattered in chunks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import Images, Regions, check_array, check_images
from badnets.backdoors.triggers.color import Bytes, to_channels
from badnets.backdoors.triggers.jitter import Jitter
from badnets.backdoors.triggers.place import Corner, Floats, Ints, Place, frames_of, locate, need_rng, round_half_up
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

CHUNK = 1 << 18
"""About how many values are worked on at a time: small enough for the cache, large enough to be fast."""

Spots = tuple[Ints, Ints, Ints, Ints]
"""Rows of the upper edge, columns of the left one, heights and widths in pixels."""
Opacity = Annotated[float, Field(gt=0, le=1, description="1 hides what is below, in steps of 1/255")]


@plain_dataclass(frozen=True, eq=False)
class Piece:
    """Stamps ``rgba (k or 1, h, w, 4)`` for the pictures ``rows (k,)`` at ``top`` and ``left (k,)``; without rows the
    one stamp goes to all pictures at the one spot."""

    rows: Ints | None
    top: Ints
    left: Ints
    rgba: Bytes


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Stamp(ABC):
    """A trigger that is pasted. Subclasses say what it looks like (``art``) and how large it is (``sides``)."""

    kind: str
    place: Annotated[Place, Field(description="a corner, a fraction, or random")] = Corner()
    opacity: Opacity = 1.0
    jitter: Annotated[Jitter | None, Field(description="how size, angle, light and more vary from row to row")] = None

    @property
    def words(self) -> str:
        """What a sentence calls it, ``"the yellow sticker"``."""
        return f"the {self.kind.replace('-', ' ')} trigger"

    @abstractmethod
    def art(self, height: int, width: int) -> Bytes:
        """The stamp in this size, RGBA uint8 (height, width, 4), before opacity."""

    def sides(self, frames: Floats) -> tuple[Floats, Floats]:
        """Heights and widths (m,) in pixels, not rounded, for what the place refers to, ``frames (m, 4)``: those of its
        ``size``; without one it is a single pixel."""
        size = getattr(self, "size", 1)
        height, width = size if isinstance(size, tuple) else (size, size)
        tall, wide = (frames[:, 2:] - frames[:, :2]).T[::-1]
        one = np.ones(len(frames))
        return (one if isinstance(height, int) else tall) * height, (one if isinstance(width, int) else wide) * width

    def apply(
        self, images: Images, regions: Regions | None = None, rng: RowRng | None = None, *, high: float | None = None
    ) -> Images:
        """The pictures with the stamp, a new array; see ``Trigger``.

        Errors: BadInput when the stamp is larger than the picture or lies outside it, or needs ``rng`` and has none.
        """
        top = check_images(images, high)
        out = np.array(images, order="C", copy=True, subok=False)
        for piece in self._pieces(images.shape, regions, rng):
            if piece.rows is None:
                _paste_alike(out, piece, top)
            else:
                _paste(out, piece, piece.rows, top)
        return out

    def mask(self, images: Images, regions: Regions | None = None, rng: RowRng | None = None) -> NDArray[np.float32]:
        """(n, h, w) in 0..1: the stamp's alpha times its opacity where it lies, 0 elsewhere."""
        check_array(images)
        n, h, w = images.shape[:3]
        out = np.zeros((n, h, w), np.float32)
        for piece in self._pieces(images.shape, regions, rng):
            rows = np.arange(n) if piece.rows is None else piece.rows
            alpha = piece.rgba[..., 3].astype(np.float32) / np.float32(255)
            each, *targets, inside = np.broadcast_arrays(rows[:, None, None], *_targets(piece, (h, w)))
            out[(each[inside], *(at[inside] for at in targets))] = np.broadcast_to(alpha, inside.shape)[inside]
        return out

    def paste_into(self, pictures: Images, position: Ints, regions: Regions, rng: RowRng | None = None) -> None:
        """Paste at each of ``regions (m, 4)`` into the picture ``position (m,)`` of uint8 ``pictures``, in place.

        Where several lie over each other in one picture, the later lies over the earlier. Errors as in ``apply``.
        """
        top = check_images(pictures, None)
        shape = (len(position), *pictures.shape[1:])
        turn = turn_in_picture(position)
        if self.jitter is None and turn.any():
            # Stamps that do not meet can be pasted all at once.
            turn[~meeting(position, self.spots(shape, regions, rng))] = 0
        for number in range(int(turn.max(initial=-1)) + 1):
            now = np.flatnonzero(turn == number)
            draws = None if rng is None else rng.take(now)
            for piece in self._pieces((len(now), *shape[1:]), regions[now], draws):
                rows = np.arange(len(now)) if piece.rows is None else piece.rows
                _paste(pictures, piece, position[now[rows]], top)

    def spots(self, shape: tuple[int, ...], regions: Regions | None, rng: RowRng | None) -> Spots:
        """Rows of the upper edge, columns of the left one, heights and widths of the stamps of pictures of this shape,
        in pixels, (n,) each, or (1,) where all are alike; an angle of their own may let them reach further."""
        n = shape[0]
        if rng is not None and len(rng) != n:
            raise BadInput(f"{self.kind}: expected random numbers for {n} pictures, got {len(rng)} rows; use rng.take")
        frames = frames_of(self.place, shape, regions)
        high, wide = self.sides(frames)
        height, width = (np.maximum(round_half_up(side), 1) for side in (high, wide))
        top, left = locate(self.place, frames, height, width, rng)
        self._check_inside(shape, *np.broadcast_arrays(top, left, height, width))
        if self.jitter is not None:
            scale = self.jitter.draw("size", need_rng(rng, "jitter"))
            # A jittered stamp may reach over an edge, but is never larger than the picture.
            height = np.clip(round_half_up(high * scale), 1, shape[1])
            width = np.clip(round_half_up(wide * scale), 1, shape[2])
            top, left = locate(self.place, frames, height, width, rng)
        return top, left, height, width

    def _check_inside(self, shape: tuple[int, ...], top: Ints, left: Ints, height: Ints, width: Ints) -> None:
        """Refuse stamps that are larger than the picture or lie outside it."""
        h, w = shape[1:3]
        large = (height > h) | (width > w)
        if large.any():
            row = int(np.argmax(large))
            raise BadInput(
                f"{self.kind}: expected a trigger no larger than the picture ({h}x{w} pixels), "
                f"got {height[row]}x{width[row]}; choose a smaller size"
            )
        # In a region it may hang over an edge, as long as a row and a column are seen.
        y, x = (height - 1, width - 1) if self.place.of == "region" else (0, 0)
        outside = (top < -y) | (left < -x) | (top + height > h + y) | (left + width > w + x)
        if outside.any():
            row = int(np.argmax(outside))
            raise BadInput(
                f"{self.kind}: expected the trigger ({height[row]}x{width[row]} pixels) within the picture ({h}x{w}), "
                f"got its upper left corner at row {top[row]}, column {left[row]}; change its place, distance or size"
            )

    def _pieces(self, shape: tuple[int, ...], regions: Regions | None, rng: RowRng | None) -> Iterator[Piece]:
        """Every picture in exactly one piece."""
        top, left, height, width = self.spots(shape, regions, rng)
        if len(top) == len(height) == 1 and self.jitter is None and self.place.kind != "random":
            yield Piece(None, top, left, self._translucent(int(height[0]), int(width[0]))[None])
            return
        top, left, height, width = (np.broadcast_to(side, shape[:1]) for side in (top, left, height, width))
        # Rows of one size share one drawing; chunks keep memory small.
        sizes, group = np.unique(height << 32 | width, return_inverse=True)
        ordered, ends = np.argsort(group, kind="stable"), np.cumsum(np.bincount(group, minlength=len(sizes)))
        for size, first, end in zip(sizes.tolist(), [0, *ends], ends, strict=False):
            h, w = size >> 32, size & 0xFFFFFFFF
            stamp = self._translucent(h, w)
            # A turned stamp needs a canvas of about its diagonal, in four channels of float64.
            step = max(1, CHUNK // (16 * (h + w) ** 2 if self.jitter else h * w * shape[3]))
            for start in range(first, end, step):
                rows, stamps = ordered[start : min(start + step, end)], stamp[None]
                if self.jitter is not None:
                    stamps = self.jitter.vary(stamp, need_rng(rng, "jitter").take(rows))
                grown_y, grown_x = (stamps.shape[1] - h) // 2, (stamps.shape[2] - w) // 2
                yield Piece(rows, top[rows] - grown_y, left[rows] - grown_x, stamps)

    def _translucent(self, height: int, width: int) -> Bytes:
        """The drawing with its opacity."""
        stamp = self.art(height, width).copy()
        stamp[..., 3] = faded(stamp[..., 3], self.opacity)
        return stamp


def faded(alpha: Bytes, opacity: float) -> Bytes:
    """``alpha`` times ``opacity``; what is drawn at all keeps at least 1/255."""
    return np.where(alpha > 0, np.maximum(np.rint(alpha * opacity), 1), 0).astype(np.uint8)


def mix(pictures: Images, colors: Bytes, alpha: Bytes, top: float) -> Images:
    """``pictures (.., h, w, c)`` with ``colors (.., h, w, c)`` over them at ``alpha (.., h, w, 1)``; a new array.

    uint8: (x (255 - a) + v a) / 255 to the nearest integer, exactly (255 is odd, so there are no ties). Floats in
    0..``top``: the same share of ``top``, float16 by way of float32.
    """
    if pictures.dtype == np.uint8:
        wide = alpha.astype(np.uint16)
        total = pictures * (255 - wide)
        total += colors * wide + np.uint16(128)
        total += total >> 8
        total >>= 8
        return np.asarray(total, np.uint8)
    kind: Any = np.promote_types(pictures.dtype, np.float32)
    share = alpha.astype(kind) / kind.type(255)
    blended: Images = np.clip(pictures * (1 - share) + levels(colors, kind, top) * share, 0, top)
    return blended.astype(pictures.dtype)


def mix_alike(out: Images, pictures: Images, colors: Bytes, alpha: Bytes, top: float) -> None:
    """``mix`` of every picture (n, h, w, c) with the same ``colors (h, w, c)`` at ``alpha (h, w, 1)``, into ``out``.

    For bytes the same numbers as ``mix``, from two buffers that stay in the cache; ``out`` may be ``pictures``.
    """
    step = max(1, (CHUNK // 4) // max(1, colors.size))
    if out.dtype != np.uint8:
        for start in range(0, len(out), step):
            part = slice(start, start + step)
            out[part] = mix(pictures[part], colors, alpha, top)
        return
    wide = np.broadcast_to(alpha, colors.shape).reshape(-1).astype(np.uint16)
    keep, ink = 255 - wide, colors.reshape(-1) * wide + np.uint16(128)
    buffers = np.empty((2, min(step, len(out)), colors.size), np.uint16)
    for start in range(0, len(out), step):
        part = slice(start, start + step)
        total, carry = buffers[:, : len(pictures[part])]
        shaped = total.reshape(-1, *colors.shape)
        np.copyto(shaped, pictures[part])
        total *= keep
        total += ink
        np.right_shift(total, 8, out=carry)
        total += carry
        total >>= 8
        out[part] = shaped


def levels(colors: Bytes, dtype: Any, top: float) -> Images:
    """Bytes as values of a picture: themselves for uint8, 0..``top`` for floats."""
    return colors if dtype == np.uint8 else (colors / 255.0 * top).astype(dtype)


def _paste_alike(out: Images, piece: Piece, top: float) -> None:
    """One stamp at one spot of every picture: an assignment where it is opaque, else a mix of just that window."""
    y, x = int(piece.top[0]), int(piece.left[0])
    h, w = piece.rgba.shape[1:3]
    window = out[:, max(y, 0) : y + h, max(x, 0) : x + w]
    stamp = piece.rgba[0, max(-y, 0) : out.shape[1] - y, max(-x, 0) : out.shape[2] - x]
    colors, alpha = to_channels(stamp, out.shape[3]), stamp[..., 3:]
    opaque = alpha[..., 0] == 255
    if opaque.all():
        window[...] = levels(colors, out.dtype, top)
    elif (opaque | (alpha[..., 0] == 0)).all():
        window[:, opaque] = levels(colors[opaque], out.dtype, top)
    else:
        mix_alike(window, window, colors, alpha, top)


def _targets(piece: Piece, size: tuple[int, int]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Row and column of every stamp pixel, and whether it lies in the picture, (k, h, w) each."""
    h, w = piece.rgba.shape[1:3]
    y, x = piece.top[:, None, None] + np.arange(h)[:, None], piece.left[:, None, None] + np.arange(w)
    y, x = np.broadcast_arrays(y, x)
    return y, x, (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])


def _paste(out: Images, piece: Piece, rows: Ints, top: float) -> None:
    """Stamps at each row's own spot: gather, mix, scatter."""
    y, x, inside = _targets(piece, out.shape[1:3])
    colors, alpha = to_channels(piece.rgba, out.shape[3]), piece.rgba[..., 3:]
    if inside.all():
        spots = (rows[:, None, None], y, x)
        out[spots] = levels(colors, out.dtype, top) if (alpha == 255).all() else mix(out[spots], colors, alpha, top)
        return
    each = np.broadcast_to(rows[:, None, None], inside.shape)
    spots = (each[inside], y[inside], x[inside])
    colors, alpha = (np.broadcast_to(part, (*inside.shape, part.shape[-1]))[inside] for part in (colors, alpha))
    out[spots] = mix(out[spots], colors, alpha, top)


def turn_in_picture(position: Ints) -> Ints:
    """0 for the first of each picture ``position (m,)``, 1 for the second, and so on."""
    order = np.argsort(position, kind="stable")
    ordered = position[order]
    turn = np.empty(len(position), np.int64)
    turn[order] = np.arange(len(position)) - np.searchsorted(ordered, ordered, side="left")
    return turn


def meeting(position: Ints, spots: Spots) -> NDArray[np.bool_]:
    """(m,) whether a stamp lies in a picture in which two stamps share a pixel."""
    order = np.argsort(position, kind="stable")
    top, left, height, width = (np.broadcast_to(side, position.shape)[order] for side in spots)
    picture, bottom, right = position[order], top + height, left + width
    met = np.zeros(len(position), dtype=bool)
    for apart in range(1, len(position)):
        one = np.flatnonzero(picture[apart:] == picture[:-apart])
        if not len(one):
            break
        two = one + apart
        across = (left[one] < right[two]) & (left[two] < right[one])
        down = (top[one] < bottom[two]) & (top[two] < bottom[one])
        met[one[across & down]] = True
    return np.isin(position, picture[met])
