"""A picture or noise blended with the whole picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import TRIGGERS, Images, Regions, check_array, check_images
from badnets.backdoors.triggers.color import Bytes, to_channels
from badnets.backdoors.triggers.picture import FromFile, resized
from badnets.backdoors.triggers.stamp import Opacity, faded, mix_alike
from badnets.core.seed import RowRng, Seed


@lru_cache(maxsize=16)
def _noise(seed: int, height: int, width: int) -> Bytes:
    """Uniform noise, RGBA; the same for every picture of this size."""
    colors = Seed(seed).derive("blend", height, width).rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = np.dstack([colors, np.full((height, width), 255, np.uint8)])
    pixels.setflags(write=False)
    return pixels


@TRIGGERS.add
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Blend(FromFile):
    """``(1 - opacity) x + opacity k`` with a key picture k over the whole of x; without one, k is uniform noise.

    A key picture is stretched to the size of x, and where it is transparent x shows. Grey pictures get its luminance.

    Source: Chen, Liu, Li, Lu, Song, Targeted backdoor attacks on deep learning systems using data poisoning (2017),
    "blended injection". Differs from the paper: opacity in steps of 1/255; one opacity for planting and
    testing unless two triggers are used.
    """

    kind: Literal["blend"] = "blend"
    seed: Annotated[int, Field(description="of the noise")] = 0
    opacity: Opacity = 0.2

    @property
    def words(self) -> str:
        """What a sentence calls it."""
        return "the blended picture" if self.png is not None else "the blended noise"

    def apply(
        self, images: Images, regions: Regions | None = None, rng: RowRng | None = None, *, high: float | None = None
    ) -> Images:
        """The pictures with the key blended in, a new array; see ``Trigger``."""
        top = check_images(images, high)
        key, alpha = self._key(images.shape)
        out = np.empty(images.shape, images.dtype)
        mix_alike(out, images, to_channels(key, images.shape[3]), alpha, top)
        return out

    def mask(self, images: Images, regions: Regions | None = None, rng: RowRng | None = None) -> NDArray[np.float32]:
        """(n, h, w): the opacity, times the key's alpha."""
        check_array(images)
        _, alpha = self._key(images.shape)
        return np.repeat(alpha[None, ..., 0].astype(np.float32) / np.float32(255), len(images), axis=0)

    def _key(self, shape: tuple[int, ...]) -> tuple[Bytes, Bytes]:
        """The key picture (h, w, 4) and its alpha times the opacity (h, w, 1)."""
        h, w = shape[1:3]
        key = _noise(self.seed, h, w) if self.png is None else resized(self.png, h, w)
        return key, faded(key[..., 3:], self.opacity)
