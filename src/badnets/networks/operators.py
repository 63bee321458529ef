"""Import torchvision, also where its compiled operators cannot load.

PyPI's torchvision for Linux is built for CUDA. Beside a CPU-only torch its library does not load, and ``import
torchvision`` fails on the first operator that it takes for granted. All of this package imports torchvision through
``import_torchvision``: where the compiled operators load it does nothing more; otherwise it declares those that are
taken for granted and gives the two that detection needs kernels made of torch's own operators.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from badnets.core.errors import BadInput

REPLACED: dict[str, Callable[..., Any]] = {}
"""What was replaced in torchvision, by its full name; empty where the compiled operators load."""

_lock = threading.Lock()
_libraries: list[Any] = []  # a declaration lives as long as its Library object
_BLOCK = 256  # boxes compared with all others at a time


def import_torchvision() -> ModuleType:
    """The module ``torchvision``, ready to use. Safe to call often and from several threads. Without its compiled
    operators: ``nms`` and ``roi_align`` work on the CPU, differentiable where the compiled ones are; the others
    (deformable convolution, RoI pooling, ...) raise torchvision's own error when called."""
    with _lock, warnings.catch_warnings():
        # The second, optional library (decoding of images, which we do with Pillow) fails to load for the same reason.
        warnings.filterwarnings("ignore", message="Failed to load image Python extension", category=UserWarning)
        try:
            return importlib.import_module("torchvision")
        except ModuleNotFoundError as error:
            if error.name != "torchvision":
                raise
            raise BadInput("expected torchvision, which is not installed; do pip install torchvision") from None
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
        return _import_without_operators()


def _import_without_operators() -> ModuleType:
    """Forget the half-imported module, declare what it takes for granted, import it, and put our kernels in."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    new_library: Callable[..., Any] = torch.library.Library  # without annotations in torch
    library = new_library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    _libraries.append(library)
    torchvision = importlib.import_module("torchvision")
    # `torchvision.ops.roi_align` is a function that hides the module of the same name.
    _replace("torchvision.ops.roi_align", "_roi_align", roi_align)
    for module in ("torchvision.ops.boxes", "torchvision.ops"):
        _replace(module, "nms", torch.ops.torchvision.nms)  # without its check that *all* operators are compiled
    return torchvision


def _replace(module: str, name: str, replacement: Callable[..., Any]) -> None:
    REPLACED[f"{module}.{name}"] = getattr(sys.modules[module], name)
    setattr(sys.modules[module], name, replacement)


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression: rows (k,) of the boxes that stay, best score first.

    ``dets`` (n, 4) as x0, y0, x1, y1, ``scores`` (n,). A box falls when a better one that stays overlaps it with an IoU
    above ``iou_threshold``. Equal scores keep their order. Boxes are taken in blocks: one block against all that
    follow, so the memory is 256 x n, and Python runs once for each box at most.
    """
    iou = import_torchvision().ops.box_iou
    boxes = dets.detach().float() if dets.dtype in (torch.float16, torch.bfloat16) else dets.detach()
    order = scores.detach().sort(stable=True, descending=True).indices
    boxes = boxes[order]
    alive = torch.ones(len(order), dtype=torch.bool)
    for start in range(0, len(order), _BLOCK):
        stop = min(start + _BLOCK, len(order))
        block = torch.arange(start, stop)[alive[start:stop]]
        # The threshold is a double: comparing in float32 would round it, and 0.3 would then equal its own neighbor.
        inside = (iou(boxes[block], boxes[block]).double() > iou_threshold).numpy()
        keep = torch.ones(len(block), dtype=torch.bool)
        standing = keep.numpy()
        for row in range(len(block)):
            if standing[row]:
                standing[row + 1 :] &= ~inside[row, row + 1 :]
        alive[block[~keep]] = False
        if stop < len(order):
            rest = torch.arange(stop, len(order))[alive[stop:]]
            alive[rest[(iou(boxes[block[keep]], boxes[rest]).double() > iou_threshold).any(0)]] = False
    return order[alive]


def roi_align(
    input: Tensor, rois: Tensor, spatial_scale: float, height: int, width: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """RoIAlign (k, c, height, width) of maps (n, c, h, w) and ``rois`` (k, 5) as image, x0, y0, x1, y1.

    Takes the place of torchvision's fallback in Python, with its arguments: one ``grid_sample`` for all RoIs of an
    image that have the same number of points in a bin, then a mean over each bin.

    Source: He, Gkioxari, Dollar, Girshick, Mask R-CNN (2017), section 3.
    Differs from the paper: points outside the map take the value at its border, as in torchvision's fallback. Unlike
    that fallback, RoIs much larger than the map are sampled in full when ``sampling_ratio`` is 0 or less.
    """
    maps = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
    boxes = rois.detach().double()  # places are cheap; rounded early they would cost the result its last digits
    offset = 0.5 if aligned else 0.0
    start = boxes[:, 1:3] * spatial_scale - offset
    size = boxes[:, 3:5] * spatial_scale - offset - start
    if not aligned:
        size = size.clamp(min=1.0)
    bins = torch.tensor([width, height], device=maps.device)
    bins_yx = (height, width)
    points = torch.full_like(size, sampling_ratio) if sampling_ratio > 0 else torch.ceil(size / bins)
    groups, member = torch.unique(torch.cat([boxes[:, :1], points], 1), dim=0, return_inverse=True)
    parts = [maps.new_zeros(0, maps.shape[1], height, width)]
    each = maps.unbind()  # one by one they would each have a gradient of the whole batch's size
    for group, (image, across, down) in enumerate(groups.long().tolist()):
        rows = torch.nonzero(member == group)[:, 0]
        if across < 1 or down < 1:  # an empty RoI has no points: 0
            parts.append(maps.new_zeros(len(rows), *parts[0].shape[1:]))
        else:
            parts.append(_sample(each[image], start[rows], size[rows] / bins, bins_yx, (down, across)))
    order = member.argsort(stable=True)
    return torch.cat(parts)[order.argsort()].to(input.dtype)


def _sample(feature: Tensor, start: Tensor, step: Tensor, bins: tuple[int, int], points: tuple[int, int]) -> Tensor:
    """Means (k, c, *bins) of ``points`` per bin on one map (c, h, w); ``start`` and ``step`` (k, 2) are x, y."""
    channels, height, width = feature.shape
    axes = []
    for axis, side in ((0, width), (1, height)):
        number = bins[1 - axis] * points[1 - axis]
        place = (torch.arange(number, dtype=torch.float64, device=feature.device) + 0.5) / points[1 - axis]
        at = start[:, axis, None] + place * step[:, axis, None]
        axes.append((at.clamp(0, side - 1) * (2 / max(side - 1, 1)) - 1).to(feature.dtype))
    x, y = axes
    grid = torch.stack([x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])], 3)
    sampled = functional.grid_sample(
        feature[None], grid.reshape(1, -1, x.shape[1], 2), padding_mode="border", align_corners=True
    )
    # The points of a bin never straddle two RoIs, so all are pooled at once, before the axes are swapped.
    pooled = sampled[0] if points == (1, 1) else functional.avg_pool2d(sampled[0], points)
    return pooled.reshape(channels, len(start), *bins).transpose(0, 1)
