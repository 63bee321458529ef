"""Where a stamp goes and how large it is: relative to the picture, or to the object's region in it.

A place is a frozen value; wherever one is expected, a word will do: ``"bottom-right"`` (or another corner),
``"center"``, ``"random"``, ``"0.57,0.82"`` (center as fractions, x then y), each also as ``"region:..."``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from badnets.backdoors.trigger import Regions
from badnets.core.errors import BadInput, nearest
from badnets.core.seed import RowRng

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CONFIG = ConfigDict(extra="forbid")
CornerName = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Of = Literal["image", "region"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)]
Size = Side | tuple[Side, Side]
"""One side or (height, width): an int is pixels, a float in (0, 1] a fraction of what the place refers to."""


def round_half_up(values: Floats) -> Ints:
    """The nearest integers; halves go up, so that a shift of the picture by whole pixels shifts the stamp alike."""
    return np.floor(values + 0.5).astype(np.int64)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Corner:
    """In a corner, ``distance`` pixels from both edges."""

    kind: Literal["corner"] = "corner"
    corner: Annotated[CornerName, Field(description="which corner")] = "bottom-right"
    distance: Annotated[int, Field(ge=0, description="pixels between the stamp and the edges")] = 1
    of: Annotated[Of, Field(description="whose corner: of the whole picture or of the object's region")] = "image"


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class At:
    """Centered at a fraction of the width and height."""

    kind: Literal["at"] = "at"
    x: Annotated[Fraction, Field(description="center from the left, 0..1")] = 0.5
    y: Annotated[Fraction, Field(description="center from the top, 0..1")] = 0.5
    of: Annotated[Of, Field(description="fraction of the whole picture or of the object's region")] = "image"


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Random:
    """Centered at random, anew for every row, between ``low`` and ``high`` of the width and height.

    In the whole picture a stamp is moved inward until all of it is seen; in a region it may hang over, as in the
    BadNets sign experiments.
    """

    kind: Literal["random"] = "random"
    low: Annotated[Fraction, Field(description="smallest fraction of the center, 0..1")] = 0.15
    high: Annotated[Fraction, Field(description="largest fraction of the center, 0..1")] = 0.85
    of: Annotated[Of, Field(description="fraction of the whole picture or of the object's region")] = "image"

    @model_validator(mode="after")
    def _ordered(self) -> Random:
        if self.low > self.high:
            raise BadInput(f"random place: expected low <= high, got {self.low:g} and {self.high:g}; swap them")
        return self


def locate(
    place: Corner | At | Random, frames: Floats, heights: Ints, widths: Ints, rng: RowRng | None
) -> tuple[Ints, Ints]:
    """(top, left) of stamps of these sizes in ``frames (m, 4)`` x0, y0, x1, y1; a draw for each row if at random."""
    if isinstance(place, Corner):
        x0, y0, x1, y1 = round_half_up(frames).T
        down, right = place.corner.split("-")
        top = y0 + place.distance if down == "top" else y1 - place.distance - heights
        return top, x0 + place.distance if right == "left" else x1 - place.distance - widths
    if isinstance(place, At):
        y, x = np.array(place.y), np.array(place.x)
    else:
        rng = need_rng(rng, "a random place")
        y, x = (rng.uniform(f"place-{axis}", place.low, place.high) for axis in "yx")
    x0, y0, x1, y1 = frames.T
    top = round_half_up(y0 + y * (y1 - y0) - heights / 2)
    left = round_half_up(x0 + x * (x1 - x0) - widths / 2)
    if isinstance(place, Random) and place.of == "image":
        top = np.clip(top, 0, np.maximum(round_half_up(y1) - heights, 0))
        left = np.clip(left, 0, np.maximum(round_half_up(x1) - widths, 0))
    return top, left


def need_rng(rng: RowRng | None, what: str) -> RowRng:
    """``rng`` itself; without one, nothing random can be repeated, so it is refused."""
    if rng is None:
        raise BadInput(f"expected random numbers for {what}, got none; pass rng=RowRng.of(seed, number of pictures)")
    return rng


_WORDS: dict[str, dict[str, Any]] = {corner: {"kind": "corner", "corner": corner} for corner in get_args(CornerName)}
_WORDS |= {"center": {"kind": "at", "x": 0.5, "y": 0.5}, "random": {"kind": "random"}}


def _from_word(value: Any) -> Any:
    """A word as a place; anything else is left to the field's own check."""
    if not isinstance(value, str):
        return value
    word, of = value.strip(), "image"
    if word.startswith(("region:", "image:")):
        of, _, word = word.partition(":")
    x, comma, y = word.partition(",")
    if not comma and word not in _WORDS:
        raise BadInput(f"expected a place, got {value!r}; {nearest(word, _WORDS)}")
    return {**(_WORDS.get(word) or {"kind": "at", "x": x.strip(), "y": y.strip()}), "of": of}


Place = Annotated[Annotated[Corner | At | Random, Field(discriminator="kind")], BeforeValidator(_from_word)]


def frames_of(place: Corner | At | Random, shape: tuple[int, ...], regions: Regions | None) -> Floats:
    """What the place refers to, (m, 4) x0, y0, x1, y1: one row for all pictures, or one for each region."""
    n, h, w = shape[:3]
    if regions is not None and regions.shape != (n, 4):
        raise BadInput(f"expected regions ({n}, 4) for {n} pictures, got {tuple(regions.shape)}; give each picture one")
    if place.of == "image" or regions is None:
        return np.array([[0, 0, w, h]], np.float64)
    frames = regions.astype(np.float64)
    fine = np.isfinite(frames).all(1) & (frames[:, :2] < frames[:, 2:]).all(1)
    if not fine.all():
        bad = int(np.argmin(fine))
        raise BadInput(
            f"expected regions x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {frames[bad].tolist()} in row {bad}"
        )
    return frames
