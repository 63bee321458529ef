"""The class and the place of one object: the loss by hand, and a training that finds both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes, Labels
from badnets.networks.network import ImageNetwork, to_float
from badnets.training.loop import Job, fit
from badnets.training.objectives import Locate, check_targets
from badnets.training.recipe import Recipe

CPU = torch.device("cpu")
REGIONS = np.array([[1, 2, 5, 6], [0, 0, 8, 4]], np.float32)
CROSS = (np.log(2) + np.log(4 / 3)) / 2
"""Of equal logits, and of a right one that is log 3 above the other."""


def pictures(regions: Any = REGIONS) -> ImageData:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    return ImageData(ArrayStore(images), Labels(np.array([0, 1]), regions), ("a", "b"))


class Says(nn.Module):
    """Gives what it was made with, and boxes only to who asks for them."""

    def __init__(self, boxes: list[list[float]]) -> None:
        super().__init__()
        self.logits, self.boxes = torch.tensor([[0.0, 0.0], [0.0, np.log(3)]]), torch.tensor(boxes)

    def forward(self, images: Tensor, locate: bool = False) -> Any:  # noqa: FBT002 (as the loop calls it)
        return (self.logits.float(), self.boxes) if locate else self.logits


def loss(boxes: list[list[float]], *moves: Tensor) -> tuple[float, int | None]:
    """Of both pictures, at a hundredth of the distance."""
    objective = Locate(pictures(), Recipe(box_weight=0.01), CPU)
    assert objective.labels is not None
    both = torch.tensor([0, 1])
    value, right = objective(Says(boxes), torch.zeros(2, 3, 8, 8), both, objective.labels[both], moves)
    return float(value), None if right is None else int(right)


def test_the_weighted_distance_of_four_sides_is_added_to_the_cross_entropy() -> None:
    # Off by 1 + 0 + 0 + 3, and by 0 + 1 + 2 + 0.
    value, right = loss([[2.0, 2.0, 5.0, 9.0], [0.0, 1.0, 6.0, 4.0]])
    assert value == pytest.approx(CROSS + 0.01 * (4 + 3) / 2)
    assert right == 2  # of equal logits the first counts


def test_boxes_follow_what_augmentation_did_and_unseen_ones_do_not_count() -> None:
    # The first picture is moved 1 right and 2 down; the second 7 to the left, which leaves an eighth of its object.
    moves = torch.tensor([[[1.0, 0, 1], [0, 1, 2]], [[1, 0, -7], [0, 1, 0]]])
    value, _ = loss([[2.0, 4.0, 6.0, 7.0], [100.0, 100.0, 100.0, 100.0]], moves)
    assert value == pytest.approx(CROSS + 0.01 * 1)
    nothing, _ = loss([[2.0, 4.0, 6.0, 7.0], [100.0, 100.0, 100.0, 100.0]], moves + torch.tensor([0.0, 0, 100])[None])
    assert nothing == pytest.approx(CROSS)


def test_without_regions_a_place_cannot_be_learned() -> None:
    with pytest.raises(BadInput, match=r"expected regions of the objects to learn where they are.*box_head=false"):
        Locate(pictures(None), Recipe(), CPU)


def test_a_network_that_locates_takes_rows_and_no_pictures_with_boxes() -> None:
    check_targets("locate", pictures(), "two-head")
    boxed = ImageData(pictures().pixels, Boxes.of(REGIONS, np.array([0, 1]), np.array([0, 1]), 2), ("a", "b"))
    with pytest.raises(BadInput, match=r"network two-head, got pictures with boxes; .*objects_as_rows"):
        check_targets("locate", boxed, "two-head")


class Small(nn.Module):
    """The least network that locates."""

    task = "locate"

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 64), nn.ReLU())
        self.classes, self.boxes = nn.Linear(64, 2), nn.Linear(64, 4)

    def forward(self, images: Tensor, locate: bool = False) -> Any:  # noqa: FBT002 (as the loop calls it)
        features = self.features(images)
        return (self.classes(features), self.boxes(features)) if locate is True else self.classes(features)


def test_a_network_learns_the_class_and_the_place() -> None:
    """A square of 4 pixels in one of two colors, anywhere: its sides are found to within a pixel on average."""
    spots = [(x, y, color) for x in range(9) for y in range(9) for color in (0, 1)]
    images, regions = np.zeros((len(spots), 12, 12, 3), np.uint8), np.zeros((len(spots), 4), np.float32)
    for i, (x, y, color) in enumerate(spots):
        images[i, y : y + 4, x : x + 4, color] = 255
        regions[i] = x, y, x + 4, y + 4
    data = ImageData(ArrayStore(images), Labels(np.array([spot[2] for spot in spots]), regions), ("a", "b"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ImageNetwork(Small(), architecture="small", arguments={}, class_names="ab", input_size=(3, 12, 12))
    recipe = Recipe(epochs=40, batch=27, learning_rate=1e-2, box_weight=0.1, precision="fp32")
    trained = fit(network, Job(data=data, recipe=recipe, seed=Seed(1)))
    assert trained.history[-1]["accuracy"] == 1
    with torch.no_grad():
        boxes = trained.network(to_float(torch.from_numpy(images)), True)[1].numpy()
    assert np.abs(boxes - regions).mean() < 1
