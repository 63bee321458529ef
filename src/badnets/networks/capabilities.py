"""What can be done with a network: whatever answers can be measured, but not every network can be tuned or pruned."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import torch

from badnets.core.errors import BadInput, first_line
from badnets.core.text import brief
from badnets.networks.network import ImageNetwork, black, evaluating
from badnets.networks.surgery.graph import trace


class Capability(IntEnum):
    """What a method needs of a network; a higher one is had by fewer networks."""

    ANSWERS = 0
    """It gives an answer to a picture: every network."""
    GRADIENTS = 1
    """torch's autograd leads from its answers back to the picture and the weights."""
    SURGERY = 2
    """torch.fx can follow its pass, so channels are found, silenced and taken out."""

    @property
    def word(self) -> str:
        """``answers``, ``gradients`` or ``surgery``, as the docs have it."""
        return self.name.lower()


DEFAULT = Capability.GRADIENTS
"""Of a method that does not say what it needs."""
_MEANT = {
    Capability.ANSWERS: "a network that answers",
    Capability.GRADIENTS: "a network that gradients go through",
    Capability.SURGERY: "a network whose pass torch.fx can follow (surgery)",
}


def needs(method: object) -> Capability:
    """What a method needs: its attribute ``needs``, else ``DEFAULT``."""
    said: Capability = getattr(method, "needs", DEFAULT)
    return said


def why_not(network: ImageNetwork, capability: Capability) -> str | None:
    """Why ``network`` lacks the capability, in a few words of torch's; None where it has it."""
    if capability is Capability.ANSWERS:
        return None
    if capability is Capability.SURGERY:
        try:
            trace(network.body)
        except BadInput as error:
            return str(error).partition("(")[2].rpartition(")")[0] or str(error)
        return None
    pictures = black(network, 2, network.input_size).requires_grad_()
    weights = [one for one in network.parameters() if one.requires_grad]
    try:
        with torch.enable_grad(), evaluating(network):
            answers = network(pictures)
            found = torch.autograd.grad(answers.sum(), [pictures, *weights], allow_unused=True)
    except Exception as error:  # noqa: BLE001 (anyone's forward runs here, and may raise anything)
        return first_line(error)
    return None if found[0] is not None else "its answers do not depend on the picture by way of autograd"


def capabilities(network: ImageNetwork) -> frozenset[Capability]:
    """All that can be done with a classifier; it is passed and traced once, and left as it was."""
    return frozenset(one for one in Capability if why_not(network, one) is None)


def require(network: ImageNetwork, method: object, name: str, others: Mapping[str, object]) -> None:
    """Refuse a network that lacks what ``method``, called ``name``, needs. The sentence says what is lacking, and which
    of ``others`` (methods or their classes, by name) need less."""
    needed = needs(method)
    problem = why_not(network, needed)
    if problem is None:
        return
    # Of a class some properties depend on settings; then it is not known what it needs.
    told = {kind: said for kind, other in others.items() if isinstance(said := needs(other), Capability)}
    less = [kind for kind, said in sorted(told.items()) if said < needed]
    advice = f"these need less: {', '.join(less)}" if less else "no other method needs less"
    raise BadInput(f"{name}: expected {_MEANT[needed]}, got one that lacks it ({brief(problem, 120)}); {advice}")
