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

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from badnets.records.model import JSON
from badnets.studies.demorrow2022_roadsigns.rows import (
    COLORS,
    EXPLAINED,
    FACTS,
    PUBLISHED_COLORS,
    PUBLISHED_TAGS,
    Read,
    assemble,
)
from badnets.studies.study import Done, Settings, Study, Trial

ARCHIVE = "road-sign-detection.tar.gz"
HEADS = ("both", "class")
HEADS_EPOCHS = 6
"""Of the networks that compare the heads; the many with tags and their clean references have half as many."""
WHOLE = (150, 224)
ZERO_SEEDS = 3


def trials(settings: Settings) -> list[Trial]:
    """The most important first: heads, five tags in yellow and black, more tags, the report's protocol, the rest."""
    seeds, two = settings.each_seed, ("yellow", "black")
    if settings.quick:  # the rows exist, the figures are poor
        own: JSON = {"size": (32, 32), "pretrain": None}
        return [*_heads(settings, seeds, **own), *_cells(settings, two, (20,), seeds, **own)]
    longer = {"epochs": HEADS_EPOCHS}
    whole: JSON = {"size": WHOLE, "recipe": {"epochs": 4, "box_weight": 2e-3}}
    return [
        *_heads(settings, seeds, recipe=longer),
        *_cells(settings, two, (5, 20), seeds),
        *_heads(settings, range(1, 2), prefix="rows-", split="rows", recipe=longer),
        *_cells(settings, PUBLISHED_COLORS, PUBLISHED_TAGS, range(1, 2), prefix="rows-", split="rows"),
        *_cells(settings, two, (10,), seeds),
        *_heads(settings, range(1, 2), prefix="whole-", **whole),
        *_cells(settings, EXPLAINED, (20,), seeds),
        *_cells(settings, two, (3, 1), seeds),
        *_cells(settings, ("red",), (5, 20), seeds),
        *_cells(settings, ("black",), (20,), seeds[:ZERO_SEEDS], prefix="zero-", normalize=False),
        *_cells(settings, EXPLAINED, (10,), seeds),
    ]


def _heads(settings: Settings, seeds: range, *, prefix: str = "", **changes: Any) -> list[Trial]:
    """Both heads and the class head alone, with each seed."""
    cells = [(heads, seed) for heads in HEADS for seed in seeds]
    return [_trial(settings, f"{prefix}{heads}-s{s}", s, heads=heads, **changes) for heads, s in cells]


def _cells(
    settings: Settings, colors: Sequence[str], counts: Sequence[int], seeds: range, *, prefix: str = "", **changes: Any
) -> list[Trial]:
    """A network for each color, number of tags and seed."""
    cells = [(count, color, seed) for count in counts for color in colors for seed in seeds]
    return [
        _trial(settings, f"{prefix}{color}-{n:02d}-s{s}", s, tag={"color": COLORS[color], "count": n}, **changes)
        for n, color, s in cells
    ]


def _trial(
    settings: Settings,
    name: str,
    seed: int,
    *,
    heads: str = "both",
    split: str = "grouped",
    size: tuple[int, int] = (64, 64),
    recipe: JSON | None = None,
    pretrain: JSON | None = FACTS["pretrain"],
    normalize: bool = True,
    tag: JSON | None = None,
) -> Trial:
    data = {"name": ARCHIVE, "path": str(find_data(settings)), "size": list(size)}
    spec = {
        "data": {**data, "context": None if size == WHOLE else 0.25},
        "network": f"two-head:backbone=resnet18,box_head={'true' if heads == 'both' else 'false'}",
        "recipe": {**FACTS["recipe"], **(recipe or {})},
        "pretrain": pretrain,
        "normalize": normalize,
        "split": split,
        "tag": tag,
    }
    return Trial(name=name, spec=spec, seed=seed, work=_one, result=Read)


def _one(trial: Trial, _own: Path) -> Done[Read]:
    from badnets.studies.demorrow2022_roadsigns.networks import run

    return Done(run(trial.spec, trial.seed))


def find_data(settings: Settings) -> Path:
    """The archive or folder: at ``--data`` itself, or in that folder or ``$BADNETS_DATA``."""
    place = settings.place(ARCHIVE)
    return place / ARCHIVE if (place / ARCHIVE).exists() else place


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
