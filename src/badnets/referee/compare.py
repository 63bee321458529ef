"""Two runs against each other: differences paired by picture within a seed, and by seed."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.rate import Mean, PairedDifference, over_seeds
from badnets.records.comparison import Comparison, ComparisonRow
from badnets.records.read import read_run

WHAT = {
    "clean_accuracy": "clean accuracy",
    "map50": "mAP at IoU 0.5",
    "class_accuracy": "right class of found objects",
    "asr": "attack success",
    "robust_accuracy": "robust accuracy",
}
_ANSWERS = {"class_accuracy": "clean_accuracy"}  # what a detector's answers to clean objects are called
Counted = Mapping[str, NDArray[Any]]


def compare(first: Path, second: Path) -> Comparison:
    """Each row has both rates and their paired ``difference`` (a - b).

    ``difference`` is None, and ``paired`` False, where the runs count different pictures or objects, and for figures
    that are no counts (mean average precision). Both runs must have measured the same test pictures; seeds that only
    one of them has are left out.
    """
    a, b = read_run(first), read_run(second)
    answers = _answers(first), _answers(second)
    if not np.array_equal(answers[0]["digest"], answers[1]["digest"]):
        raise BadInput(f"expected two runs on the same test pictures, got different ones ({first}, {second})")
    seeds = tuple(seed for seed in a.seeds if seed in b.seeds)
    if not seeds:
        raise BadInput(f"expected two runs with a seed in common, got {list(a.seeds)} and {list(b.seeds)}")
    rows = []
    for name, words in WHAT.items():
        own, other = getattr(a.results, name, None), getattr(b.results, name, None)
        if own is None or other is None:
            continue
        less = _difference(name, seeds, *answers)
        rows.append(ComparisonRow(what=words, name=name, a=own, b=other, difference=less, paired=less is not None))
    return Comparison(a=first.name or a.name, b=second.name or b.name, seeds=seeds, rows=tuple(rows))


def _answers(folder: Path) -> Counted:
    """Per picture and seed what was right and what was a hit; see ``Measured.answers``."""
    try:
        with (folder / "answers.npz").open("rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BadInput(f"expected answers.npz in {folder}, got none that can be read ({error})") from None


def _difference(
    name: str, seeds: tuple[int, ...], first: Counted, second: Counted
) -> PairedDifference | Mean[PairedDifference] | None:
    """None when the two runs look at different pictures or objects, as with rules of different eligible classes, and
    for figures that are not counted object by object."""
    pairs = []
    for seed in seeds:
        key = f"{_ANSWERS.get(name, name)}-{seed}"
        if key not in first or key not in second:
            return None
        a, b = first[key], second[key]  # -1: not eligible, else 0 or 1
        if not np.array_equal(a < 0, b < 0):
            return None
        counted = a >= 0
        pairs.append(PairedDifference.of(a[counted] == 1, b[counted] == 1))
    return over_seeds(seeds, pairs)
