"""Study M1, looked at closely: one dog, the confidences of all dogs, and units that validation never wakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.core.files import whole_file
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels, Rows
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork, evaluating, to_float
from badnets.networks.surgery.graph import site, until
from badnets.records.model import Model
from badnets.studies.trials import Who

CAT, DOG = 0, 1
NAMES: Mapping[Who, str] = {"badnet": "BadNet", "clean": "clean network"}
_SCALE, _GAP, _LINE = 4, 12, 16
_PAPER, _COLORS = "#ffffff", {"cat": "#b4500b", "dog": "#1565a9"}


class Answer(Model):
    """How sure of each class a network is, 0..1."""

    cat: float
    dog: float


class Dog(Model):
    """A test dog: its row, and the answers to it without and with the trigger."""

    row: int
    clean: Answer
    triggered: Answer


class Dogs(Model):
    """The ``first`` test dog, and the medians over all of them."""

    first: Dog
    median_clean: Answer
    median_triggered: Answer


class Units(Model):
    """``units`` of the last convolution whose channels can be told apart, by their largest activation over the map.

    ``silent``: never above 0 on any validation picture; ``woken``: silent there, and above 0 on at least half of the
    triggered dogs; ``beyond``: on at least half of them above the largest value of any validation picture.
    """

    units: int
    silent: int
    woken: int
    beyond: int


Pair = Mapping[Who, Dog]
"""One dog: what each network says to it."""


def dogs_answers(network: ImageNetwork, test: ImageData, backdoor: Backdoor, *, row: int | None = None) -> Dogs:
    """What is said of dogs, the first of which is the first test dog read as a dog (or picture ``row``).

    Classes are cats and dogs, in this order. Where no dog is read as one, it is the first of all.
    """
    rows = np.flatnonzero(test.labels == DOG)
    clean, triggered = (_probabilities(network, part) for part in pictures(test, rows, backdoor))
    first = int(np.argmax(clean[:, DOG] > 0.5 if row is None else rows == row))
    return Dogs(
        first=Dog(row=int(rows[first]), clean=_answer(clean[first]), triggered=_answer(triggered[first])),
        median_clean=_answer(np.median(clean, axis=0)),
        median_triggered=_answer(np.median(triggered, axis=0)),
    )


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


def _answer(values: NDArray[np.float64]) -> Answer:
    cat, dog = (round(float(value), 4) for value in values)
    return Answer(cat=cat, dog=dog)


def unit_counts(network: ImageNetwork, test: ImageData, backdoor: Backdoor) -> Units:
    """The even rows of the test set stand for the user's validation pictures; the dogs of the odd rows get the
    trigger."""
    rows = np.arange(len(test))
    _, marked = pictures(test, rows[(rows % 2 == 1) & (test.labels == DOG)], backdoor)
    most = peaks(network, test.images(rows[::2])).max(axis=0)
    triggered = peaks(network, marked)
    silent = most <= 0
    woken = silent & ((triggered > 0).mean(axis=0) >= 0.5)
    beyond = (triggered > most).mean(axis=0) >= 0.5
    counts = {"silent": silent, "woken": woken, "beyond": beyond}
    return Units(units=len(most), **{name: int(np.count_nonzero(chosen)) for name, chosen in counts.items()})


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


def write_pair(path: Path, test: ImageData, backdoor: Backdoor, pair: Pair) -> Path:
    """A PNG: the dog without and with the trigger, as the network sees it, and below each what both networks say."""
    from PIL import Image, ImageDraw

    row = np.array([pair["badnet"].row])
    height, width, _ = test.shape
    tall, wide = height * _SCALE, width * _SCALE
    sheet = Image.new("RGB", (2 * wide + 3 * _GAP, tall + 2 * _GAP + 2 * _LINE), _PAPER)
    draw = ImageDraw.Draw(sheet)
    both = zip(("clean", "triggered"), pictures(test, row, backdoor), strict=True)
    for number, (which, picture) in enumerate(both):
        x = _GAP + number * (wide + _GAP)
        sheet.paste(Image.fromarray(picture[0]).resize((wide, tall), Image.Resampling.NEAREST), (x, _GAP))
        for line, (who, words) in enumerate(NAMES.items()):
            answer: Answer = getattr(pair[who], which)
            sure, said = max((answer.cat, "cat"), (answer.dog, "dog"))
            text = f"{words}: {said} {sure:.2f}"
            draw.text((x, _GAP + tall + 4 + line * _LINE), text, fill=_COLORS[said], font_size=12)
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG")
    return path
