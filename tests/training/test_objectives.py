"""What networks are trained towards: the right targets for the right pictures, after shuffling and augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes
from badnets.networks.architectures.faster_rcnn import Wanted
from badnets.training.objectives import OBJECTIVES, Classify, Detect, check_targets
from badnets.training.recipe import Recipe

CPU = torch.device("cpu")
NAMES = ("stop", "go", "left")
SIDE = 40


def boxed(counts: list[int]) -> ImageData:
    """Pictures with so many boxes each, all different, in a picture of 40x40."""
    m = sum(counts)
    corner = np.arange(2 * m).reshape(m, 2) % 19
    boxes = np.concatenate([corner, corner + 10 + np.arange(m)[:, None] % 7], 1)
    image = np.repeat(np.arange(len(counts)), counts)
    targets = Boxes.of(boxes, np.arange(m) % 3, image, len(counts))
    return ImageData(ArrayStore(np.zeros((len(counts), SIDE, SIDE, 3), np.uint8)), targets, NAMES, name="made")


def moved(*shifts: tuple[float, float]) -> Tensor:
    """Matrices (n, 2, 3): each picture moved right and down."""
    return torch.tensor([[[1.0, 0, x], [0, 1, y]] for x, y in shifts])


class Keeper(nn.Module):
    """Keeps what it is told, and gives losses that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Wanted] = []

    def forward(self, images: Tensor, told: Wanted) -> dict[str, Tensor]:
        self.told.append(told)
        return {"a": images.sum() * 0 + 1.5, "b": torch.tensor(2.0)}


def told(data: ImageData, rows: list[int], moves: list[Tensor] | None = None) -> list[dict[str, list[Any]]]:
    """What a detector is told about a batch."""
    model = Keeper()
    objective = Detect(data, Recipe(), CPU)
    images = torch.zeros(len(rows), 3, SIDE, SIDE)
    loss, right = objective(model, images, torch.tensor(rows), None, moves or [])
    assert (float(loss), right) == (3.5, None)
    (wanted,) = model.told
    return [{name: tensor.tolist() for name, tensor in part.items()} for part in wanted.pictures]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8).filter(any), st.data())
def test_each_picture_gets_its_own_boxes_in_any_order(counts: list[int], draw: st.DataObject) -> None:
    data = boxed(counts)
    rows = draw.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=10))
    for row, given_ in zip(rows, told(data, rows), strict=True):
        own = data.boxes.image == row
        assert given_["boxes"] == data.boxes.xyxy[own].tolist()
        assert given_["labels"] == (data.boxes.labels[own] + 1).tolist()


def test_boxes_follow_the_augmentation_of_their_picture() -> None:
    data = boxed([1, 2])
    first, second = told(data, [1, 0], [moved((3, 0), (0, -2)), moved((1, 1), (0, 0))])
    assert first["boxes"] == (data.boxes.xyxy[1:] + np.array([4, 1, 4, 1])).tolist()
    assert second["boxes"] == [[0, 0, 10, 9]]  # cut at the picture's edge


def test_an_object_that_augmentation_moved_out_of_sight_is_no_longer_wanted() -> None:
    data = boxed([2, 1])
    first, second = told(data, [0, 1], [moved((-9, 0), (100, 0))])
    # Of the first a tenth is left, which is too little: class 0 is not seen in the batch.
    assert data.boxes.xyxy[:2].tolist() == [[0, 1, 10, 11], [2, 3, 13, 14]]
    assert first == {"boxes": [[0, 3, 4, 14]], "labels": [2]}
    assert second == {"boxes": [], "labels": []}


def test_pictures_without_objects() -> None:
    data = boxed([0, 2, 0])
    parts = told(data, [2, 0])
    assert parts == [{"boxes": [], "labels": []}] * 2
    with pytest.raises(BadInput, match="made: expected boxes to learn from, got none in 2 pictures"):
        Detect(boxed([0, 0]), Recipe(), CPU)


def test_a_box_of_less_than_a_pixel_is_not_learned() -> None:
    targets = Boxes.of(np.array([[1, 1, 1.5, 9], [4, 4, 9, 9]]), np.array([0, 1]), np.array([0, 0]), 1)
    data = ImageData(ArrayStore(np.zeros((1, SIDE, SIDE, 3), np.uint8)), targets, NAMES)
    assert told(data, [0]) == [{"boxes": [[4, 4, 9, 9]], "labels": [2]}]


def test_classify_is_cross_entropy_and_counts_what_is_right() -> None:
    data = ImageData.of(np.zeros((3, 4, 4, 1), np.uint8), [0, 2, 1], class_names=NAMES)
    logits = torch.tensor([[2.0, 0, 0], [0, 1, 0]])
    rows = torch.tensor([0, 2])

    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return logits

    objective = Classify(data, Recipe(), CPU)
    assert objective.labels is not None
    assert objective.labels.tolist() == [0, 2, 1]
    loss, right = objective(Fixed(), torch.zeros(2, 1, 4, 4), rows, objective.labels[rows], [])
    expected = (np.log(np.exp(2) + 2) - 2 + np.log(np.exp(1) + 2) - 1) / 2
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    assert right is not None
    assert int(right) == 2
    # Hooks may have changed the labels: those of the batch count.
    _, wrong = objective(Fixed(), torch.zeros(2, 1, 4, 4), rows, torch.tensor([1, 1]), [])
    assert wrong is not None
    assert int(wrong) == 1
    smooth, _ = Classify(data, Recipe(label_smoothing=0.3), CPU)(
        Fixed(), torch.zeros(2, 1, 4, 4), rows, objective.labels[rows], []
    )
    assert float(smooth) > float(loss)


def test_every_task_has_its_objective_and_its_targets() -> None:
    assert set(OBJECTIVES) == {"classify", "locate", "detect"}
    plain = ImageData.of(np.zeros((1, 4, 4, 1), np.uint8), [0], class_names=NAMES)
    check_targets("detect", boxed([1]), "faster-rcnn")
    check_targets("classify", plain, "g1-cnn")
    with pytest.raises(BadInput, match="made: expected one class for each picture for network g1-cnn"):
        check_targets("classify", boxed([1]), "g1-cnn")
    with pytest.raises(BadInput, match="data: expected pictures with boxes for the detector faster-rcnn"):
        check_targets("detect", plain, "faster-rcnn")
