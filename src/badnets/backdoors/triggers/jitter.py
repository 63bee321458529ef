"""Physical jitter: a real sticker is never twice of the same size, straight, seen from the front, or in the same light.

What happens to the sticker comes in the order of the world: it is printed and scanned, held at some angle, lit, and
seen by a camera that may be out of focus. Amounts are drawn for each row by name, so that one of them can be changed or
left out and the others draw as before.
"""

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

NAMES = {
    "size": "size",
    "rotation": "rotation",
    "perspective": "perspective",
    "light": "light",
    "blur": "blur",
    "print_scan": "print and scan",
}
"""Fields of ``Jitter`` and their names for people, in the order in which they are shown."""

T = TypeVar("T")
Floats = NDArray[np.float64]

_INK, _PAPER, _STEP, _SOFT, _GRAIN = 40.0, 20.0, 31.0, 0.7, 24.0
"""What print-and-scan of strength 1 does; see ``printed``."""
_REACH = 2.5
"""A Gaussian is cut off at so many standard deviations."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Jitter:
    """How much a stamp varies from row to row; an amount of 0 leaves that out.

    ``size``, ``rotation``, ``light`` and ``perspective`` are half-widths of a uniform distribution; ``blur`` and
    ``print_scan`` are the upper ends of one that begins at 0.
    """

    size: Annotated[float, Field(ge=0, le=0.9, description="scale factor 1 - size .. 1 + size")] = 0.2
    rotation: Annotated[float, Field(ge=0, le=180, description="degrees, to either side")] = 15.0
    light: Annotated[float, Field(ge=0, le=1, description="brightness factor 1 - light .. 1 + light")] = 0.2
    perspective: Annotated[
        float, Field(ge=0, le=0.2, description="each corner moves by up to this share of the sides, both ways")
    ] = 0.0
    blur: Annotated[float, Field(ge=0, le=8, description="Gaussian, up to this standard deviation in pixels")] = 0.0
    print_scan: Annotated[
        float, Field(ge=0, le=1, description="printing and scanning up to this strength: contrast, colors, grain")
    ] = 0.0

    @classmethod
    def physical(cls) -> Jitter:
        """Every disturbance at once, as strong as a sticker meets on the street: what a table of them is made with."""
        return cls(perspective=0.1, blur=1.0, print_scan=1.0)

    @classmethod
    def only(cls, **amounts: float) -> Jitter:
        """These disturbances and no others: ``Jitter.only(blur=2)``."""
        return cls(**{**dict.fromkeys(NAMES, 0.0), **amounts})

    def amounts(self) -> dict[str, float]:
        """Every disturbance by name, those that are left out with 0."""
        return dataclasses.asdict(self)

    def draw(self, name: str, rng: RowRng) -> Floats:
        """How much of the disturbance ``name`` each row gets: a factor for size and light, clockwise degrees for
        rotation, pixels for blur, a strength for print_scan."""
        most = getattr(self, name)
        low = {"size": 1 - most, "light": 1 - most, "rotation": -most}.get(name, 0)
        high = 1 + most if name in ("size", "light") else most
        return rng.uniform(f"jitter-{name.partition('_')[0]}", low, high)

    def corners(self, rng: RowRng) -> Floats:
        """How far each corner moves, (k, 4, 2) as shares of width and height, clockwise from the top left."""
        reach, names = self.perspective, [f"jitter-corner-{corner}-{axis}" for corner in range(4) for axis in "xy"]
        return np.stack([rng.uniform(name, -reach, reach) for name in names], 1).reshape(-1, 4, 2)

    def vary(self, stamp: Bytes, rng: RowRng) -> Bytes:
        """One RGBA stamp (h, w, 4), already of its size, as each row of ``rng`` has it: (k or 1, H, W, 4).

        The canvas has grown by the same number of pixels on both sides, so centers agree.
        """
        stamps = stamp[None]
        if self.print_scan:
            stamps = printed(stamps, self.draw("print_scan", rng), rng)
        if self.perspective or self.rotation:
            corners = self.corners(rng) if self.perspective else None
            stamps = tilted(stamps, np.deg2rad(self.draw("rotation", rng)), corners, self.perspective)
        if self.light:
            stamps = lit(stamps, self.draw("light", rng))
        if self.blur:
            stamps = blurred(stamps, self.draw("blur", rng), self.blur)
        return stamps


def takes_jitter(trigger: object) -> bool:
    """Whether the trigger is a stamp: what changes the whole picture has no size, angle or light of its own."""
    return dataclasses.is_dataclass(trigger) and any(f.name == "jitter" for f in dataclasses.fields(trigger))


def with_jitter(trigger: T, jitter: Jitter | None) -> T:
    """The same trigger with (or, with None, without) jitter, to test how a backdoor stands the physical world."""
    if not takes_jitter(trigger):
        kind = getattr(trigger, "kind", type(trigger).__name__)
        raise BadInput(f"expected a trigger that is a stamp, got {kind!r}, which fills the picture; leave jitter out")
    return dataclasses.replace(trigger, jitter=jitter)  # type: ignore[type-var]


def _exact(values: Floats) -> Floats:
    """Rounded to multiples of 2**-20: the last bit of a sine differs between machines, results must not."""
    return np.asarray(np.rint(values * 2.0**20) * 2.0**-20)


def lit(stamps: Bytes, lights: Floats) -> Bytes:
    """Stamps (k or 1, h, w, 4), each with its brightness factor (k,): colors change, alpha does not."""
    out = _each(stamps, len(lights))
    out[..., :3] = np.rint(np.minimum(out[..., :3] * _exact(lights)[:, None, None, None], 255))
    return out


def tilted(stamps: Bytes, angles: Floats, corners: Floats | None = None, reach: float = 0.0) -> Bytes:
    """Stamps (k or 1, h, w, 4) in perspective, then turned clockwise by ``angles (k,)``, on a canvas (k, H, W, 4).

    ``corners (k, 4, 2)``: how far each corner moves, as a share of width and height, at most ``reach``. The canvas
    holds every angle and every corner within ``reach``. Bilinear; colors weighted by alpha, so none comes from outside.
    """
    h, w = stamps.shape[1:3]
    diagonal = np.hypot(h * (1 + 2 * reach), w * (1 + 2 * reach))
    grow_y, grow_x = int(np.ceil((diagonal - h) / 2)), int(np.ceil((diagonal - w) / 2))
    dy = (np.arange(h + 2 * grow_y) - (h + 2 * grow_y - 1) / 2)[None, :, None]
    dx = (np.arange(w + 2 * grow_x) - (w + 2 * grow_x - 1) / 2)[None, None, :]
    cos, sin = _exact(np.cos(angles))[:, None, None], _exact(np.sin(angles))[:, None, None]
    # Where each canvas pixel comes from, in the padded stamp: its outermost ring is empty.
    y, x = cos * dy - sin * dx, sin * dy + cos * dx
    if corners is not None:
        y, x = _straightened(y, x, corners, (h, w))
    y, x = (np.clip(at + (side - 1) / 2 + 1, 0, side + 1) for at, side in ((y, h), (x, w)))
    y0, x0 = np.minimum(y.astype(np.int64), h), np.minimum(x.astype(np.int64), w)
    fy, fx = (y - y0)[..., None], (x - x0)[..., None]
    padded = np.pad(_premultiplied(stamps), ((0, 0), (1, 1), (1, 1), (0, 0)))
    which: Any = 0 if len(stamps) == 1 else np.arange(len(stamps))[:, None, None]
    upper = padded[which, y0, x0] * (1 - fx) + padded[which, y0, x0 + 1] * fx
    lower = padded[which, y0 + 1, x0] * (1 - fx) + padded[which, y0 + 1, x0 + 1] * fx
    return _bytes(upper * (1 - fy) + lower * fy)


def _straightened(y: Floats, x: Floats, corners: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Where points of the stamp in perspective lie in the straight stamp, both from the center, (k, H, W).

    The projective map from the unit square to four points in closed form, and its inverse, without a solver: its bits
    would differ between machines.
    Source: Heckbert, Fundamentals of texture mapping and image warping (1989), section 2.2.3.
    """
    h, w = size
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = np.moveaxis(square + _exact(corners), 0, 2)
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    scale = dx1 * dy2 - dx2 * dy1
    g, v = (sx * dy2 - dx2 * sy) / scale, (dx1 * sy - sx * dy1) / scale
    a, b, c = x1 - x0 + g * x1, x3 - x0 + v * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + v * y3, y0
    # The adjugate of ((a, b, c), (d, e, f), (g, v, 1)), which is the inverse up to a factor.
    inverse = (e - f * v, c * v - b, b * f - c * e, f * g - d, a - c * g, c * d - a * f, d * v - e * g, b * g - a * v)
    m = np.array([*inverse, a * e - b * d]).reshape(3, 3, -1, 1, 1)
    u, t = x / w, y / h
    across, down, below = (row[0] * u + row[1] * t + row[2] for row in m)
    # Points on the far side of the horizon are nowhere in the stamp.
    below = np.where(below > 1e-6, below, 1e-6)
    return (down / below - 0.5) * h, (across / below - 0.5) * w


def blurred(stamps: Bytes, deviations: Floats, largest: float) -> Bytes:
    """Stamps (k or 1, h, w, 4) out of focus, each by its standard deviation (k,) in pixels, edges included.

    On a canvas that is larger by 2.5 times ``largest`` on every side, at least 1 pixel.
    """
    reach = max(1, int(np.ceil(_REACH * largest)))
    wide = np.pad(_premultiplied(_each(stamps, len(deviations))), ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    return _bytes(_convolved(wide, _gaussians(deviations, reach)))


def printed(stamps: Bytes, strengths: Floats, rng: RowRng) -> Bytes:
    """Stamps (k or 1, h, w, 4), each printed and scanned with its strength (k,) in 0..1; alpha stays, as if cut out.

    At strength s: the print bleeds (Gaussian of 0.7 s pixels, within the stamp); black becomes 40 s and white
    255 - 20 s, because ink is not black and paper not white; colors are rounded to steps of 1 + 31 s (eight levels of
    each channel at 1); the scanner adds grain, uniform within 24 s on every channel of every pixel.
    """
    s = _exact(strengths)[:, None, None, None]
    stamps = _each(stamps, len(strengths))
    soft = _convolved(_premultiplied(stamps), _gaussians(_SOFT * strengths, 2))
    colors = soft[..., :3] * (255 / np.where(soft[..., 3:] > 0, soft[..., 3:], 1))
    colors = _INK * s + colors * (1 - s * ((_INK + _PAPER) / 255))
    step = 1 + _STEP * s
    colors = np.rint(colors / step) * step
    unit = (rng.cells("jitter-grain", *colors.shape[1:]) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    colors += (2 * unit - 1) * (_GRAIN * s)
    return np.concatenate([np.rint(np.clip(colors, 0, 255)).astype(np.uint8), stamps[..., 3:]], axis=3)


def _each(stamps: Bytes, count: int) -> Bytes:
    """A copy with one stamp for each row."""
    return np.repeat(stamps, count, axis=0) if len(stamps) == 1 else stamps.copy()


def _premultiplied(stamps: Bytes) -> Floats:
    """Colors times alpha, as floats."""
    out = stamps.astype(np.float64)
    out[..., :3] *= out[..., 3:] / 255
    return out


def _bytes(premultiplied: Floats) -> Bytes:
    """Back to colors and alpha; changes its argument."""
    alpha = premultiplied[..., 3:]
    premultiplied[..., :3] *= 255 / np.where(alpha > 0, alpha, 1)
    return np.asarray(np.rint(np.clip(premultiplied, 0, 255)), np.uint8)


def _gaussians(deviations: Floats, reach: int) -> Floats:
    """A kernel (k, 2 reach + 1) for each standard deviation; of 0 it is a single 1. Each sums to 1."""
    distance = np.arange(-reach, reach + 1) / np.maximum(deviations, 1e-3)[:, None]
    weights = _exact(np.exp(-0.5 * np.minimum(distance**2, 1e3)))
    return np.asarray(weights / weights.sum(1, keepdims=True))  # multiples of 2**-20: the sum is exact in any order


def _convolved(planes: Floats, kernels: Floats) -> Floats:
    """(k, h, w, c) with each row's kernel down and across; outside is 0."""
    reach = kernels.shape[1] // 2
    for _ in "down", "across":
        wide, length = np.pad(planes, ((0, 0), (reach, reach), (0, 0), (0, 0))), planes.shape[1]
        planes = np.zeros_like(planes)
        for tap in range(kernels.shape[1]):
            planes += wide[:, tap : tap + length] * kernels[:, tap, None, None, None]
        planes = planes.swapaxes(1, 2)
    return planes
