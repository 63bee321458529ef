"""What a network is trained towards: a class, a class and the place of its object, or all objects of a picture.

An ``Objective`` keeps the targets on the device and turns a batch into a loss; the loop knows nothing else of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.data.targets import Boxes
from badnets.networks.architectures.faster_rcnn import Wanted
from badnets.networks.network import Task
from badnets.training.augment import move_boxes
from badnets.training.recipe import Recipe

Moves = Sequence[Tensor]
Loss = tuple[Tensor, Tensor | None]


class Objective(Protocol):
    """One per training; ``labels (n,)`` on the device where each picture has one class, else None."""

    labels: Tensor | None

    def __call__(self, model: nn.Module, images: Tensor, rows: Tensor, labels: Any, moves: Moves) -> Loss:
        """The loss of floats ``images (b, c, h, w)``, pictures ``rows (b,)`` of the data after augmentation ``moves``,
        and how many were answered rightly (None where nothing is counted). ``labels (b,)`` may have been changed by
        hooks."""


class Classify:
    """Cross entropy."""

    def __init__(self, data: ImageData, recipe: Recipe, device: torch.device) -> None:
        self.labels: Tensor | None = torch.from_numpy(data.labels).to(device)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def __call__(self, model: nn.Module, images: Tensor, rows: Tensor, labels: Any, moves: Moves) -> Loss:
        """See ``Objective``."""
        return self.judged(model(images), labels)

    def judged(self, logits: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        """The loss of these answers, and how many are right."""
        return self.criterion(logits, labels), (logits.detach().argmax(1) == labels).sum()


class FromFeatures(Classify):
    """Cross entropy of an end that is given what the rest made of each picture, and not the picture."""

    def __init__(self, data: ImageData, recipe: Recipe, device: torch.device, *, values: Sequence[Tensor]) -> None:
        super().__init__(data, recipe, device)
        self.values = [value.to(device) for value in values]

    def __call__(self, model: nn.Module, images: Tensor, rows: Tensor, labels: Any, moves: Moves) -> Loss:
        """See ``Objective``."""
        return self.judged(model(images, *(value[rows] for value in self.values)), labels)


class Locate(Classify):
    """Cross entropy plus ``recipe.box_weight`` times the L1 distance of the four sides, summed, in pixels. Objects that
    augmentation moved out of sight count for the class only."""

    def __init__(self, data: ImageData, recipe: Recipe, device: torch.device) -> None:
        if data.regions is None:
            raise BadInput(
                f"{data.name}: expected regions of the objects to learn where they are, got none; "
                "use data with boxes or regions, or a network without a box head (box_head=false)"
            )
        super().__init__(data, recipe, device)
        self.regions = torch.from_numpy(data.regions).to(device)
        self.weight = recipe.box_weight

    def __call__(self, model: nn.Module, images: Tensor, rows: Tensor, labels: Any, moves: Moves) -> Loss:
        """See ``Objective``."""
        logits, boxes = model(images, True)
        position = torch.arange(len(rows), device=rows.device)
        height, width = images.shape[2:]
        wanted, seen = move_boxes(self.regions[rows], position, moves, (height, width))
        distance = (boxes.float() - wanted).abs().sum(1)
        loss, right = self.judged(logits, labels)
        return loss + self.weight * (distance * seen).sum() / seen.sum().clamp(min=1), right


class Detect:
    """The four losses of Faster R-CNN: of the regions, whether and where; of the objects, what and where."""

    labels: Tensor | None = None

    def __init__(self, data: ImageData, recipe: Recipe, device: torch.device) -> None:
        self.targets = data.boxes
        if not len(self.targets.labels):
            raise BadInput(f"{data.name}: expected boxes to learn from, got none in {len(data)} pictures")
        self.boxes = torch.from_numpy(self.targets.xyxy).to(device)
        self.names = torch.from_numpy(self.targets.labels).to(device)

    def __call__(self, model: nn.Module, images: Tensor, rows: Tensor, labels: Any, moves: Moves) -> Loss:
        """See ``Objective``."""
        indices = self.targets.rows_of(rows.cpu().numpy())
        chosen, position = (torch.from_numpy(index).to(rows.device) for index in indices)
        height, width = images.shape[2:]
        boxes, seen = move_boxes(self.boxes[chosen], position, moves, (height, width))
        losses = model(images, Wanted(boxes[seen], self.names[chosen][seen], position[seen], len(rows)))
        total: Tensor = sum(losses.values())
        return total, None


MakeObjective = Callable[[ImageData, Recipe, torch.device], Objective]
OBJECTIVES: Mapping[Task, MakeObjective] = {"classify": Classify, "locate": Locate, "detect": Detect}


def check_targets(task: Task, data: ImageData, architecture: str) -> None:
    """Refuse pictures whose targets are not what a network of this task learns."""
    boxed = isinstance(data.targets, Boxes)
    if boxed and task != "detect":
        raise BadInput(
            f"{data.name}: expected one class for each picture for network {architecture}, got pictures with boxes; "
            "use a detector (faster-rcnn), or rows of the boxes (objects_as_rows)"
        )
    if not boxed and task == "detect":
        raise BadInput(
            f"{data.name}: expected pictures with boxes for the detector {architecture}, got one class for each; "
            "use data such as scenes or voc, or a classifier"
        )
