"""Faster R-CNN, the detector of torchvision with a backbone of our choice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.networks.architecture import InputSize, architecture, chain
from badnets.networks.architectures.resnet9 import convolution
from badnets.networks.architectures.torchvision_models import load_fitting
from badnets.networks.files.tensors import read_state
from badnets.networks.operators import import_torchvision

SMALLEST = 64
"""Pixels a side: below that the last maps of the larger backbones vanish."""

Backbone = Annotated[
    Literal["small", "mobilenet-v3-320", "resnet50-fpn"],
    Field(description="small: four residual stages that train on a CPU; the others are torchvision's"),
]
Width = Annotated[int, Field(ge=4, le=256, description="channels of the small backbone's first stage")]
Proposals = Annotated[int, Field(ge=1, le=2000, description="regions that the second stage looks at")]
Start = Annotated[str | None, Field(description="file of weights to start from, .pth or .safetensors")]
_MAKERS = {"mobilenet-v3-320": "fasterrcnn_mobilenet_v3_large_320_fpn", "resnet50-fpn": "fasterrcnn_resnet50_fpn"}
"""What torchvision calls a whole detector with this backbone."""


class Wanted:
    """What a detector is trained on: for each picture its ``{"boxes" (k, 4), "labels" (k,) from 1}``. Made of ``boxes
    (m, 4)`` and ``labels (m,)`` from 0, of the pictures ``position (m,)`` in ascending order. A class of its own,
    because Fabric would round the coordinates of a list of tensors to half precision."""

    def __init__(self, boxes: Tensor, labels: Tensor, position: Tensor, pictures: int) -> None:
        counts = torch.bincount(position, minlength=pictures).tolist()
        pairs = zip(torch.split(boxes, counts), torch.split(labels + 1, counts), strict=True)
        self.pictures = [{"boxes": part, "labels": names} for part, names in pairs]


class Detector(nn.Module):
    """Takes floats (n, c, h, w) and gives, in evaluation mode, for each picture ``{"boxes" (k, 4), "labels" (k,) from
    1, "scores" (k,)}``; in training mode, told what is wanted, the four losses by name."""

    task = "detect"

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, wanted: Wanted | None = None) -> Any:
        """See the class."""
        return self.inner(x, None if wanted is None else wanted.pictures)


@architecture(
    "faster-rcnn", "detector of two stages; a small backbone for CPUs, or torchvision's", transient=("weights",)
)
def build(
    classes: int,
    input_size: InputSize,
    *,
    backbone: Backbone = "small",
    width: Width = 24,
    proposals: Proposals = 100,
    weights: Start = None,
) -> nn.Module:
    """Two stages: regions that may hold an object, then their class and box. Pictures are not resized inside.

    ``small``: a convolution and four residual stages of w, 2w, 4w, 4w channels to an eighth of the size, 15 anchors of
    1/16 to 4/5 of the picture's larger side. At least 64x64 pixels, 1 or 3 channels; otherwise ``BadInput``.
    ``weights`` are used for every tensor of the same name and shape, at least half of them.

    Source: Ren, He, Girshick, Sun, Faster R-CNN (2015); torchvision's implementation.
    Differs from the paper: RoIAlign for RoI pooling, as in torchvision; the small backbone; the number of proposals.
    """
    channels, height, wide = input_size
    if min(height, wide) < SMALLEST or channels not in (1, 3):
        raise BadInput(
            f"faster-rcnn: expected pictures of at least {SMALLEST}x{SMALLEST} with 1 or 3 channels, "
            f"got {height}x{wide}x{channels}; resize them (--size)"
        )
    if backbone != "small" and channels != 3:
        raise BadInput(f"faster-rcnn: expected 3 channels for backbone {backbone}, got {channels}; set data.grey=false")
    detection = import_torchvision().models.detection
    regions = {"rpn_post_nms_top_n_train": proposals, "rpn_post_nms_top_n_test": proposals}
    if backbone == "small":
        inner = _small(classes, input_size, width, **regions)
    else:
        make = getattr(detection, _MAKERS[backbone])
        inner = make(weights=None, weights_backbone=None, num_classes=classes + 1, **regions)
    inner.transform = _AsTheyAre()
    for module in (inner.rpn.head, inner.roi_heads.box_predictor):
        # What becomes coordinates or scores leaves its layer as float32: half precision has three digits.
        module.register_forward_hook(_to_float)
    detector = Detector(inner)
    if weights is not None:
        given = {f"inner.{name.removeprefix('inner.')}": value for name, value in read_state(Path(weights)).items()}
        load_fitting(detector, Path(weights), given, what="this detector")
    return detector


def _small(classes: int, input_size: InputSize, width: int, **regions: int) -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    side = max(input_size[1:])
    sizes = tuple(side * share for share in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 4 / 5))
    return FasterRCNN(
        _small_backbone(input_size[0], width),
        num_classes=None,
        rpn_anchor_generator=AnchorGenerator((sizes,), ((0.5, 1.0, 2.0),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=6, sampling_ratio=1),
        box_head=TwoMLPHead(4 * width * 36, 256),
        box_predictor=FastRCNNPredictor(256, classes + 1),
        rpn_pre_nms_top_n_train=250,
        rpn_pre_nms_top_n_test=400,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
        **regions,
    )


def _small_backbone(channels: int, width: int) -> nn.Module:
    body = chain(
        stem=convolution(channels, width // 2 or 1, stride=2),
        stage1=_Stage(width // 2 or 1, width, stride=1),
        stage2=_Stage(width, 2 * width, stride=2),
        stage3=_Stage(2 * width, 4 * width, stride=2),
        stage4=_Stage(4 * width, 4 * width, stride=1),
    )
    body.out_channels = 4 * width  # type: ignore[assignment]  # torchvision asks for it; torch takes it for a tensor
    return body


class _Stage(nn.Module):
    """A convolution that may halve the map, then a residual block."""

    def __init__(self, channels: int, out: int, *, stride: int) -> None:
        super().__init__()
        self.enter = convolution(channels, out, stride=stride)
        self.conv1, self.conv2 = convolution(out, out), convolution(out, out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        result: Tensor = x + self.conv2(self.conv1(x))
        return result


class _AsTheyAre(nn.Module):
    """In the place of torchvision's transform: a batch of one size, already in the network's range."""

    def forward(self, images: Tensor, targets: Any = None) -> tuple[Any, Any]:
        from torchvision.models.detection.image_list import ImageList

        return ImageList(images, [(int(images.shape[2]), int(images.shape[3]))] * len(images)), targets

    def postprocess(self, result: Any, shapes: Any, sizes: Any) -> Any:
        return result


def _to_float(_: nn.Module, __: Any, output: Any) -> Any:
    return tuple([t.float() for t in part] if isinstance(part, list) else part.float() for part in output)
