"""Feature shift tuning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import Loss, Tuning, sgd
from badnets.networks.network import ImageNetwork, layer_table


@kind_of(REPAIRS)
class Fst(Tuning):
    """Draw the last layer anew and tune everything while pushing it away from the old one: the features must shift.

    The loss is the cross entropy plus ``alpha`` times the inner product of the last layer's weights and the old ones;
    after each step those weights are scaled to the norm of the old ones.

    Source: Min, Qin, Shen, Cheng, Towards Stable Backdoor Purification through Feature Shift Tuning (2023), and
    the authors' fine_tune/ft.py, which this follows (new weights uniform within 1/sqrt(inputs), learning rate
    annealed by a cosine).
    Differs from the paper: alpha is 0.002 and the learning rate 0.1, with gradients shortened to length 1; there 0.1 to
    0.2 (small or 0 for many classes) and 0.01, which costs small networks several points. An epoch is chosen on a clean
    hold-out, where it takes the last of 10; batches of 64, where it takes 128.
    """

    kind: Literal["fst"] = "fst"
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 8
    alpha: Annotated[float, Field(ge=0, description="how hard to push away; small or 0 for many classes")] = 0.002
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.1
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to choose by")] = 0.1

    def repair(self, work: Work) -> str:
        """SGD on the cross entropy and the inner product."""
        data, network = work.split(self.hold_out), work.network
        last = last_layer(network)
        old = last.weight.detach().clone()
        draw_anew(last, torch.Generator().manual_seed(work.view.seed.derive("last layer").integer))
        optimizer = sgd(network, self.learning_rate)
        keep_norm(optimizer, last, old)
        return self.tune(work, data, optimizer, shifting_loss(network, last, old, self.alpha), epochs=self.epochs)


def last_layer(network: ImageNetwork) -> nn.Linear | nn.Conv2d:
    """The dense layer (or, in networks without one, the convolution) that a picture passes last."""
    for row in reversed(layer_table(network)[:-1]):
        part = network.body.get_submodule(row["name"])
        if row["output_shape"] and isinstance(part, nn.Linear | nn.Conv2d):
            return part
    raise BadInput("fst: expected a network with a dense layer or a convolution, got none; use another method")


@torch.no_grad()
def draw_anew(layer: nn.Linear | nn.Conv2d, generator: torch.Generator) -> None:
    """Weights and biases uniform within 1/sqrt(inputs)."""
    reach = layer.weight[0].numel() ** -0.5
    for value in (layer.weight, layer.bias):
        if value is not None:
            value.copy_((torch.rand(value.shape, generator=generator) * 2 - 1) * reach)


def shifting_loss(network: nn.Module, last: nn.Linear | nn.Conv2d, old: Tensor, alpha: float) -> Loss:
    """Cross entropy plus ``alpha`` times the inner product of the ``last`` layer's weights and ``old``."""
    return lambda images, labels: functional.cross_entropy(network(images), labels) + alpha * (last.weight * old).sum()


def keep_norm(optimizer: torch.optim.Optimizer, last: nn.Linear | nn.Conv2d, old: Tensor) -> None:
    """After each step of ``optimizer`` the ``last`` layer's weights get the norm of ``old`` again."""

    @torch.no_grad()
    def rescale(*_: Any) -> None:
        last.weight.mul_(old.norm() / last.weight.norm())

    optimizer.register_step_post_hook(rescale)
