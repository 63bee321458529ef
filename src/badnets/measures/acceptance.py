"""The user's acceptance test in the threat model of BadNets (Gu et al. 2017, section 3).

The user asked for an architecture and holds a validation set that the trainer never saw. He accepts what comes back if
it *is* that architecture and its accuracy on his set is at least a*. A backdoored network that passes is a valid
BadNet; a network with a trigger recognizer built in beside it is not: it has another architecture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.measures.classification import accuracy
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork


@dataclass(frozen=True)
class Acceptance:
    """``accepted``, the accuracy it rests on, and the reason in words."""

    accepted: bool
    accuracy: Rate
    threshold: float
    reason: str


def accept(network: ImageNetwork, asked_for: ImageNetwork, validation: ImageData, threshold: float) -> Acceptance:
    """Whether the user would accept ``network``.

    ``asked_for`` is a network of the architecture that he specified (its weights do not matter): every tensor's name,
    shape and every module's type and settings must be the same. ``threshold`` is a*, 0..1.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), section 3.1. Differs from the paper: there the architecture is fixed
    by agreement; here it is checked.
    """
    rate = accuracy(predict_data(network, validation).labels, validation.labels)
    wanted, got = _structure(asked_for), _structure(network)
    if wanted != got:
        reason = f"refused: the architecture is not the one asked for (differs at {_difference(wanted, got)})"
        return Acceptance(False, rate, threshold, reason)
    value = rate.value or 0.0
    if value < threshold:
        return Acceptance(False, rate, threshold, f"refused: accuracy {rate} is below a* = {100 * threshold:.2f} %")
    return Acceptance(True, rate, threshold, f"accepted: accuracy {rate} is at least a* = {100 * threshold:.2f} %")


def _difference(wanted: list[str], got: list[str]) -> str:
    """The name of the first part that differs, for the user to look at."""
    pairs = zip_longest(wanted, got, fillvalue="")
    first, second = next(pair for pair in pairs if pair[0] != pair[1])
    return (second or first).split(" ")[0] or "the top"


def _structure(network: ImageNetwork) -> list[str]:
    """Every module with its settings and every tensor with its shape; weights are not looked at."""
    modules = [f"{name} {type(m).__qualname__}({m.extra_repr()})" for name, m in network.body.named_modules()]
    tensors = [f"{name} {tuple(t.shape)}" for name, t in network.body.state_dict().items()]
    return modules + tensors
