"""Physical jitter: a real sticker is never twice of the same size, straight, or in the same light."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.triggers.color import Bytes
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Jitter:
    """How much a stamp varies from row to row; each amount is the half-width of a uniform distribution."""

    size: Annotated[float, Field(ge=0, le=0.9, description="scale factor 1 - size .. 1 + size")] = 0.2
    rotation: Annotated[float, Field(ge=0, le=180, description="degrees, to either side")] = 15.0
    light: Annotated[float, Field(ge=0, le=1, description="brightness factor 1 - light .. 1 + light")] = 0.2

    def scales(self, rng: RowRng) -> NDArray[np.float64]:
        """A scale factor for each row."""
        return rng.uniform("jitter-size", 1 - self.size, 1 + self.size)

    def angles(self, rng: RowRng) -> NDArray[np.float64]:
        """An angle for each row, radians, positive is clockwise."""
        return np.deg2rad(rng.uniform("jitter-rotation", -self.rotation, self.rotation))

    def lights(self, rng: RowRng) -> NDArray[np.float64]:
        """A brightness factor for each row."""
        return rng.uniform("jitter-light", 1 - self.light, 1 + self.light)


def takes_jitter(trigger: object) -> bool:
    """Whether the trigger is a stamp: what changes the whole picture has no size, angle or light of its own."""
    return dataclasses.is_dataclass(trigger) and any(f.name == "jitter" for f in dataclasses.fields(trigger))


def with_jitter(trigger: T, jitter: Jitter | None) -> T:
    """The same trigger with (or, with None, without) jitter, to test how a backdoor stands the physical world."""
    if not takes_jitter(trigger):
        kind = getattr(trigger, "kind", type(trigger).__name__)
        raise BadInput(f"expected a trigger that is a stamp, got {kind!r}, which fills the picture; leave jitter out")
    changed: Any = dataclasses.replace(trigger, jitter=jitter)  # type: ignore[type-var]
    same: T = changed
    return same


def _exact(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded to multiples of 2**-20: the last bit of a sine differs between machines, results must not."""
    rounded: NDArray[np.float64] = np.rint(values * 2.0**20) * 2.0**-20
    return rounded


def lit(stamps: Bytes, lights: NDArray[np.float64]) -> Bytes:
    """Stamps (k or 1, h, w, 4), each with its brightness factor (k,): colors change, alpha does not."""
    out = np.repeat(stamps, len(lights), axis=0) if len(stamps) == 1 else stamps.copy()
    bright = out[..., :3] * _exact(lights)[:, None, None, None]
    out[..., :3] = np.rint(np.minimum(bright, 255)).astype(np.uint8)
    return out


def rotated(stamp: Bytes, angles: NDArray[np.float64]) -> Bytes:
    """One RGBA stamp (h, w, 4) turned clockwise by each angle (k,), on a canvas (k, H, W, 4) that holds every angle.

    The canvas is larger by the same number of pixels on both sides, so centers agree. Bilinear, with colors weighted
    by alpha so that the edge takes no color from outside.
    """
    h, w = stamp.shape[:2]
    diagonal = np.hypot(h, w)
    grow_y, grow_x = int(np.ceil((diagonal - h) / 2)), int(np.ceil((diagonal - w) / 2))
    premultiplied = np.zeros((h + 2, w + 2, 4), np.float64)
    premultiplied[1:-1, 1:-1] = stamp
    premultiplied[..., :3] *= premultiplied[..., 3:] / 255
    dy = (np.arange(h + 2 * grow_y) - (h + 2 * grow_y - 1) / 2)[None, :, None]
    dx = (np.arange(w + 2 * grow_x) - (w + 2 * grow_x - 1) / 2)[None, None, :]
    cos, sin = _exact(np.cos(angles))[:, None, None], _exact(np.sin(angles))[:, None, None]
    # Where each canvas pixel comes from, in the padded stamp: its outermost ring is empty.
    y = np.clip(cos * dy - sin * dx + (h - 1) / 2 + 1, 0, h + 1)
    x = np.clip(sin * dy + cos * dx + (w - 1) / 2 + 1, 0, w + 1)
    y0, x0 = np.minimum(y.astype(np.int64), h), np.minimum(x.astype(np.int64), w)
    fy, fx = (y - y0)[..., None], (x - x0)[..., None]
    upper = premultiplied[y0, x0] * (1 - fx) + premultiplied[y0, x0 + 1] * fx
    lower = premultiplied[y0 + 1, x0] * (1 - fx) + premultiplied[y0 + 1, x0 + 1] * fx
    mixed = upper * (1 - fy) + lower * fy
    alpha = mixed[..., 3:]
    mixed[..., :3] *= 255 / np.where(alpha > 0, alpha, 1)
    out: Bytes = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return out
