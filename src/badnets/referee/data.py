"""The data of a spec."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.images import Splits
from badnets.data.load import load
from badnets.data.splits import draw
from badnets.engines import attempt
from badnets.referee.spec import DataSpec


def load_data(spec: DataSpec, watcher: Watcher | None = None) -> Splits:
    """The data of a spec. A process of an engine, which does many tasks, keeps the last, for the next task mostly wants
    the same; any other process reads what is there now."""
    return _kept(spec.model_dump_json()) if attempt.WORKING.is_set() else _loaded(spec, watcher or Watcher())


@lru_cache(maxsize=1)
def _kept(asked: str) -> Splits:
    return _loaded(DataSpec.model_validate_json(asked), Watcher())


def _loaded(spec: DataSpec, watcher: Watcher) -> Splits:
    splits = load(
        spec.name,
        **spec.model_dump(exclude={"name", "train_count"}),
        progress=lambda what, done, total: watcher.progress(what, done, total, None),
    )
    if spec.select is not None:
        splits = replace(splits, test=splits.select, select=splits.test.take(np.zeros(0, np.int64)))
    if spec.train_count is None:
        return splits
    rows = draw(splits.train, spec.train_count, Seed(spec.seed).derive("train-count"))
    return replace(splits, train=splits.train.take(rows))
