"""The data of a spec, in the process of somebody who asks and in those of an engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from badnets.data.images import ImageData
from badnets.referee import data
from badnets.referee.spec import DataSpec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of each of two classes."""
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / "set" / name / f"{number}.png")
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(data.attempt, "WORKING", Event())
    data._kept.cache_clear()
    yield
    data._kept.cache_clear()


def pictures(folder: Path, **more: int) -> int:
    """How many there are to train on and to test."""
    splits = data.load_data(DataSpec.model_validate({"name": str(folder), "test_share": 0.34, **more}))
    return len(splits.train) + len(splits.test)


def add_one(folder: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "a" / "more.png")


def test_what_is_there_now_is_read(folder: Path) -> None:
    assert pictures(folder) == 6
    add_one(folder)
    assert pictures(folder) == 7


def test_a_process_of_an_engine_reads_the_same_data_once(folder: Path) -> None:
    data.attempt.WORKING.set()
    assert pictures(folder) == 6
    add_one(folder)
    assert pictures(folder) == 6
    assert pictures(folder, train_count=2) < 6
    assert pictures(folder) == 7


def test_a_select_set_is_measured_on_and_neither_trained_nor_tested_on(folder: Path) -> None:
    for number in range(3, 12):
        for name in ("a", "b"):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / name / f"{number}.png")
    asked = {"name": str(folder), "test_share": 0.34}
    whole, chosen = (data.load_data(DataSpec.model_validate({**asked, **more})) for more in ({}, {"select": 0.25}))

    def those(images: ImageData) -> set[bytes]:
        return {b"%d" % label + image.tobytes() for label, image in zip(images.labels, images.images(), strict=True)}

    train, select = those(chosen.train), those(chosen.test)
    assert select
    assert not select & train
    assert select | train == those(whole.train)
    assert not len(chosen.select)


def test_a_spec_without_a_select_set_is_what_it_was_before_there_was_one() -> None:
    assert "select" not in DataSpec.model_validate({"name": "mnist"}).model_dump()
    assert DataSpec.model_validate({"name": "mnist", "select": 0.2}).model_dump(mode="json")["select"] == 0.2
