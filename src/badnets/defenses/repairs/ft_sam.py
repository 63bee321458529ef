"""Fine-tuning with sharpness-aware minimization."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import Tuning, follow, sgd
from badnets.networks.network import ImageNetwork


@kind_of(REPAIRS)
class FtSam(Tuning):
    """Fine-tune towards weights whose neighborhood is good too: large weights, which a trigger needs, shrink.

    In each step the weights w move to w + rho w^2 g / norm(w g), where g is the gradient of the loss and products are
    by element; the gradient there is the one that SGD follows from w.

    Source: Zhu, Wei, Shen, Fan, Wu, Enhancing Fine-Tuning Based Backdoor Defense with Sharpness-Aware Minimization
    (2023), and the authors' code in BackdoorBench (defense/ft-sam.py, utils/defense_utils/sam/sam.py).
    Differs from the paper: made for few pictures and few epochs. The gradient that is followed is shortened to
    length 1, without which networks without BatchNorm fall apart, and the learning rate is higher (there 0.01); rho is
    4, between their 2 for CIFAR-10 and 8 for GTSRB; no label smoothing, as for GTSRB (0.1 for CIFAR-10). An epoch is
    chosen on a clean hold-out, where a fixed number is trained (100 and 50); the learning rate falls once over all
    epochs, where their code steps a cosine of that many epochs once a batch.
    """

    kind: Literal["ft-sam"] = "ft-sam"
    steps: Annotated[int, Field(ge=1, description="changes of the weights, rounded up to whole epochs")] = 300
    rho: Annotated[float, Field(ge=0, description="how far to look, relative to the weights")] = 4.0
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9 at first; falls to 0")] = 0.05
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="share of the label given to other classes")] = 0.0
    hold_out: Annotated[float, Field(gt=0, lt=1, description="share of the pictures to choose by")] = 0.1

    def repair(self, work: Work) -> str:
        """SGD with the gradient from the worse place."""
        data, network = work.split(self.hold_out), work.network

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            return functional.cross_entropy(network(images), labels, label_smoothing=self.label_smoothing)

        epochs = math.ceil(self.steps / math.ceil(len(data[0]) / self.batch))
        return self.tune(work, data, sgd(network, self.learning_rate, decay=5e-4), loss, epochs=epochs)

    def step(self, network: ImageNetwork, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> Tensor:
        """With the gradient from the worse place."""
        return sharpness_aware_step(network, optimizer, loss, self.rho)


def sharpness_aware_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor], rho: float
) -> Tensor:
    """One step of ``optimizer`` with the gradient at w + rho w^2 g / norm(w g), shortened to ``CLIP``; the loss at w.

    Running statistics of BatchNorms are those of the pass at w.
    """
    optimizer.zero_grad()
    here = loss()
    here.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    moved = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    before = [p.detach().clone() for p in moved]
    with torch.no_grad():
        norm = torch.stack([(weight * weight.grad).norm() for weight in moved]).norm()
        for weight in moved:
            weight.addcmul_(weight**2, weight.grad, value=rho / (float(norm) + 1e-12))
    optimizer.zero_grad()
    with _statistics_kept(network):
        loss().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    with torch.no_grad():
        for weight, old in zip(moved, before, strict=True):
            weight.copy_(old)
    follow(optimizer)
    return here.detach()


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Inside, BatchNorms normalize by the batch and leave their running statistics alone."""
    norms = [(module, module.momentum) for module in network.modules() if isinstance(module, _BatchNorm)]
    for module, _ in norms:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, momentum in norms:
            module.momentum = momentum
