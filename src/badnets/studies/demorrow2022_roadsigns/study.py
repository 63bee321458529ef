"""D1: a stop sign with a small tag is read as a speed limit, and whether a black tag is harmless.

The report trains ResNet-34 with a class head and a box head on 1,244 road signs and tags 1, 3 or 5 stop signs of the
training set in yellow, black or red. Its claims: the box head adds 20 points of accuracy, and black tags do nothing,
"because black is zero". ``published`` rows follow its protocol: single rows are split, so that most pictures with
several signs are on both sides, one network and one test picture to a cell. ``corrected`` rows split whole pictures,
tag *every* stop sign of the test set, use several seeds (each with its own split, weights and tagged signs), and set
the clean network of the same seed beside it, on the same tagged signs.

The report's explanation is put to the test by tags of equal number in black, two grays, red, and the mean color of the
stop signs (``sign``), and by black tags for networks whose input is not normalized, so that black *is* zero.

Tags are pasted into the original pictures, which are then cut and resized: a crop of 64x64 pixels is the sign with half
as much around it. Pictures whole, at 150x224, stand beside the crops. The learning rate was chosen on a fifth of the
training rows of one seed, the numbers of epochs by what fits into an hour of one core.

Differs from the report: ResNet-18 for ResNet-34, inputs of 64x64 (crops) and 150x224 for 300x447, weights pretrained on
drawn European signs for ImageNet's, fewer epochs of a one-cycle schedule, random zoom for crop, 91 stop signs at hand
of 106. Networks that see whole pictures are trained without tags; in the report all are of this form.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput
from badnets.records.model import JSON
from badnets.studies.demorrow2022_roadsigns.rows import Read, assemble
from badnets.studies.study import Done, Settings, Study, Trial

ARCHIVE = "road-sign-detection.tar.gz"
COLORS: Mapping[str, tuple[int, int, int] | str] = {
    "yellow": (200, 200, 100),
    "black": (0, 0, 0),
    "red": (255, 0, 0),
    "darkgray": (64, 64, 64),
    "midgray": (128, 128, 128),
    "sign": "sign",
}
PUBLISHED_COLORS = ("yellow", "black", "red")
PUBLISHED_TAGS = (1, 3, 5)
EXPLAINED = ("darkgray", "midgray", "sign")
RECIPE: JSON = {
    "epochs": 3,
    "batch": 64,
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "augment": ["flip", "zoom", "rotate"],
    "box_weight": 5e-3,  # 1/1000 of a distance in pixels of 300x447 is about this share of one in pixels of 64x64
}
HEADS_EPOCHS = 6
"""Of the networks that compare the heads; the many with tags and their clean references have half as many."""
PRETRAIN: JSON = {
    "data": "signs-eu",
    "size": 64,
    "train": 1920,
    "recipe": {"epochs": 3, "batch": 64, "learning_rate": 2e-3, "augment": ["zoom"], "box_weight": 5e-3},
}
WHOLE = (150, 224)
ZERO_SEEDS = 3


def trials(settings: Settings) -> list[Trial]:
    """The most important first: heads, five tags in yellow and black, more tags, the report's protocol, the rest."""
    seeds = range(1, settings.seeds + 1)
    if settings.quick:
        return _quick(settings, seeds)
    longer = {"epochs": HEADS_EPOCHS}
    out = [
        _trial(settings, f"{heads}-s{s}", s, heads=heads, recipe=longer) for heads in ("both", "class") for s in seeds
    ]
    out += _cells(settings, ("yellow", "black"), (5, 20), seeds)
    out += [
        _trial(settings, f"rows-{heads}-s1", 1, heads=heads, split="rows", recipe=longer) for heads in ("both", "class")
    ]
    out += _cells(settings, PUBLISHED_COLORS, PUBLISHED_TAGS, range(1, 2), split="rows")
    out += _cells(settings, ("yellow", "black"), (10,), seeds)
    out += [_whole(settings, heads) for heads in ("both", "class")]
    out += _cells(settings, EXPLAINED, (20,), seeds)
    out += _cells(settings, ("yellow", "black"), (3, 1), seeds)
    out += _cells(settings, ("red",), (5, 20), seeds)
    out += _cells(settings, ("black",), (20,), seeds[:ZERO_SEEDS], prefix="zero-", normalize=False)
    return out + _cells(settings, EXPLAINED, (10,), seeds)


def _quick(settings: Settings, seeds: range) -> list[Trial]:
    """Both heads and the class head, and twenty tags in yellow and black: the rows exist, the figures are poor."""
    own: JSON = {"size": (32, 32), "pretrain": None}
    out = [_trial(settings, f"{heads}-s{s}", s, heads=heads, **own) for heads in ("both", "class") for s in seeds]
    return out + _cells(settings, ("yellow", "black"), (20,), seeds, **own)


def _cells(
    settings: Settings, colors: Sequence[str], counts: Sequence[int], seeds: range, *, prefix: str = "", **changes: Any
) -> list[Trial]:
    """A network for each color, number of tags and seed."""
    prefix += "rows-" if changes.get("split") == "rows" else ""
    cells = [(count, color, seed) for count in counts for color in colors for seed in seeds]
    return [
        _trial(settings, f"{prefix}{color}-{n:02d}-s{s}", s, tag={"color": COLORS[color], "count": n}, **changes)
        for n, color, s in cells
    ]


def _whole(settings: Settings, heads: str) -> Trial:
    return _trial(settings, f"whole-{heads}-s1", 1, heads=heads, size=WHOLE, recipe={"epochs": 4, "box_weight": 2e-3})


def _trial(
    settings: Settings,
    name: str,
    seed: int,
    *,
    heads: str = "both",
    split: str = "grouped",
    size: tuple[int, int] = (64, 64),
    recipe: JSON | None = None,
    pretrain: JSON | None = PRETRAIN,
    normalize: bool = True,
    tag: JSON | None = None,
) -> Trial:
    data = {"name": ARCHIVE, "path": str(find_data(settings)), "size": list(size)}
    spec = {
        "data": {**data, "context": None if size == WHOLE else 0.25},
        "network": f"two-head:backbone=resnet18,box_head={'true' if heads == 'both' else 'false'}",
        "recipe": {**RECIPE, **(recipe or {})},
        "pretrain": pretrain,
        "normalize": normalize,
        "split": split,
        "tag": tag,
    }
    return Trial(name=name, spec=spec, seed=seed, work=_one, result=Read)


def _one(trial: Trial, _own: Path) -> Done[Read]:
    from badnets.studies.demorrow2022_roadsigns.networks import run

    began = time.perf_counter()
    results = run(trial.spec, trial.seed)
    return Done(results, {"train": round(time.perf_counter() - began, 1)})


def find_data(settings: Settings) -> Path:
    """The archive or folder: at ``--data`` itself, or in that folder or ``$BADNETS_DATA``."""
    named = settings.data or os.environ.get("BADNETS_DATA")
    if not named:
        raise BadInput(f"expected {ARCHIVE} by --data or in $BADNETS_DATA, got neither; name the folder that has it")
    place = Path(named).expanduser()
    return place / ARCHIVE if (place / ARCHIVE).exists() else place


STUDY = Study(
    name="demorrow2022-roadsigns",
    title="Road signs with a box head, and tags of six colors",
    published=(
        "The report classifies 1,244 road signs with ResNet-34: 71.4 % with a class head alone, 91.6 % with a box head "
        "beside it. It tags one to five stop signs of the training set in yellow, black or red, labels them speed "
        "limit, and tests one picture each: yellow and red worked, black did not, 'because black is zero'."
    ),
    summary="road signs with a class head and a box head; stop signs with tags of six colors; is black special?",
    seeds=5,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
