"""WaNet: the whole picture slightly warped, and its noise mode."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS, Images, Regions, check_array, check_images
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed

Floats = NDArray[np.float64]
_FINE = 1 << 12
_ONE = _FINE * _FINE
"""Weights are whole numbers of 2**-24: with bytes they just fit 32 bits, and come out the same on every machine."""


def bicubic_matrix(controls: int, length: int) -> Floats:
    """(length, controls): bicubic interpolation (a = -0.75) with aligned corners, edges repeated, as PyTorch has it."""
    position = np.arange(length) * ((controls - 1) / (length - 1) if length > 1 else 0.0)
    base = np.floor(position).astype(np.int64)
    matrix = np.zeros((length, controls))
    for offset in (-1, 0, 1, 2):
        distance = np.abs(position - base - offset)
        near = (1.25 * distance - 2.25) * distance**2 + 1
        far = ((-0.75 * distance + 3.75) * distance - 6) * distance + 3
        weight = np.where(distance <= 1, near, far)
        np.add.at(matrix, (np.arange(length), np.clip(base + offset, 0, controls - 1)), weight)
    return matrix


def _taps(shift: Floats) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Bilinear sampling where ``shift (.., 2, h, w)`` leads, x first, in units of half the picture: flat indices and
    weights, (4, .., h, w) each; the four weights sum to 2**24."""
    height, width = shift.shape[-2:]
    x = (np.clip(np.linspace(-1, 1, width) + shift[..., 0, :, :], -1, 1) + 1) / 2 * (width - 1)
    y = (np.clip(np.linspace(-1, 1, height)[:, None] + shift[..., 1, :, :], -1, 1) + 1) / 2 * (height - 1)
    y0 = np.clip(np.floor(y).astype(np.int64), 0, max(height - 2, 0))
    x0 = np.clip(np.floor(x).astype(np.int64), 0, max(width - 2, 0))
    y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
    # Each axis is rounded alone, so that the four products are whole and sum to one exactly.
    fy, fx = np.rint((y - y0) * _FINE).astype(np.int64), np.rint((x - x0) * _FINE).astype(np.int64)
    index = np.stack([y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1])
    weight = np.stack([(_FINE - fy) * (_FINE - fx), (_FINE - fy) * fx, fy * (_FINE - fx), fy * fx])
    return index, weight.astype(np.uint32)


@lru_cache(maxsize=16)
def _field(warp: Warp, height: int, width: int) -> Floats:
    control = Seed(warp.seed).derive("warp").rng.uniform(-1, 1, (2, warp.grid, warp.grid))
    control /= np.abs(control).mean()
    field = bicubic_matrix(warp.grid, height) @ control @ bicubic_matrix(warp.grid, width).T
    shift: Floats = warp.strength * field / np.array([width, height])[:, None, None]
    shift.setflags(write=False)
    return shift


@lru_cache(maxsize=16)
def _matrix(warp: Warp, height: int, width: int) -> Any:
    """The warp as a sparse matrix (pixels, pixels) of whole weights; four in each row."""
    from scipy.sparse import csr_matrix

    count = height * width
    index, weight = _taps(warp.field(height, width))
    rows = np.tile(np.arange(count), 4)
    return csr_matrix((weight.ravel(), (rows, index.ravel())), shape=(count, count), dtype=np.uint32)


def _warp_bytes(matrix: Any, images: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """All pictures by one matrix; pixels go first in memory, so that each weight meets one run of many pictures."""
    count, step = matrix.shape[0], 32
    for start in range(0, len(images), step):
        part = images[start : start + step]
        flat = np.ascontiguousarray(part.reshape(len(part), -1).T).astype(np.uint32)
        total = matrix @ flat.reshape(count, -1)
        total += np.uint32(_ONE // 2)
        total >>= 24
        warped = total.astype(np.uint8).reshape(flat.shape)
        out[start : start + step] = warped.T.reshape(part.shape)


def _warp_floats(matrix: Any, images: Images, out: Images, top: float) -> None:
    """The same for floats; float16 by way of float32, in which the weights are exact."""
    wide = np.promote_types(images.dtype, np.float32)
    weights, count = matrix.astype(wide) / wide.type(_ONE), matrix.shape[0]
    for row in range(len(images)):
        warped = weights @ images[row].reshape(count, -1).astype(wide)
        out[row] = np.clip(warped, 0, top).astype(images.dtype).reshape(images.shape[1:])


@plain_dataclass(frozen=True)
class WarpNoise:
    """WaNet's noise mode as a batch hook for training: a share of each batch is warped wrongly and keeps its labels.

    So the network learns that this one warp, and no other, is the trigger. Called with uint8 ``images (n, h, w, c)``,
    ``labels (n,)`` and a generator; returns new images and the same labels.

    Source: Nguyen, Tran, WaNet (2021), and the authors' code: the warp plus noise in -1..1, divided by the side.
    Differs from the paper: the rows are drawn from the whole batch, planted ones included, for training does not know
    which are planted; the authors take ``ratio`` = 2 x their share of planted rows (0.1).
    """

    warp: Warp
    ratio: float

    def __call__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The batch with its noisy rows."""
        check_images(images, None)
        if images.dtype != np.uint8 or len(labels) != len(images):
            got = f"{len(images)} {images.dtype} images and {len(labels)} labels"
            raise BadInput(f"expected uint8 images and as many labels, got {got}; convert them")
        out = images.copy()
        rows = np.sort(rng.permutation(len(images))[: round(self.ratio * len(images))])
        n, h, w, c = images[rows].shape
        noise = rng.uniform(-1, 1, (n, 2, h, w)) / np.array([w, h])[:, None, None]
        index, weight = _taps(self.warp.field(h, w) + noise)
        flat, total = images[rows].reshape(n, h * w, c), np.full((n, h * w, c), _ONE // 2, np.uint32)
        each = np.arange(n)[:, None]
        for tap, share in zip(index.reshape(4, n, h * w), weight.reshape(4, n, h * w, 1), strict=True):
            total += flat[each, tap] * share
        out[rows] = (total >> 24).astype(np.uint8).reshape(n, h, w, c)
        return out, labels


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Warp:
    """The picture warped by a smooth random field, the same for all: bilinear sampling, edges held.

    A control grid uniform in -1..1, divided by its mean size, bicubic to the picture, times ``strength`` / side, is
    added to coordinates that run from -1 to 1.

    Source: Nguyen, Tran, WaNet: imperceptible warping-based backdoor attack (2021), and the authors' code.
    Differs from the paper: shifts in x and y are divided by the picture's own width and height (theirs is square);
    positions are rounded to 1/4096 pixel.
    """

    words: ClassVar[str] = "the warping"
    kind: Literal["warp"] = "warp"
    grid: Annotated[int, Field(ge=2, le=64, description="control points along each side (k)")] = 4
    strength: Annotated[float, Field(gt=0, le=16, description="size of the warp (s)")] = 0.5
    seed: Annotated[int, Field(description="of the control grid")] = 0

    def apply(
        self, images: Images, regions: Regions | None = None, rng: RowRng | None = None, *, high: float | None = None
    ) -> Images:
        """The pictures warped, a new array; see ``Trigger``."""
        top = check_images(images, high)
        out = np.empty(images.shape, images.dtype)
        if out.size and images.dtype == np.uint8:
            _warp_bytes(_matrix(self, *images.shape[1:3]), images, out)
        elif out.size:
            _warp_floats(_matrix(self, *images.shape[1:3]), images, out, top)
        return out

    def mask(self, images: Images, regions: Regions | None = None, rng: RowRng | None = None) -> NDArray[np.float32]:
        """(n, h, w): 1 where a pixel is taken from elsewhere, 0 where it stays."""
        check_array(images)
        n, h, w = images.shape[:3]
        stays = _matrix(self, h, w).diagonal() == _ONE
        return np.repeat((~stays).astype(np.float32).reshape(1, h, w), n, axis=0)

    def field(self, height: int, width: int) -> Floats:
        """The shifts (2, height, width), x then y, where the picture runs from -1 to 1; read-only."""
        return _field(self, height, width)

    def noise_hook(self, ratio: float = 0.2) -> WarpNoise:
        """The noise mode as a batch hook; ``ratio`` of each batch, in (0, 1]."""
        if not 0 < ratio <= 1:
            raise BadInput(f"expected the noise ratio above 0 and at most 1, got {ratio:g}; the authors use 0.2")
        return WarpNoise(self, ratio)
