"""Two runs against each other: differences paired by picture within a seed, and by seed."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.old import mean_difference
from badnets.core.rate import PairedDifference
from badnets.referee.record import RunRecord
from badnets.referee.store import read_record

FORMAT = "badnets/comparison/1"
WHAT = {
    "clean_accuracy": "clean accuracy",
    "map50": "mAP at IoU 0.5",
    "class_accuracy": "right class of found objects",
    "asr": "attack success",
    "robust_accuracy": "robust accuracy",
}
_ANSWERS = {"class_accuracy": "clean_accuracy"}  # what a detector's answers to clean objects are called


def compare(first: Path, second: Path) -> dict[str, Any]:
    """``{"format", "a", "b", "seeds", "rows"}``; each row has both rates and their paired ``difference`` (a - b).

    ``difference`` is None, and ``paired`` False, where the runs count different pictures or objects, and for figures
    that are no counts (mean average precision). Both runs must have measured the same test pictures; seeds that only
    one of them has are left out.
    """
    records = [read_record(first), read_record(second)]
    answers = [_answers(first), _answers(second)]
    if not np.array_equal(answers[0]["digest"], answers[1]["digest"]):
        raise BadInput(f"expected two runs on the same test pictures, got different ones ({first}, {second})")
    seeds = [seed for seed in records[0].seeds if seed in records[1].seeds]
    if not seeds:
        raise BadInput(f"expected two runs with a seed in common, got {records[0].seeds} and {records[1].seeds}")
    rows = []
    for name, words in WHAT.items():
        a, b = records[0].results.get(name), records[1].results.get(name)
        if a is None or b is None:
            continue
        pairs = [_pair(name, seed, answers) for seed in seeds]
        difference = None if any(p is None for p in pairs) else mean_difference(seeds, [p for p in pairs if p])
        paired = difference is not None
        rows.append({"what": words, "name": name, "a": a, "b": b, "difference": difference, "paired": paired})
    titles = {"a": _title(records[0], first), "b": _title(records[1], second)}
    return {"format": FORMAT, **titles, "seeds": seeds, "rows": rows}


def _title(record: RunRecord, folder: Path) -> str:
    return folder.name or record.name


def _answers(folder: Path) -> dict[str, NDArray[Any]]:
    """Per picture and seed what was right and what was a hit; see ``run.save_answers``."""
    try:
        with (folder / "answers.npz").open("rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BadInput(f"expected answers.npz in {folder}, got none that can be read ({error})") from None


def _pair(name: str, seed: int, answers: list[dict[str, NDArray[Any]]]) -> PairedDifference | None:
    """None when the two runs look at different pictures or objects, as with rules of different eligible classes, and
    for figures that are not counted object by object."""
    key = f"{_ANSWERS.get(name, name)}-{seed}"
    if any(key not in given for given in answers):
        return None
    a, b = (given[key] for given in answers)  # -1: not eligible, else 0 or 1
    if not np.array_equal(a < 0, b < 0):
        return None
    counted = a >= 0
    return PairedDifference.of(a[counted] == 1, b[counted] == 1)
