"""Changes of training pictures, a batch at a time, on the device where the data lies.

Each takes and gives uint8 (n, h, w, c) and draws from the generator it is given. They are written for integers and
indexing, not for floats, because that is what a CPU does fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from badnets.training.recipe import AugmentName

Augment = Callable[[Tensor, Generator], Tensor]


def shift(images: Tensor, generator: Generator) -> Tensor:
    """Each picture moved by up to 1/8 of its side (at least 1 pixel) in both directions; the edge is repeated."""
    n, h, w, _ = images.shape
    reach_y, reach_x = max(1, h // 8), max(1, w // 8)
    device = images.device
    dy = torch.randint(-reach_y, reach_y + 1, (n, 1), generator=generator, device=device)
    dx = torch.randint(-reach_x, reach_x + 1, (n, 1), generator=generator, device=device)
    rows = (torch.arange(h, device=device) + dy).clamp_(0, h - 1)
    columns = (torch.arange(w, device=device) + dx).clamp_(0, w - 1)
    index = torch.arange(n, device=device)
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]]


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Half of the pictures mirrored left to right."""
    chosen = torch.rand(len(images), generator=generator, device=images.device) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(2), images)


def light(images: Tensor, generator: Generator) -> Tensor:
    """Brightness times 0.75 to 1.25 for each picture."""
    factor = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) * 0.5 + 0.75
    return (images * factor).clamp_(0, 255).to(torch.uint8)


def rotate(images: Tensor, generator: Generator) -> Tensor:
    """Each picture turned by up to 10 degrees, bilinear, the edge repeated."""
    n = len(images)
    if not n:
        return images.clone()
    angle = (torch.rand(n, generator=generator, device=images.device) * 2 - 1) * (torch.pi / 18)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    planes = images.permute(0, 3, 1, 2).float()
    grid = torch.nn.functional.affine_grid(turn, list(planes.shape), align_corners=False)
    turned = torch.nn.functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return turned.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


AUGMENTS: dict[AugmentName, Augment] = {"shift": shift, "flip": flip, "light": light, "rotate": rotate}


def apply_augments(names: Sequence[AugmentName], images: Tensor, generator: Generator) -> Tensor:
    """The named changes one after the other."""
    for name in names:
        images = AUGMENTS[name](images, generator)
    return images
