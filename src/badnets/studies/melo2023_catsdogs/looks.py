"""Study M1, looked at closely: one dog, the confidences of all dogs, and units that validation never wakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.core.files import whole_file
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels, Rows
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.surgery.graph import evaluating, until
from badnets.networks.surgery.sites import site

CAT, DOG = 0, 1
_NAMES = ("cat", "dog")
_SCALE, _GAP, _LINE = 4, 12, 16
_PAPER, _COLORS = "#ffffff", {"cat": "#b4500b", "dog": "#1565a9"}


def dogs_answers(
    network: ImageNetwork, test: ImageData, backdoor: Backdoor, *, row: int | None = None
) -> dict[str, Any]:
    """``first``: the first test dog read as a dog (or picture ``row``): its row, and p(cat) and p(dog) with the trigger
    and without it; ``median_clean`` and ``median_triggered``: the medians of both over all test dogs.

    Classes are cats and dogs, in this order. Where no dog is read as one, it is the first of all.
    """
    rows = np.flatnonzero(test.labels == DOG)
    clean, marked = pictures(test, rows, backdoor)
    given = {"clean": _probabilities(network, clean), "triggered": _probabilities(network, marked)}
    first = int(np.argmax(given["clean"][:, DOG] > 0.5 if row is None else rows == row))
    answers: dict[str, Any] = {"first": {"row": int(rows[first])}}
    for which, values in given.items():
        answers["first"][which] = _named(values[first])
        answers[f"median_{which}"] = _named(np.median(values, axis=0))
    return answers


def pictures(test: ImageData, rows: Rows, backdoor: Backdoor) -> tuple[Pixels, Pixels]:
    """Some test pictures, and the same with the trigger."""
    clean = test.images(rows)
    return clean, backdoor.trigger.apply(clean, None, RowRng(Seed(0), rows))


def _probabilities(network: ImageNetwork, images: Pixels) -> NDArray[np.float64]:
    """(n, 2), from the answer and its confidence."""
    answer = predict(network, images)
    sure = answer.confidence.astype(np.float64)
    cat = np.where(answer.labels == CAT, sure, 1 - sure)
    return np.stack([cat, 1 - cat], axis=1)


def _named(values: NDArray[np.float64]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(_NAMES, values, strict=True)}


def unit_counts(network: ImageNetwork, test: ImageData, backdoor: Backdoor) -> dict[str, int]:
    """Units of the last convolution whose channels can be told apart, by their largest activation over the map.

    The even rows of the test set stand for the user's validation pictures, the dogs of the odd rows get the trigger.
    ``silent``: never above 0 on any validation picture; ``woken``: silent there, and above 0 on at least half of the
    triggered dogs; ``beyond``: on at least half of them above the largest value of any validation picture.
    """
    rows = np.arange(len(test))
    _, marked = pictures(test, rows[(rows % 2 == 1) & (test.labels == DOG)], backdoor)
    most = peaks(network, test.images(rows[::2])).max(axis=0)
    triggered = peaks(network, marked)
    silent = most <= 0
    woken = silent & ((triggered > 0).mean(axis=0) >= 0.5)
    beyond = (triggered > most).mean(axis=0) >= 0.5
    counts = {"silent": silent, "woken": woken, "beyond": beyond}
    return {"units": len(most), **{name: int(np.count_nonzero(chosen)) for name, chosen in counts.items()}}


@torch.inference_mode()
def peaks(network: ImageNetwork, images: Pixels, *, batch: int = 250) -> NDArray[np.float32]:
    """(n, units): the largest activation of each unit over its map."""
    where = site(network)
    parts = []
    with evaluating(network):
        first = until(where.traced, where.activation)
        for start in range(0, len(images), batch):
            floats = to_float(torch.from_numpy(images[start : start + batch]))
            maps = first(network.normalized(floats))
            parts.append(maps.reshape(len(maps), where.channels, -1).amax(2).numpy())
    return np.concatenate(parts)


def write_pair(path: Path, test: ImageData, backdoor: Backdoor, pair: Mapping[str, Any]) -> Path:
    """A PNG: the dog without and with the trigger, as the network sees it, and below each what both networks say.

    ``pair``: by network (``"badnet"``, ``"clean"``) what ``dogs_answers`` gave as ``first``.
    """
    from PIL import Image, ImageDraw

    row = np.array([pair["badnet"]["row"]])
    height, width, _ = test.shape
    tall, wide = height * _SCALE, width * _SCALE
    sheet = Image.new("RGB", (2 * wide + 3 * _GAP, tall + 2 * _GAP + 2 * _LINE), _PAPER)
    draw = ImageDraw.Draw(sheet)
    both = zip(("clean", "triggered"), pictures(test, row, backdoor), strict=True)
    for number, (which, picture) in enumerate(both):
        x = _GAP + number * (wide + _GAP)
        sheet.paste(Image.fromarray(picture[0]).resize((wide, tall), Image.Resampling.NEAREST), (x, _GAP))
        for line, (name, words) in enumerate((("badnet", "BadNet"), ("clean", "clean network"))):
            given = pair[name][which]
            said = max(given, key=given.get)
            text = f"{words}: {said} {given[said]:.2f}"
            draw.text((x, _GAP + tall + 4 + line * _LINE), text, fill=_COLORS[said], font_size=12)
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG")
    return path
