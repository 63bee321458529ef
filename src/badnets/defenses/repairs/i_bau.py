"""Implicit backdoor adversarial unlearning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import Choice, draw
from badnets.networks.capabilities import Capability
from badnets.networks.network import ImageNetwork

Loss = Callable[[Tensor], Tensor]
"""From the perturbation to a loss; it may depend on weights."""


@kind_of(REPAIRS)
class IBau:
    """Find the one perturbation that harms clean pictures most, unlearn it, and again, for some rounds.

    In a round a perturbation d of the whole picture, 0 at first, descends
    ``-CE(f(x + d), f's own answers) + 0.001 |d|^2`` over one pass and is brought back to an l2 norm of at most
    ``radius``. Then Adam follows the hypergradient of the cross entropy with true labels on pictures, ``portion`` of
    which carry d: the direct gradient plus the way in which d itself would follow the weights, by ``fixed_point`` steps
    of an iteration.

    Source: Zeng, Chen, Park, Mao, Jin, Jia, Adversarial Unlearning of Backdoors via Implicit Hypergradient (2022),
    algorithm 1, and the authors' defense.py and hypergrad.py.
    Differs from the paper: clean data comes from the defender, where the authors' code takes 5,000 test pictures; the
    perturbation's norm is bounded, as in the paper, where a line of their code that did so is commented out; the last
    round whose clean accuracy on a hold-out is within one standard error of the best is kept, where they keep the last.
    """

    needs_data: ClassVar[bool] = True
    needs: ClassVar[Capability] = Capability.GRADIENTS
    kind: Literal["i-bau"] = "i-bau"
    rounds: Annotated[int, Field(ge=1, description="perturbations that are found and unlearned")] = 5
    fixed_point: Annotated[int, Field(ge=0, description="steps of the iteration towards the hypergradient")] = 5
    learning_rate: Annotated[float, Field(gt=0, description="of Adam on the weights")] = 1e-3
    inner_rate: Annotated[float, Field(gt=0, description="of the descent of the perturbation")] = 10.0
    radius: Annotated[float, Field(gt=0, description="largest l2 norm of the perturbation, on the 0..1 scale")] = 10.0
    portion: Annotated[float, Field(gt=0, le=1, description="of the pictures that carry the perturbation")] = 0.01
    batch: Annotated[int, Field(ge=2, description="pictures in one step")] = 100
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to stop by")] = 0.2
    max_drop: Annotated[float, Field(ge=0, le=1, description="held-out accuracy that may be lost, a share")] = 0.05

    def repair(self, work: Work) -> str:
        """Rounds of search and unlearning, in evaluation mode."""
        fit, held_out = work.split(self.hold_out)
        network, choice = work.network, Choice(work, held_out, self.max_drop)
        weights = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate)
        for index in range(self.rounds):
            stream = work.view.seed.derive("round", index)
            batches = list(draw(fit, self.batch, max(1, len(fit) // self.batch), stream, network.device))
            harm = self._perturbation(network, work.steps(batches))
            rng = stream.derive("patched").rng
            for images, labels in work.steps(batches):
                count = max(1, round(self.portion * len(images)))
                carries = torch.zeros(len(images), 1, 1, 1)
                carries[torch.from_numpy(rng.permutation(len(images))[:count])] = 1
                inner = partial(_inner, network, *batches[0])
                outer = partial(_outer, network, images, labels, carries.to(images.device))
                slopes = hypergradient(harm, weights, inner, outer, steps=self.fixed_point, rate=0.1)
                for weight, slope in zip(weights, slopes, strict=True):
                    weight.grad = slope
                optimizer.step()
            norm, rate = round(float(harm.norm()), 4), choice.look()
            work.row(index + 1, self.rounds, round=index + 1, norm=norm, held_out_accuracy=rate)
        return choice.end("the round")

    def _perturbation(self, network: ImageNetwork, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        harm = torch.zeros(1, *network.input_size, device=network.device)
        for images, _ in batches:
            with torch.no_grad():
                answers = network(images).argmax(1)
            harm = harm.detach().requires_grad_()
            (slope,) = torch.autograd.grad(_inner(network, images, answers, harm), harm)
            harm = harm - self.inner_rate * slope
        return harm.detach() * min(1.0, self.radius / max(float(harm.detach().norm()), 1e-12))


def _inner(network: ImageNetwork, images: Tensor, labels: Tensor, harm: Tensor) -> Tensor:
    return -functional.cross_entropy(network(images + harm), labels) + 0.001 * harm.square().sum()


def _outer(network: ImageNetwork, images: Tensor, labels: Tensor, carries: Tensor, harm: Tensor) -> Tensor:
    return functional.cross_entropy(network(images + carries * harm), labels)


def hypergradient(
    value: Tensor, weights: Sequence[Tensor], inner: Loss, outer: Loss, *, steps: int, rate: float
) -> list[Tensor]:
    """The gradient of ``outer(value)`` to ``weights`` where ``value`` minimizes ``inner`` and so follows the weights.

    With the map value -> value - rate * inner'(value) it iterates v <- v * map'(value) + outer'(value), ``steps`` times
    from 0, and adds v times the map's gradient to the weights. As the map contracts, v tends to the exact vector.
    """
    value = value.detach().requires_grad_()
    loss = outer(value)
    to_value, *direct = torch.autograd.grad(loss, [value, *weights], materialize_grads=True)
    (slope,) = torch.autograd.grad(inner(value), value, create_graph=True)
    moved = value - rate * slope
    vector = torch.zeros_like(value)
    for _ in range(steps):
        (carried,) = torch.autograd.grad(moved, value, vector, retain_graph=True)
        vector = carried + to_value
    indirect = torch.autograd.grad(moved, list(weights), vector, materialize_grads=True)
    return [one + other for one, other in zip(direct, indirect, strict=True)]
