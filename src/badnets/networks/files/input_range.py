"""The range of pixels that a foreign network was trained on: as named, or found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.classes import align_classes
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork

Normalization = tuple[list[float], list[float]]
"""Mean and std per channel on the 0..1 scale, as in ``ImageNetwork``."""

_NAMED = {"0-1": (0.0, 1.0), "0-255": (0.0, 1 / 255), "-1-1": (0.5, 0.5)}
_IMAGENET = "0.485,0.456,0.406/0.229,0.224,0.225"
_PICTURES = 1000  # more do not change which range is best
FORMS = f"{', '.join(_NAMED)} or MEAN/STD such as {_IMAGENET}"


def parse_range(text: str, channels: int) -> Normalization:
    """``0-1``, ``0-255``, ``-1-1``, or ``mean/std`` (numbers on the 0..1 scale, one or one for each channel)."""
    if text in _NAMED:
        mean, std = _NAMED[text]
        return [mean] * channels, [std] * channels
    try:
        means, stds = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise BadInput(f"expected an input range {FORMS}, got {text!r}") from None
    if not (all(np.isfinite([*means, *stds])) and min(stds) > 0):
        raise BadInput(f"expected finite means and positive deviations as an input range, got {text!r}")
    if len(means) not in (1, channels) or len(stds) not in (1, channels):
        raise BadInput(f"expected an input range MEAN/STD with 1 or {channels} numbers each, got {text!r}")
    return means * (channels // len(means)), stds * (channels // len(stds))


def as_range(value: str | tuple[Sequence[float], Sequence[float]], channels: int) -> Normalization:
    """``parse_range`` of a text, or mean and deviation as numbers, one for each channel."""
    if not isinstance(value, str):
        value = "/".join(",".join(map(repr, map(float, part))) for part in value)
    return parse_range(value, channels)


def find_range(
    make: Callable[[Normalization], ImageNetwork], clean: ImageData, channels: int
) -> tuple[str, dict[str, Rate]]:
    """The range with which the network is right most often on (at most 1,000 of) ``clean``, and the accuracy of each.

    Tried are 0-1, 0-255, -1-1 and, for color, ImageNet's mean and std; of equals the first is taken.
    Raises ``CannotTell`` when none gives a single right answer.
    """
    rows = np.unique(np.linspace(0, len(clean) - 1, min(len(clean), _PICTURES)).astype(np.int64))
    tried: dict[str, Rate] = {}
    for text in (*_NAMED, *([_IMAGENET] if channels == 3 else [])):
        network = make(parse_range(text, channels))
        some = align_classes(clean.take(rows), network)
        tried[text] = Rate.of(predict_data(network, some).labels == some.labels)
    best = max(tried, key=lambda text: tried[text].hits)
    if not tried[best].hits:
        raise CannotTell(
            f"expected right answers on {clean.name} with some input range, got none of {len(rows)} with each of "
            f"{', '.join(tried)}; name the range (--input-range), or other data"
        )
    return best, tried
