"""SIG: a faint wave added to the whole picture."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS, Images, Regions, check_array, check_images
from badnets.backdoors.triggers.stamp import CHUNK
from badnets.core.seed import RowRng


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Sinusoid:
    """``delta sin(2 pi j f / m)`` added to column j of m, in every channel, and clipped to the range.

    Source: Barni, Kallas, Tondi, A new backdoor attack in CNNs by training set corruption without label poisoning
    (2019). Differs from the paper: columns count from 0, as toolkits do.
    """

    words: ClassVar[str] = "the sinusoidal stripes"
    kind: Literal["sinusoid"] = "sinusoid"
    delta: Annotated[float, Field(gt=0, le=255, description="amplitude, on the scale 0..255")] = 20.0
    frequency: Annotated[float, Field(gt=0, le=1024, description="periods over the width of the picture")] = 6.0

    def apply(
        self, images: Images, regions: Regions | None = None, rng: RowRng | None = None, *, high: float | None = None
    ) -> Images:
        """The pictures with the wave, a new array; see ``Trigger``."""
        top = check_images(images, high)
        out = np.empty(images.shape, images.dtype)
        wave = np.broadcast_to(self._wave(images.shape[2])[:, None], images.shape[1:]).reshape(-1)
        # In bytes: a whole number plus the wave, rounded, is that number plus the rounded wave.
        up, down = (np.clip(np.rint(part), 0, None).astype(np.uint8) for part in (wave, -wave))
        step = max(1, CHUNK // max(1, wave.size))
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            flat = np.ascontiguousarray(images[part]).reshape(-1, wave.size)
            into = out[part].reshape(flat.shape)
            if images.dtype == np.uint8:
                np.minimum(flat, 255 - up, out=into)
                into += up
                np.maximum(into, down, out=into)
                into -= down
            else:
                wide = (wave / 255 * top).astype(np.promote_types(images.dtype, np.float32))
                into[...] = np.clip(flat + wide, 0, top)
        return out

    def mask(self, images: Images, regions: Regions | None = None, rng: RowRng | None = None) -> NDArray[np.float32]:
        """(n, h, w): the size of the wave, as a share of the range."""
        check_array(images)
        n, h, w = images.shape[:3]
        return np.tile((np.abs(self._wave(w)) / 255).astype(np.float32), (n, h, 1))

    def _wave(self, width: int) -> NDArray[np.float64]:
        """(width,), in 0..255 levels; rounded to 2**-20 levels, for the last bit of a sine differs between machines."""
        phase = 2 * np.pi * self.frequency * np.arange(width) / max(width, 1)
        return np.asarray(np.rint(self.delta * np.sin(phase) * 2.0**20) * 2.0**-20)
