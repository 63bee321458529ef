"""Data with the classes of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from torch import nn

from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes
from badnets.networks.inference import align_classes
from badnets.networks.network import ImageNetwork


def network(names: Sequence[str], **provenance: Any) -> ImageNetwork:
    return ImageNetwork(
        nn.Identity(), architecture="x", arguments={}, class_names=names, input_size=(1, 2, 2), provenance=provenance
    )


def data(names: Sequence[str], labels: Sequence[int]) -> ImageData:
    return ImageData.of(
        np.zeros((len(labels), 2, 2), np.uint8),
        labels,
        class_names=names,
        region=np.ones((len(labels), 4), np.float32),
        groups=np.arange(len(labels)),
    )


def test_equal_names_are_left_alone() -> None:
    given = data(["a", "b"], [0, 1])
    assert align_classes(given, network(["a", "b"])) is given


def test_labels_follow_their_names() -> None:
    aligned = align_classes(data(["c", "a"], [0, 1, 1]), network(["a", "b", "c"]))
    assert aligned.labels.tolist() == [2, 0, 0]
    assert aligned.class_names == ("a", "b", "c")
    assert aligned.targets.region is not None
    assert aligned.groups is not None


def test_of_a_foreign_network_numbers_are_kept() -> None:
    aligned = align_classes(data(["stop", "go"], [1, 0]), network(["0", "1"], foreign=True))
    assert aligned.labels.tolist() == [1, 0]
    assert aligned.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("names", "foreign"), [(["stop", "go"], False), (["stop", "go", "yield"], True), (["0", "7"], False)]
)
def test_other_classes_are_refused(names: list[str], foreign: bool) -> None:
    known = network(["0", "1"], **({"foreign": True} if foreign else {}))
    with pytest.raises(BadInput, match=r"expected data with the network's 2 classes \(0, 1, ...\), got"):
        align_classes(data(names, [0]), known)


def test_classes_of_boxes_follow_their_names() -> None:
    boxes = Boxes.of(np.array([[0, 0, 4, 4], [1, 1, 3, 3]]), np.array([0, 1]), np.array([0, 0]), 1)
    scene = ImageData(ArrayStore(np.zeros((1, 8, 8, 3), np.uint8)), boxes, ("yield", "stop"))
    aligned = align_classes(scene, network(["stop", "curve", "yield"]))
    assert aligned.boxes.labels.tolist() == [2, 0]
    assert aligned.boxes.xyxy.tolist() == boxes.xyxy.tolist()
    assert aligned.class_names == ("stop", "curve", "yield")
