"""A network that knows what it is: architecture, classes, input size and range, how it was made, its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import Pixels
from badnets.data.targets import normal_name
from badnets.networks.device import moved

LARGE = 1 << 18
"""Pixels of a picture, above which shapes are found without computing."""

Task = Literal["classify", "locate", "detect"]
"""``classify``: a class for each picture; ``locate``: that, and a box of its object; ``detect``: all its objects."""


ChannelOrder = Literal["rgb", "bgr", "reshaped"]
"""How a network takes the channels of a picture: red first; blue first; or (h, w, c) in memory taken for (c, h, w)
without turning the axes, as some authors' code does."""
ORDERS: tuple[ChannelOrder, ...] = get_args(ChannelOrder)


class ImageNetwork(nn.Module):
    """A network for pictures; a classifier, if its ``task`` is not another one.

    ``forward`` takes floats (n, c, h, w) in 0..1 and gives logits (n, classes); the network's own range is applied
    inside (``(x - mean) / std``, per channel), so nobody outside has to know it. A network that ``abstains`` gives
    logits (n, classes + 1): the last answer, number ``classes``, means "refused".

    Of a ``task`` "locate", ``forward(images, True)`` gives logits and boxes (n, 4) in pixels. A detector gives what
    ``networks.architectures.faster_rcnn.Detector`` says, and takes targets when it is trained.

    ``input_size`` is (channels, height, width), ``mean`` and ``std`` are on the 0..1 scale. ``provenance`` is a
    JSON-like dict: how it was made, and ``"backdoor"`` when it carries one on purpose. ``narrowed`` says of which
    convolutions channels were taken out, and how many are left. ``channel_order`` is how the body takes channels;
    pictures are always given red first.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        architecture: str,
        arguments: dict[str, Any],
        class_names: Sequence[str],
        input_size: tuple[int, int, int],
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        provenance: dict[str, Any] | None = None,
        narrowed: dict[str, int] | None = None,
        channel_order: ChannelOrder = "rgb",
    ) -> None:
        super().__init__()
        channels = input_size[0]
        mean, std = mean or [0.0] * channels, std or [1.0] * channels
        if len(mean) != channels or len(std) != channels:
            raise BadInput(f"expected mean and std of {channels} channels, got {len(mean)} and {len(std)}")
        self.body = body
        self.architecture = architecture
        self.arguments = dict(arguments)
        self.class_names = tuple(normal_name(name) for name in class_names)
        self.input_size = input_size
        self.provenance = dict(provenance or {})
        self.narrowed = dict(narrowed or {})
        self.channel_order = channel_order
        first = next(body.parameters(), None)
        for name, values in (("mean", mean), ("std", std)):
            place = None if first is None else first.device
            value = torch.tensor(values, dtype=torch.float32, device=place).view(1, -1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.input_size))
        return f"ImageNetwork({self.architecture}, {self.classes} classes, {size})"

    @property
    def description(self) -> dict[str, Any]:
        """What it was made with besides its body, as JSON values; without what was narrowed."""
        known = {name: getattr(self, name) for name in ("architecture", "arguments", "class_names", "input_size")}
        normal = {"mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist()}
        order = {} if self.channel_order == "rgb" else {"channel_order": self.channel_order}
        return {**known, **normal, **order, "provenance": self.provenance}

    def with_body(self, body: nn.Module, **changes: Any) -> ImageNetwork:
        """A network with another ``body`` that says the same of itself, but for ``changes``."""
        return ImageNetwork(body, **{**self.description, "narrowed": self.narrowed, **changes})

    @property
    def device(self) -> torch.device:
        """Where its weights are, and so where it computes."""
        return next(self.parameters(), self.mean).device

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def abstains(self) -> bool:
        """Whether it may refuse to answer."""
        return bool(getattr(self.body, "abstains", False))

    @property
    def task(self) -> Task:
        """What it answers; its body says so."""
        task: Task = getattr(self.body, "task", "classify")
        return task

    def forward(self, images: Tensor, *more: Any) -> Any:
        """Logits (n, classes) of floats (n, c, h, w) in 0..1; ``more`` goes to the body, see the class."""
        return self.body(self.normalized(images), *more)

    def floats(self, images: Pixels) -> Tensor:
        """uint8 (n, h, w, c) to floats (n, c, h, w) in 0..1 on the network's device, in the type of its weights."""
        like = next(self.parameters(), self.mean)
        return to_float(moved(torch.from_numpy(images), like.device), like.dtype)

    def normalized(self, images: Tensor) -> Tensor:
        """What ``body`` is given for ``images`` in 0..1."""
        if self.channel_order == "bgr":
            images = images.flip(1)
        elif self.channel_order == "reshaped":
            images = images.permute(0, 2, 3, 1).reshape(images.shape)
        return (images - self.mean.to(images.dtype)) / self.std.to(images.dtype)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Inside, ``module`` and its parts are in evaluation mode; after it, each is in the mode it had."""
    modes = {part: part.training for part in module.modules()}
    if not any(modes.values()):  # to set it in every part costs a small network a fifth of its time
        yield
        return
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def black(module: nn.Module, pictures: int, input_size: tuple[int, int, int]) -> Tensor:
    """Zeros (pictures, *input_size) on the device and in the type of the module's weights, to learn shapes by."""
    like = next(module.parameters(), torch.zeros(0))
    return torch.zeros(pictures, *input_size, device=like.device, dtype=like.dtype)


def to_float(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (n, h, w, c) to floats (n, c, h, w) in 0..1, channels last in memory."""
    return images.permute(0, 3, 1, 2).to(dtype) / 255


class LogProbabilities(nn.Module):
    """The logarithm of what ``network``, which ends in a softmax, gives: logits with the same probabilities.
    Probabilities that are 0 become the smallest positive number of their dtype, so that logits stay finite."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, h, w) to logits (n, classes)."""
        probabilities: Tensor = self.network(x)
        return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


@torch.no_grad()
def kind_of_outputs(network: ImageNetwork) -> Literal["logits", "probabilities", "log-probabilities"]:
    """What ``network.body`` gives, seen from four pictures of seeded noise (one, if large). Probabilities: nowhere
    negative, and each row sums to 1; log-probabilities: nowhere positive, and each row's exponentials sum to 1. The
    network is left as it was."""
    if network.classes == 1:
        return "logits"
    large = network.input_size[1] * network.input_size[2] > LARGE
    noise = Seed(0).derive("probe outputs").rng.random((1 if large else 4, *network.input_size))
    like = next(network.parameters(), network.mean)
    with evaluating(network):
        rows = network(torch.from_numpy(noise).to(like.device, like.dtype)).float()
    if bool((rows >= 0).all()) and _sum_to_one(rows):
        return "probabilities"
    return "log-probabilities" if bool((rows <= 0).all()) and _sum_to_one(rows.exp()) else "logits"


def _sum_to_one(rows: Tensor) -> bool:
    # Half precision included; rows of logits sum to 1 by chance far more seldom.
    return bool(((rows.sum(1) - 1).abs() < 1e-3).all())


def layer_table(network: ImageNetwork, input_size: tuple[int, int, int] | None = None) -> list[dict[str, Any]]:
    """One row for each layer, in the order in which a picture passes them.

    A row is ``{"name", "kind", "output_shape", "parameters", "trainable"}``: the name inside ``network.body``, the
    class, the shape of the output for one picture (without the batch; None for a layer that the pass does not reach),
    and how many numbers it holds and learns. Layers are modules without parts, and modules with parts that hold
    parameters of their own. A tensor that two layers share is counted in the first. A layer passed twice has one row.
    The last row is named ``total``: the class of the body, the shape of the logits (None for a detector), and the sums.
    ``input_size`` is (channels, height, width), the network's own by default. The network is left as it was.
    """
    parts = network.body.named_modules()
    layers = {part: name for name, part in parts if not list(part.children()) or _parameters(part)}
    shapes = _output_shapes(network, list(layers), input_size or network.input_size)
    logits = shapes.pop(network, None)  # a detector gives lists of objects
    unreached = [layer for layer in layers if layer not in shapes and _parameters(layer)]
    counted: set[nn.Parameter] = set()
    rows = []
    for layer in (*shapes, *unreached):
        new = [p for p in _parameters(layer) if p not in counted]
        counted.update(new)
        rows.append(_row(layers[layer], layer, shapes.get(layer), new))
    return [*rows, _row("total", network.body, logits, list(network.parameters()))]


def _row(name: str, layer: nn.Module, shape: list[int] | None, parameters: list[nn.Parameter]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": type(layer).__name__,
        "output_shape": shape,
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
    }


def _parameters(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=False))


def _output_shapes(
    network: ImageNetwork, layers: list[nn.Module], input_size: tuple[int, int, int]
) -> dict[nn.Module, list[int]]:
    """The shape that each reached layer and the network give for one picture, in order of the pass."""
    channels, height, width = input_size
    more = (True,) if network.task == "locate" else ()  # or the box head would not be passed
    followed = [*layers, network]
    if height * width > LARGE and network.task != "detect":
        try:
            return passed(network, followed, black(network, 1, input_size), *more, meta=True)
        except RuntimeError:  # it computes with tensors that are no weights
            pass
    return passed(network, followed, network.floats(np.zeros((1, height, width, channels), np.uint8)), *more)


def passed(
    network: nn.Module, layers: list[nn.Module], images: Tensor, *more: Any, meta: bool = False
) -> dict[nn.Module, list[int]]:
    """The shapes, without the batch, that those of ``layers`` give which ``images`` pass in ``network``, in order.
    On the ``meta`` device nothing is computed, and no memory is taken."""
    shapes: dict[nn.Module, list[int]] = {}

    def note(layer: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(first, Tensor):
            shapes.setdefault(layer, list(first.shape[1:]))

    handles = [layer.register_forward_hook(note) for layer in layers]
    values: dict[str, Tensor] = {}
    if meta:
        values = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        values = {name: torch.empty_like(value, device="meta") for name, value in values.items()}
        images = torch.empty_like(images, device="meta")
    try:
        with evaluating(network), torch.inference_mode():
            functional_call(network, values, (images, *more))
    finally:
        for handle in handles:
            handle.remove()
    return shapes
