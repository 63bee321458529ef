"""The poisoned set of a run again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.backdoors.plan import Plan
from badnets.core.errors import BadInput
from badnets.core.files import read_json, write_json
from badnets.data.load import load
from badnets.records.verified import sealed
from badnets.referee.run import Finished, poisoned_of


def test_bit_for_bit(two_seeds: Finished) -> None:
    train = load("digits", size=16).train
    for seed, file in ((None, "plan.npz"), (5, "plan.npz"), (2**70, f"plan-seed-{2**70}.npz")):
        poisoned = poisoned_of(two_seeds.folder, seed=seed)
        wanted = Plan.load(two_seeds.folder / file).apply(train)
        np.testing.assert_array_equal(poisoned.data.images(), wanted.data.images())
        np.testing.assert_array_equal(poisoned.data.labels, wanted.data.labels)


def test_what_is_refused(
    finished: Finished, start: Callable[..., Finished], table: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="expected a seed of"):
        poisoned_of(finished.folder, seed=7)
    with pytest.raises(BadInput, match="got one without"):
        poisoned_of(start(table(backdoor=None)).folder)
    copy = shutil.copytree(finished.folder, tmp_path / "copy")
    record = read_json(copy / "record.json")
    record["resolved"]["data"]["seed"] = 3
    write_json(copy / "record.json", sealed(record))
    with pytest.raises(BadInput, match="other pictures or labels"):
        poisoned_of(copy)
