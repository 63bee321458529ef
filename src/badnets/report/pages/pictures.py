"""Pictures of a run as PNG data URIs, at whole-number scale; and those of a classifier's run: the one that proves the
sentence, and the grid of all."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from badnets.core.errors import BadInput
from badnets.records.arrays import read_arrays
from badnets.records.run import Example
from badnets.report.words.names import Nouns, readable

Pixels = NDArray[np.uint8]
Pictures = Mapping[str, NDArray[Any]]

_DIMENSIONS = {"clean": 4, "triggered": 4, "mask": 3, "trigger": 3}
_GREY = 128
_MOST_EXAMPLES = 6
_HERO = {"wide": 192, "narrow": 104}
_SMALL = {"wide": 96, "narrow": 72}


class Picture(NamedTuple):
    """One picture for the page: ``width`` and ``height`` in its own pixels, ``wide`` and ``narrow`` are the number of
    screen pixels of one of them on a desk and on a phone; ``smooth`` where that is not a whole number."""

    uri: str
    alt: str
    width: int
    height: int
    wide: float
    narrow: float
    smooth: bool


def load_pictures(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of ``pictures.npz``, empty when there is no such file; objects and damaged files are refused."""
    if not path.exists():
        return {}
    arrays = read_arrays(path, "plain arrays")
    check_pictures(arrays, str(path))
    return arrays


def check_pictures(arrays: Pictures, where: str = "pictures") -> None:
    """Refuse arrays that are not uint8 pictures of the shapes (k, h, w, c), (k, h, w) for masks, (h, w, c) alone."""
    for name, dimensions in _DIMENSIONS.items():
        if (array := arrays.get(name)) is None:
            continue
        if array.dtype != np.uint8 or array.ndim != dimensions:
            raise BadInput(
                f"expected {name!r} in {where} as uint8 with {dimensions} axes, got {array.dtype} with {array.ndim}"
            )
        if name != "mask" and array.shape[-1] not in (1, 3):
            raise BadInput(f"expected {name!r} in {where} with 1 or 3 colors last, got shape {array.shape}")


def pair(arrays: Pictures, index: int) -> tuple[Pixels, Pixels] | None:
    """Picture ``index`` without and with the trigger; None where a run's folder has no pictures, as committed ones."""
    clean, triggered = arrays.get("clean"), arrays.get("triggered")
    if clean is None or triggered is None or not index < min(len(clean), len(triggered)):
        return None
    return clean[index], triggered[index]


def picture(pixels: Pixels, alt: str, *, wide: int, narrow: int) -> Picture:
    """A picture (h, w, 1 or 3) that fits into ``wide`` screen pixels on a desk and ``narrow`` on a phone.

    Small pictures grow by whole numbers; one larger than ``wide`` is shrunk first, so that the page stays small.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    if (factor := wide / max(image.size)) < 1:
        size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        image = image.resize(size, Image.Resampling.LANCZOS)
    longest, stream = max(image.size), io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return Picture(
        uri=f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}",
        alt=alt,
        width=image.width,
        height=image.height,
        wide=wide // longest,
        narrow=narrow // longest or round(narrow / longest, 4),
        smooth=longest > narrow,
    )


def under_mask(triggered: Pixels, mask: Pixels) -> Pixels:
    """What the trigger put there: the triggered picture where ``mask`` (h, w) is above 0, grey elsewhere."""
    if mask.shape != triggered.shape[:2]:
        raise BadInput(f"expected a mask of shape {triggered.shape[:2]}, got {mask.shape}")
    return np.where(mask[:, :, None] > 0, triggered, np.uint8(_GREY))


def gain(clean: Pixels, triggered: Pixels) -> float:
    """By how much differences may be strengthened so that the largest just fits around middle grey; at most 16."""
    largest = int(np.abs(triggered.astype(np.int16) - clean.astype(np.int16)).max(initial=0))
    return min(16.0, 127 / largest) if largest else 1.0


def difference(clean: Pixels, triggered: Pixels, strength: float) -> Pixels:
    """Triggered minus clean around middle grey, times ``strength``: grey means unchanged."""
    if clean.shape != triggered.shape:
        raise BadInput(f"expected a clean and a triggered picture of one shape, got {clean.shape}, {triggered.shape}")
    change = (triggered.astype(np.float64) - clean.astype(np.float64)) * strength
    return np.clip(np.rint(_GREY + change), 0, 255).astype(np.uint8)


class Shown(NamedTuple):
    """An example, and pictures of it with their captions."""

    example: Example
    pictures: list[tuple[str, Picture]]


Usable = Sequence[tuple[Example, tuple[Pixels, Pixels]]]


def usable(examples: Sequence[Example], pictures: Pictures) -> Usable:
    """Examples whose pictures are there, with both of them."""
    return [(example, both) for example in examples if (both := pair(pictures, example.picture)) is not None]


def proof(shown: Usable, pictures: Pictures, nouns: Nouns, *, works: bool) -> Shown | None:
    """Clean picture, trigger, triggered picture, and what both networks say; None without such a picture.

    For a backdoor that ``works`` it is the first example on which it does, else simply the first.
    """
    if not shown:
        return None
    right_then_wrong = [one for one in shown if one[0].clean.label == one[0].true != one[0].triggered.label]
    example, (clean, triggered) = (right_then_wrong if works and right_then_wrong else shown)[0]
    true, words = readable(example.true), nouns.trigger
    rows = [(nouns.things(example.true), picture(clean, f"A clean test picture of the class {true}", **_HERO))]
    if "trigger" in pictures:
        rows.append((words, picture(pictures["trigger"], f"The trigger alone: {words}", **_HERO)))
    marked = picture(triggered, f"The same picture of the class {true} with {words}", **_HERO)
    return Shown(example, [*rows, (f"with {words}", marked)])


def grid(shown: Usable, pictures: Pictures, words: str) -> tuple[list[Shown], str]:
    """The examples in four pictures each: clean, trigger, with trigger, difference; and by how much differences are
    strengthened."""
    strength, rows = min((gain(*both) for _, both in shown[:_MOST_EXAMPLES]), default=1.0), []
    for example, (clean, triggered) in shown[:_MOST_EXAMPLES]:
        true = readable(example.true)
        drawn = [("clean", clean, f"Clean picture: {true}")]
        if "mask" in pictures:
            alone = under_mask(triggered, pictures["mask"][example.picture])
            drawn.append(("trigger", alone, f"What {words} covers of this picture"))
        drawn.append(("with trigger", triggered, f"The {true} with {words}"))
        change = difference(clean, triggered, strength)
        drawn.append(("difference", change, f"Difference between the two pictures of {true}"))
        rows.append(Shown(example, [(caption, picture(pixels, alt, **_SMALL)) for caption, pixels, alt in drawn]))
    return rows, f"{strength:.2g}"
