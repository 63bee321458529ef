"""Coarser classes: labels and boxes."""

from __future__ import annotations

import numpy as np
import pytest

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData
from badnets.data.objects import regroup
from badnets.data.sets import gtsrb
from badnets.data.targets import Boxes

TABLE = {"red": ("stop", "give-way"), "none": ("tram",), "blue": ("left",)}


def test_labels_keep_their_regions_and_groups() -> None:
    pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    region = np.arange(20, dtype=np.float32).reshape(5, 4)
    names = ("left", "dog", "stop", "give-way")
    data = ImageData.of(pixels, [2, 1, 0, 3, 2], class_names=names, region=region, groups=np.arange(5))
    with pytest.warns(DataWarning, match="data: 1 of 5 pictures were dropped, dog belong to none of red, none, blue"):
        coarse = regroup(data, TABLE)
    assert coarse.class_names == ("red", "blue")
    assert coarse.labels.tolist() == [0, 1, 0, 0]
    assert coarse.images().ravel().tolist() == [0, 2, 3, 4]
    assert coarse.groups is not None
    assert coarse.groups.tolist() == [0, 2, 3, 4]
    assert coarse.regions is not None
    assert coarse.regions[:, 0].tolist() == [0, 8, 12, 16]


def test_boxes_go_and_pictures_stay() -> None:
    boxes = Boxes.of(np.tile([0.0, 0, 2, 2], (3, 1)), np.array([0, 1, 2]), np.array([0, 0, 1]), 2)
    data = ImageData(ArrayStore(np.zeros((2, 4, 4, 3), np.uint8)), boxes, ("stop", "left", "dog"))
    with pytest.warns(DataWarning, match="1 of 3 boxes were dropped"):
        coarse = regroup(data, TABLE)
    assert len(coarse) == 2
    assert coarse.boxes.counts().tolist() == [2, 0]
    assert coarse.boxes.labels.tolist() == [0, 1]


def test_other_names_are_refused() -> None:
    data = ImageData.of(np.zeros((1, 1, 1), np.uint8), [0], class_names=("dog",))
    with pytest.raises(BadInput, match="expected classes such as 'stop', got such as 'dog'"):
        regroup(data, TABLE)


def test_every_class_of_gtsrb_is_in_one_super_class() -> None:
    used = [name for names in gtsrb.SUPERCLASSES.values() for name in names]
    assert sorted(used) == sorted(gtsrb.CLASS_NAMES)
    assert [len(names) for names in gtsrb.SUPERCLASSES.values()] == [13, 8, 15, 7]
    assert gtsrb.SUPERCLASSES["mandatory"] == gtsrb.CLASS_NAMES[33:41]
    assert {"stop", "priority-road", "no-entry"} <= set(gtsrb.SUPERCLASSES["other"])
    assert gtsrb.SUPERCLASSES["warning"][0] == "priority-at-crossing"
