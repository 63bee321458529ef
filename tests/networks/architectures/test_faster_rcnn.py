"""Detectors: built by name, saved and opened, boxes inside the picture, weights to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes
from badnets.networks.architectures.faster_rcnn import Wanted
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import Detections, detect, detect_data, joined, replaced
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, find_architecture, skeleton
from badnets.training.hardware import make_fabric

NAMES = ("stop", "go", "left")
SMALL = {"width": 8, "proposals": 20}


def small(size: tuple[int, int, int] = (3, 64, 80), seed: int = 1, names: Any = NAMES, **own: Any) -> ImageNetwork:
    return build_network("faster-rcnn", class_names=names, input_size=size, seed=seed, arguments={**SMALL, **own})


def pictures(count: int = 3, size: tuple[int, int, int] = (64, 80, 3)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *size), np.uint8)


def eager(network: ImageNetwork) -> ImageNetwork:
    """Sure of everything it sees: an untrained detector would see nothing otherwise."""
    network.body.inner.roi_heads.score_thresh = 0.0  # type: ignore[union-attr]
    return network


def same(first: Detections, second: Detections) -> None:
    for name in ("boxes", "labels", "confidence", "image"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_what_it_sees() -> None:
    found = detect(eager(small()), pictures())
    assert len(found.labels) > 10
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, 2:] <= [80, 64]).all()
    assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
    assert set(found.labels.tolist()) <= {0, 1, 2}
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert (np.diff(found.image) >= 0).all()
    for picture in range(3):
        rows = found.of(picture)
        assert (found.image[rows] == picture).all()
        assert (np.diff(found.confidence[rows]) <= 0).all()
    dtypes = [getattr(found, name).dtype for name in ("boxes", "labels", "confidence", "image")]
    assert dtypes == [np.float32, np.int64, np.float32, np.int64]


def test_batches_and_parts() -> None:
    network, images = eager(small()), pictures(5)
    data = ImageData(ArrayStore(images), Boxes.of(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int), 5), NAMES)
    whole = detect_data(network, data, batch=5)
    parts = joined([detect(network, images[:2]), detect(network, images[2:])])
    assert parts.pictures == whole.pictures == 5
    np.testing.assert_array_equal(parts.image, whole.image)
    np.testing.assert_allclose(parts.boxes, whole.boxes, atol=1e-3)
    empty = detect(network, images[:0])
    assert (empty.pictures, empty.boxes.shape, len(empty.labels)) == (0, (0, 4), 0)
    assert joined([]).pictures == 0
    same(joined([empty, whole, empty]), whole)
    rows = np.array([1, 4])
    other = detect(eager(small(seed=2)), images[rows])
    mixed = replaced(whole, rows, other)
    for picture in range(5):
        source, number = (other, rows.tolist().index(picture)) if picture in rows else (whole, picture)
        np.testing.assert_array_equal(mixed.boxes[mixed.of(picture)], source.boxes[source.of(number)])


def test_the_mode_is_left_as_it_was() -> None:
    network = small().train()
    detect(network, pictures(1))
    assert network.training


@pytest.mark.parametrize("size", [(3, 64, 80), (1, 70, 64)])
def test_saved_and_opened_it_sees_the_same(tmp_path: Path, size: tuple[int, int, int]) -> None:
    network = small(size)
    path = tmp_path / "detector.safetensors"
    save_network(network, path)
    opened = open_network(path)
    assert opened.task == "detect"
    assert opened.arguments == {"backbone": "small", **SMALL}
    images = pictures(2, (*size[1:], size[0]))
    first, second = detect(eager(network), images), detect(eager(opened), images)
    assert len(first.labels)
    same(first, second)


def test_weights_depend_on_the_seed_alone() -> None:
    first, second, other = small().state_dict(), small().state_dict(), small(seed=2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("size", "own", "words"),
    [
        ((3, 63, 200), {}, "expected pictures of at least 64x64 with 1 or 3 channels, got 63x200x3"),
        ((2, 64, 64), {}, "got 64x64x2"),
        ((1, 64, 64), {"backbone": "resnet50-fpn"}, "expected 3 channels for backbone resnet50-fpn, got 1"),
        ((3, 64, 64), {"backbone": "vgg"}, "for 'backbone', got 'vgg'"),
        ((3, 64, 64), {"proposals": 0}, "expected a value .* for 'proposals', got 0"),
        ((3, 64, 64), {"width": 2}, "expected a value .* for 'width', got 2"),
    ],
)
def test_what_it_cannot_take_is_refused(size: tuple[int, int, int], own: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        small(size, **own)


@pytest.mark.parametrize(("backbone", "features"), [("small", 256), ("mobilenet-v3-320", 1024), ("resnet50-fpn", 1024)])
def test_every_backbone_has_a_head_for_these_classes(backbone: str, features: int) -> None:
    architecture = find_architecture("faster-rcnn")
    body: Any = skeleton(architecture, 3, (3, 320, 320), architecture.resolve({"backbone": backbone, "proposals": 33}))
    heads = body.inner.roi_heads.box_predictor
    assert heads.cls_score.weight.shape == (4, features)  # and one for what is no object
    assert heads.bbox_pred.weight.shape == (16, features)
    assert body.inner.rpn.post_nms_top_n() == 33
    assert body.task == "detect"


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["mobilenet-v3-320", "resnet50-fpn"])
def test_torchvisions_backbones_see_and_learn(backbone: str, tmp_path: Path) -> None:
    network = build_network(
        "faster-rcnn", class_names=NAMES, input_size=(3, 64, 64), seed=1, arguments={"backbone": backbone}
    )
    save_network(network, tmp_path / "detector.safetensors")
    images = pictures(1, (64, 64, 3))
    first = detect(eager(network), images)
    same(first, detect(eager(open_network(tmp_path / "detector.safetensors")), images))
    assert (first.boxes >= 0).all()
    assert (first.boxes <= 64).all()
    losses = network.train()(torch.rand(2, 3, 64, 64), wanted())
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), list(network.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def wanted() -> Wanted:
    """Two objects in the first picture, none in the second."""
    boxes = torch.tensor([[4.0, 4, 30, 30], [20, 30, 60, 62]])
    return Wanted(boxes, torch.tensor([2, 0]), torch.tensor([0, 0]), 2)


def test_what_is_wanted_is_given_for_each_picture() -> None:
    boxes = torch.arange(12.0).reshape(3, 4)
    parts = Wanted(boxes, torch.tensor([2, 0, 1]), torch.tensor([0, 2, 2]), 4).pictures
    assert [part["labels"].tolist() for part in parts] == [[3], [], [1, 2], []]
    assert [part["boxes"].tolist() for part in parts] == [boxes[:1].tolist(), [], boxes[1:].tolist(), []]
    assert all(part["boxes"].shape[1:] == (4,) for part in parts)


def test_losses_and_gradients_with_an_empty_picture() -> None:
    network = small((3, 64, 64)).train()
    torch.manual_seed(1)
    losses = network(torch.rand(2, 3, 64, 64), wanted())
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    total: Tensor = sum(losses.values())
    assert torch.isfinite(total)
    gradients = torch.autograd.grad(total, list(network.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    nothing = Wanted(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 2)
    assert all(bool(torch.isfinite(loss)) for loss in network(torch.rand(2, 3, 64, 64), nothing).values())


class _Watch(nn.Module):
    """Keeps what it is told is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.told: list[Wanted] = []

    def forward(self, x: Tensor, told: Wanted) -> Tensor:
        self.told.append(told)
        out: Tensor = self.layer(x[:, :1, 0, 0])
        return out


def test_places_keep_their_digits_in_half_precision() -> None:
    fabric = make_fabric("bf16", 1, torch.device("cpu"))
    watch = _Watch()
    model = fabric.setup(watch)
    exact = torch.tensor([[100.3, 7.7, 203.9, 155.1]])  # bfloat16 has 8 bits: 100.5, 203.9 would be 204
    model(torch.rand(1, 3, 64, 64), Wanted(exact, torch.tensor([0]), torch.tensor([0]), 1))
    (told,) = watch.told
    assert told.pictures[0]["boxes"].dtype == torch.float32
    assert torch.equal(told.pictures[0]["boxes"], exact)


def test_boxes_and_scores_keep_their_digits_in_half_precision() -> None:
    network = eager(small((3, 64, 64))).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        (seen,) = network(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    assert seen["boxes"].dtype == seen["scores"].dtype == torch.float32
    assert not torch.equal(seen["boxes"], seen["boxes"].bfloat16().float())
    assert not torch.equal(seen["scores"], seen["scores"].bfloat16().float())


def test_weights_to_start_from(tmp_path: Path) -> None:
    """A detector of other classes gives everything but its last layers."""
    path = tmp_path / "home.safetensors"
    home = small(names=("a", "b", "c", "d", "e"), seed=7)
    save_network(home, path)
    network = small(weights=str(path))
    own, given, fresh = network.state_dict(), home.state_dict(), small().state_dict()
    heads = {name for name in own if "box_predictor" in name}
    assert len(heads) == 4
    assert all(torch.equal(own[name], given[name]) for name in own.keys() - heads)
    assert all(torch.equal(own[name], fresh[name]) for name in heads)
    assert "weights" not in network.arguments
    assert network.provenance["initial_weights"]["file"] == "home.safetensors"
    torch.save({name.removeprefix("body.inner."): value for name, value in given.items()}, tmp_path / "plain.pth")
    again = small(weights=str(tmp_path / "plain.pth")).state_dict()
    assert all(torch.equal(own[name], again[name]) for name in own)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 4)}, tmp_path / "other.pth")
    with pytest.raises(BadInput, match=r"other\.pth: expected weights of this detector, got 0 of \d+ tensors that fit"):
        small(weights=str(tmp_path / "other.pth"))
    save_network(small(width=16), tmp_path / "wide.safetensors")
    with pytest.raises(BadInput, match="choose the backbone that they belong to"):
        small(weights=str(tmp_path / "wide.safetensors"))
    with pytest.raises(BadInput, match="got nothing"):
        small(weights=str(tmp_path / "absent.pth"))


def test_a_classifier_is_no_detector_and_the_other_way_round() -> None:
    from badnets.networks.inference import predict

    classifier = build_network("g1-cnn", class_names=NAMES, input_size=(3, 64, 80), seed=1)
    with pytest.raises(BadInput, match="expected a detector, got g1-cnn"):
        detect(classifier, pictures(1))
    with pytest.raises(BadInput, match="expected a classifier, got a detector"):
        predict(small(), pictures(1))
    with pytest.raises(BadInput, match="expected pictures of 64x80x3, got 64x64x3"):
        detect(small(), pictures(1, (64, 64, 3)))
