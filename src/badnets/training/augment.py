"""Changes of training pictures, a batch at a time, on the device where the data lies.

Each takes uint8 (n, h, w, c), draws from the generator it is given, one of the CPU on any device, and gives the new
pictures and where their points went: matrices (n, 2, 3) from old to new pixel coordinates, by which boxes follow, or
None where nothing moved. They are written for integers and indexing, not for floats, because that is what a CPU does
fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from badnets.data.targets import VISIBLE
from badnets.networks.device import moved
from badnets.training.recipe import AugmentName

Augment = Callable[[Tensor, Generator], tuple[Tensor, Tensor | None]]


def shift(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Each picture moved by up to 1/8 of its side (at least 1 pixel) in both directions; the edge is repeated."""
    n, h, w, _ = images.shape
    reach_y, reach_x = max(1, h // 8), max(1, w // 8)
    device = images.device
    dy = moved(torch.randint(-reach_y, reach_y + 1, (n, 1), generator=generator), device)
    dx = moved(torch.randint(-reach_x, reach_x + 1, (n, 1), generator=generator), device)
    rows = (torch.arange(h, device=device) + dy).clamp_(0, h - 1)
    columns = (torch.arange(w, device=device) + dx).clamp_(0, w - 1)
    index = torch.arange(n, device=device)
    one = torch.ones(n, device=device)
    return images[index[:, None, None], rows[:, :, None], columns[:, None, :]], _moves(one, -dx[:, 0], one, -dy[:, 0])


def flip(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Half of the pictures mirrored left to right."""
    chosen = moved(torch.rand(len(images), generator=generator), images.device) < 0.5
    one = torch.ones(len(images), device=images.device)
    moves = _moves(torch.where(chosen, -one, one), chosen * images.shape[2], one, 0 * one)
    return torch.where(chosen[:, None, None, None], images.flip(2), images), moves


def light(images: Tensor, generator: Generator) -> tuple[Tensor, None]:
    """Brightness times 0.75 to 1.25 for each picture."""
    factor = moved(torch.rand(len(images), 1, 1, 1, generator=generator), images.device) * 0.5 + 0.75
    return (images * factor).clamp_(0, 255).to(torch.uint8), None


def rotate(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Each picture turned by up to 10 degrees, bilinear, the edge repeated."""
    n = len(images)
    angle = (moved(torch.rand(n, generator=generator), images.device) * 2 - 1) * (torch.pi / 18)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _warped(images, torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(n, 2, 3))


def zoom(images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Each picture enlarged or shrunk, by up to a third, and moved by up to a tenth; the edge is repeated."""
    draws = moved(torch.rand(len(images), 3, generator=generator), images.device) * 2 - 1
    scale, move = (4 / 3) ** draws[:, 0], 0.2 * draws[:, 1:]
    return _warped(images, _moves(scale, move[:, 0], scale, move[:, 1]))


def _warped(images: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures sampled at ``theta (n, 2, 3)``, which takes new places to old ones, both from -1 to 1."""
    n, h, w, _ = images.shape
    if not n:
        return images.clone(), theta
    planes = images.permute(0, 3, 1, 2).float()
    grid = torch.nn.functional.affine_grid(theta, list(planes.shape), align_corners=False)
    sampled = torch.nn.functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    half = torch.diag(torch.tensor([w / 2, h / 2, 1.0], device=images.device))
    half[0, 2], half[1, 2] = w / 2, h / 2  # from -1..1 to pixels
    last = torch.tensor([0.0, 0.0, 1.0], device=images.device).expand(n, 1, 3)
    back = half @ torch.cat([theta, last], 1) @ torch.linalg.inv(half)
    moves = torch.linalg.inv(back)[:, :2]
    return sampled.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1), moves


def _moves(scale_x: Tensor, move_x: Tensor, scale_y: Tensor, move_y: Tensor) -> Tensor:
    zero = torch.zeros_like(scale_x)
    return torch.stack([scale_x, zero, move_x, zero, scale_y, move_y], 1).view(-1, 2, 3)


AUGMENTS: dict[AugmentName, Augment] = {"shift": shift, "flip": flip, "light": light, "rotate": rotate, "zoom": zoom}


def apply_augments(names: Sequence[AugmentName], images: Tensor, generator: Generator) -> tuple[Tensor, list[Tensor]]:
    """The named changes one after the other, and the moves of those that moved something."""
    moves = []
    for name in names:
        images, move = AUGMENTS[name](images, generator)
        moves.append(move)
    return images, [move for move in moves if move is not None]


def move_boxes(
    boxes: Tensor, position: Tensor, moves: Sequence[Tensor], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Boxes (m, 4) of the pictures ``position (m,)`` after the pictures' ``moves``, cut to ``size`` (height, width),
    and which (m,) are still seen: at least a quarter of the moved box, and a pixel of each side. A turned box becomes
    the smallest upright one around it."""
    for move in moves:
        x0, y0, x1, y1 = boxes.unbind(1)
        corners = torch.stack([torch.stack([x, y], 1) for x in (x0, x1) for y in (y0, y1)], 1)
        placed = corners @ move[position, :, :2].transpose(1, 2) + move[position, None, :, 2]
        boxes = torch.cat([placed.amin(1), placed.amax(1)], 1)
    height, width = size
    limits = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    cut = torch.minimum(boxes.clamp(min=0), limits)
    sides, whole = cut[:, 2:] - cut[:, :2], boxes[:, 2:] - boxes[:, :2]
    seen = (sides.prod(1) >= VISIBLE * whole.prod(1)) & (sides >= 1).all(1)
    return cut, seen
