"""Copies of a network that it teaches itself: as it is when clean, as far as clean pictures can tell."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from badnets.audits.pictures import Pictures
from badnets.core.seed import Seed
from badnets.networks.device import own_stream
from badnets.networks.network import ImageNetwork
from badnets.training.augment import shift

BATCH, RATE = 64, 3e-3
AGREES, LONGER = 0.8, 5
"""A copy that agrees with its teacher on a smaller share of the clean pictures is made anew, in so many more steps."""


def teach(
    network: ImageNetwork,
    pictures: Pictures,
    seed: Seed,
    *,
    steps: int,
    check: Callable[[], None] = lambda: None,
) -> ImageNetwork:
    """A network of the same kind with new weights, trained to give the class that ``network`` gives to clean pictures
    that are moved, mixed, recolored and noisy, in evaluation mode.

    It learns classes alone, no probabilities, so that it inherits little of what the network would do elsewhere. AdamW
    with one cycle of the learning rate, ``BATCH`` pictures a step. Equal seeds give equal copies.

    Source: Hinton, Vinyals, Dean, Distilling the knowledge in a neural network (2015), with hard labels; as a control
    it is our own.
    """
    copied = _taught(network, pictures, seed, steps, check)
    if agreement(copied, network, pictures) < AGREES:
        copied = _taught(network, pictures, seed.derive("longer"), steps * LONGER, check)
    return copied


def passes_of(count: int, steps: int) -> int:
    """Pictures that go through the network and back while ``count`` copies are taught, about, if none is made anew."""
    return count * steps * BATCH


def agreement(copied: ImageNetwork, network: ImageNetwork, pictures: Pictures) -> float:
    """The share of the pictures to which both give the same class."""
    with torch.no_grad():
        same = [copied(part).argmax(1) == network(part).argmax(1) for part in torch.split(pictures.images, 256)]
    return float(torch.cat(same).float().mean())


def _taught(
    network: ImageNetwork, pictures: Pictures, seed: Seed, steps: int, check: Callable[[], None]
) -> ImageNetwork:
    device = network.device
    generator = torch.Generator().manual_seed(seed.derive("teach").integer)
    with own_stream(seed.derive("weights").integer, device):
        student = network.with_body(fresh(network.body, generator))
        student.to(device).requires_grad_(requires_grad=True).train()
        optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, cycle_momentum=False)
        for _ in range(steps):
            check()
            images = varied(pictures.images, BATCH, generator)
            with torch.no_grad():
                labels = network(images).argmax(1)
            loss = functional.cross_entropy(student(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(student.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return student.eval().requires_grad_(requires_grad=False)


def fresh(body: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of ``body`` with new weights: layers begin as torch begins them; of other tensors the numbers change
    places, which keeps their size and forgets what they say."""
    copied = copy.deepcopy(body)
    for module in copied.modules():
        reset = getattr(module, "reset_parameters", None)
        own = [p for p in module.parameters(recurse=False) if p.is_floating_point()]
        if callable(reset):
            reset()
            continue
        with torch.no_grad():
            for parameter in own:
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return copied


def varied(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of ``images`` (n, c, h, w) in 0..1: moved by up to an eighth, half of them mixed with another, 0.8
    to 1.2 times as bright, some noise."""
    n, _, h, w = images.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(images.device)

    rows = torch.randint(n, (2, count), generator=generator).to(images.device)
    shown = images.permute(0, 2, 3, 1)
    first, second = (shift(shown[one], generator)[0].permute(0, 3, 1, 2) for one in rows)
    share = torch.where(draw(count, 1, 1, 1) < 0.5, 1.0, 0.5 + 0.5 * draw(count, 1, 1, 1))
    mixed = share * first + (1 - share) * second
    noise = torch.randn(count, images.shape[1], h, w, generator=generator).to(images.device)
    mixed = mixed * (0.8 + 0.4 * draw(count, 1, 1, 1)) + 0.05 * draw(count, 1, 1, 1) * noise
    return mixed.clamp(0, 1).contiguous(memory_format=torch.channels_last)
