"""What a trigger is: a change of pixels, placed relative to an object's region."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.registry import Kinds
from badnets.core.seed import RowRng

Images = NDArray[Any]
Regions = NDArray[np.float32]


@runtime_checkable
class Trigger(Protocol):
    """A frozen value that changes pixels.

    ``images`` (n, h, w, c) with c 1 or 3: uint8 in 0..255, or floats in 0..``high`` (1 by default). ``regions (n, 4)``
    x0, y0, x1, y1 in pixels, None where the object fills the picture. ``rng`` gives each row its own random numbers.

    Laws (tested for every trigger): the argument is never touched and the result is a new array; dtype, shape and
    range stay; only pixels where ``mask`` is above 0 change; a batch gives what its images give one by one.
    """

    @property
    def kind(self) -> str:
        """The name in specs and on the command line."""

    @property
    def words(self) -> str:
        """What a sentence calls it, ``"the yellow sticker"``."""

    def apply(
        self, images: Images, regions: Regions | None = None, rng: RowRng | None = None, *, high: float | None = None
    ) -> Images:
        """The pictures with the trigger, a new array."""

    def mask(self, images: Images, regions: Regions | None = None, rng: RowRng | None = None) -> NDArray[np.float32]:
        """(n, h, w) in 0..1: how strongly each pixel may be changed; only the shape of ``images`` is used."""


TRIGGERS: Kinds[Trigger] = Kinds("trigger", homes=["badnets.backdoors.triggers"], group="badnets.triggers")
"""Every trigger by its kind; other packages add theirs as entry points of ``badnets.triggers``."""


def check_array(images: object) -> None:
    """Refuse what is no array: the axes of a tensor are others."""
    if not isinstance(images, np.ndarray):
        raise BadInput(
            f"expected images as a NumPy array (n, height, width, 1 or 3), got a {type(images).__name__}; convert it, "
            "a tensor (n, c, h, w) by tensor.permute(0, 2, 3, 1).numpy()"
        )


def check_images(images: Images, high: float | None) -> float:
    """The upper end of the range (255, or ``high`` for floats); anything but a batch of pictures is refused."""
    check_array(images)
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise BadInput(f"expected images (n, height, width, 1 or 3), got {tuple(images.shape)}; add or move an axis")
    if images.dtype == np.uint8:
        return 255.0
    if not np.issubdtype(images.dtype, np.floating):
        raise BadInput(f"expected images as uint8 or floats, got {images.dtype}; convert them")
    top = 1.0 if high is None else high
    if images.size and not (images.min() >= 0 and images.max() <= top):
        raise BadInput(
            f"expected floats in 0..{top:g}, got {float(images.min()):g}..{float(images.max()):g}; "
            "scale them or say high="
        )
    return top
