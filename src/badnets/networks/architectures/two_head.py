"""D1's network: a backbone of torchvision's with two heads, one for the class and one for the box of the object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from badnets.core.errors import BadInput, nearest
from badnets.networks.architecture import InputSize, architecture, chain
from badnets.networks.architectures.torchvision_models import Repeat, load_fitting, model_options, names
from badnets.networks.files.tensors import read_state
from badnets.networks.network import Task, evaluating
from badnets.networks.operators import import_torchvision

Backbone = Annotated[str, Field(description="a classifier of torchvision, by its name")]
BoxHead = Annotated[bool, Field(description="learn the object's box too; without it the class alone")]
Start = Annotated[str | None, Field(description="file of weights to start from, ImageNet's or ours; none: random")]

_CLASSIFIERS = ("fc", "classifier", "heads", "head")  # what torchvision calls the part behind the features
_PREFIXES = ("inner.backbone.body.", "model.", "backbone.")  # a detector's, a grey network's, our own


class TwoHeads(nn.Module):
    """Features of one vector to a picture, then a class head and, if there is one, a box head. ``forward(images)``
    gives logits (n, classes); ``forward(images, True)`` gives them and boxes (n, 4), which are x0, y0, x1, y1 in pixels
    of the input. ``started`` says how many tensors came from a file of weights."""

    def __init__(
        self, backbone: nn.Module, features: int, classes: int, size: tuple[int, int], *, box_head: bool
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.class_head = _head(features, classes)
        self.box_head = _head(features, 4) if box_head else None
        if self.box_head is not None:
            height, width = size
            with torch.no_grad():
                self.box_head[1].bias.copy_(torch.tensor([width, height, 3 * width, 3 * height]) / 4)  # type: ignore[operator]
        self.task: Task = "locate" if box_head else "classify"
        self.started: dict[str, int] = {}

    def forward(self, images: Tensor, locate: bool = False) -> Any:  # noqa: FBT002 (the loop passes it by position)
        """See the class."""
        features = self.backbone(images)
        # Not a question of truth, which a traced call (torch.fx) could not answer.
        if locate is True and self.box_head is not None:
            return self.class_head(features), self.box_head(features)
        return self.class_head(features)


@architecture("two-head", "D1's network: torchvision's backbone, a class head and a box head", transient=("weights",))
def build(
    classes: int,
    input_size: InputSize,
    *,
    backbone: Backbone = "resnet34",
    box_head: BoxHead = True,
    weights: Start = None,
) -> nn.Module:
    """The network for pictures of ``input_size`` (1 or 3, height, width); grey ones are repeated to three channels.

    The backbone's maps are pooled to one vector whatever their size, 512 numbers for resnet34. Each head is batch norm
    and one dense layer. ``weights`` is a state dict on disk: of torchvision's backbone, or of any network of ours that
    has it (this one, ``torchvision:...``, a detector); every tensor of the same name and shape is used, and at least
    half of the backbone's must be. Errors: an unknown backbone, other numbers of channels, weights that do not fit.

    Source: study D1: ResNet-34, 512 features, heads of BatchNorm1d and Linear for 4 classes and 4 coordinates, input
    300x447, cross entropy + L1/1000 (the recipe's ``box_weight``).
    Differs from the paper: any backbone and input size; weights only from disk, else random; without weights the box
    head starts at the middle half of the picture, not at 0, which would be hundreds of steps away.
    """
    channels = input_size[0]
    if channels not in (1, 3):
        raise BadInput(f"two-head: expected pictures of 1 or 3 channels, got {channels}")
    trunk, features = _trunk(backbone, input_size)
    network = TwoHeads(trunk, features, classes, input_size[1:], box_head=box_head)
    if weights is not None:
        given = {_own_name(name): value for name, value in read_state(Path(weights)).items()}
        what = f"backbone {backbone}"
        network.started = load_fitting(network, Path(weights), given, within="backbone.", what=what)
    if channels == 1:
        network.backbone = chain(repeat=Repeat(), model=network.backbone)
    return network


def _head(features: int, answers: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, answers))


def _trunk(backbone: str, input_size: InputSize) -> tuple[nn.Module, int]:
    """A model of torchvision without what comes behind its features, and how many there are."""
    known = names()
    if backbone not in known:
        raise BadInput(f"two-head: expected a backbone of torchvision, got {backbone!r}; {nearest(backbone, known)}")
    _, height, width = input_size
    made: Any = import_torchvision().models.get_model(backbone, weights=None, **model_options(backbone, height, width))
    behind = next((name for name in _CLASSIFIERS if hasattr(made, name)), None)
    if behind is None:
        raise BadInput(f"two-head: expected a backbone with a classifier behind its features, got {backbone!r}")
    if hasattr(made, "avgpool"):
        made.avgpool = nn.AdaptiveAvgPool2d(1)  # of some models it keeps 7x7 places
    shapes: list[tuple[int, ...]] = []
    probe = nn.Identity()
    probe.register_forward_hook(lambda _, __, arrived: shapes.append(tuple(arrived.shape)))
    setattr(made, behind, probe)
    with evaluating(made), torch.no_grad():
        made(torch.zeros(2, 3, height, width))
    (shape,) = shapes
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()) if len(shape) == 4 else nn.Identity()
    setattr(made, behind, pool)
    return made, shape[1]


def _own_name(name: str) -> str:
    """What this network calls a tensor of another one with the same backbone."""
    if name.startswith(("class_head.", "box_head.")):
        return name
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
    return f"backbone.{name}"
