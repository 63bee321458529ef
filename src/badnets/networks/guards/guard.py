"""What all networks that may refuse have in common: parts with normalizations of their own, a score, a threshold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.core.validation import explain
from badnets.networks.architecture import GUARD, InputSize
from badnets.networks.files.header import Deviation, Mean
from badnets.networks.network import ChannelOrder, ImageNetwork
from badnets.networks.registry import build_body, recorded_architecture
from badnets.networks.surgery.channels import narrow_as_recorded

Parts = Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=2, description="the networks inside")]
_FAR = 30.0  # in logits: exp(-30) vanishes beside the other probabilities in single precision


class Guard(nn.Module):
    """A network that may refuse: it answers as its first part does, or refuses where a score exceeds ``threshold``.
    ``parts`` are networks of the same classes and input size, each with its own normalization inside. ``threshold`` is
    a buffer, so it lies in the file; infinite, nothing is refused. ``options`` are the attributes that are settings."""

    abstains: ClassVar[bool] = True
    name: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    threshold: Tensor

    def __init__(self, parts: Sequence[ImageNetwork], threshold: float = float("inf")) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float32))

    @property
    def network(self) -> ImageNetwork:
        """The first part: whose answers are given or refused."""
        return cast("ImageNetwork", self.parts[0])

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword arguments of ``build`` besides ``parts``, as JSON values."""
        return {name: getattr(self, name) for name in self.options}

    @abstractmethod
    def score(self, images: Tensor, answers: Tensor) -> Tensor:
        """How suspicious floats (n, c, h, w) in 0..1 with the first part's answers (n,) are: (n,), higher is more."""

    def scores(self, images: Tensor) -> Tensor:
        """``score`` of pictures alone, (n,) float32."""
        return self.score(images, self.network(images).argmax(1)).float()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes + 1) of floats (n, c, h, w) in 0..1; the last is the highest where it refuses. Where it
        answers, the probabilities are those of the first part, up to rounding."""
        logits: Tensor = self.network(images)
        refused = self.score(images, logits.argmax(1)).float() > self.threshold
        last = torch.where(refused, logits.amax(1) + _FAR, logits.amin(1) - _FAR)
        return torch.cat([logits, last[:, None]], 1)


class Part(BaseModel):
    """A network inside a guard, as its file says: all of a header but the classes and the size, which are shared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str
    arguments: dict[str, JsonValue] = {}
    mean: list[Mean]
    std: list[Deviation]
    narrowed: dict[str, int] = {}
    channel_order: ChannelOrder = "rgb"


def part_of(network: ImageNetwork) -> dict[str, Any]:
    """What a guard's file says about ``network``, one of its parts."""
    described = {name: value for name, value in network.description.items() if name in Part.model_fields}
    usual = {"channel_order"} if network.channel_order == "rgb" else set()
    return Part(**described, narrowed=network.narrowed).model_dump(mode="json", exclude=usual)


def build_parts(parts: Sequence[dict[str, Any]], classes: int, input_size: InputSize, count: int) -> list[ImageNetwork]:
    """The networks that a guard's file describes, without their weights; ``BadInput`` if there are not ``count``."""
    if len(parts) != count:
        raise BadInput(f"expected {count} networks inside the guard, got {len(parts)}; the file is damaged")
    return [_build(part, classes, input_size) for part in parts]


def _build(described: dict[str, Any], classes: int, input_size: InputSize) -> ImageNetwork:
    try:
        part = Part.model_validate(described)
    except ValidationError as error:
        problem = explain(error, Part.model_json_schema, described)
        raise BadInput(f"expected a network inside the guard, got another description of one: {problem}") from None
    if GUARD in part.architecture:
        raise BadInput(f"expected a plain network inside the guard, got {part.architecture}; guards are not nested")
    architecture = recorded_architecture(part.architecture)
    arguments = architecture.recorded(architecture.resolve(part.arguments))
    body = build_body(architecture, classes, input_size, arguments, seed=0)
    narrow_as_recorded(body, part.narrowed)
    shared = {"class_names": [str(number) for number in range(classes)], "input_size": input_size}
    return ImageNetwork(body, **{**part.model_dump(), "arguments": arguments, **shared})


def as_network(guard: Guard, of: ImageNetwork) -> ImageNetwork:
    """``guard`` as a network of the classes, size and provenance of ``of``; ``save_network`` can write it."""
    parts = [part_of(part) for part in guard.parts if isinstance(part, ImageNetwork)]
    made = {"architecture": GUARD + guard.name, "arguments": {"parts": parts, **guard.settings}}
    return of.with_body(guard, **made, mean=None, std=None, narrowed=None, channel_order="rgb").eval()
