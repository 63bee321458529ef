"""What an audit knows of a clean network that it compares a suspect with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from badnets.audits.grounds import Sizes
from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.core.text import brief
from badnets.networks.network import ImageNetwork


@dataclass(frozen=True, eq=False)
class Reference:
    """A clean network to compare with: ``open`` gives it; ``digest`` is of its file."""

    name: str
    open: Callable[[], ImageNetwork]
    digest: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What an audit knows of a reference: its accuracy on the clean pictures, its sizes by detector."""

    accuracy: Rate
    sizes: Sizes


Look = Callable[[Reference, Callable[[], Seen]], Seen]
"""What is known of a reference: from where it was kept, or by what looks at it."""


def shapes_of(network: ImageNetwork) -> list[list[int]]:
    """Of all its weights, in order: a network of the same architecture may be wider."""
    return [list(value.shape) for value in network.body.state_dict().values()]


def weights_of(network: ImageNetwork) -> str:
    """A digest of its weights, whatever its file."""
    told = hashlib.sha256()
    for value in network.body.state_dict().values():
        told.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return told.hexdigest()


def check_alike(name: str, reference: ImageNetwork, network: ImageNetwork) -> None:
    """Raises ``BadInput`` for a reference of another architecture or width, or with other classes or input."""
    for what, of in _KINDS.items():
        is_, asked = of(reference), of(network)
        if is_ != asked:
            raise BadInput(
                f"{name}: expected {what} {brief(asked, 80)} as the network's, got {brief(is_, 80)}; "
                "use references of its kind (badnets references --like)"
            )


_KINDS: dict[str, Callable[[ImageNetwork], object]] = {
    "the architecture": lambda one: one.architecture,
    "input of": lambda one: one.input_size,
    "the classes": lambda one: one.class_names,
    "weights": lambda one: f"{sum(value.numel() for value in one.body.state_dict().values()):,}",
    "weights of the shapes": shapes_of,
}
