"""A detector seen as a classifier of the objects that it is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from badnets.core.errors import BadInput
from badnets.data.images import ArrayStore, Boxes, ImageData
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.objects import NOTHING, OBJECT, SIDE, as_classifier, as_labelled, class_of_objects


@pytest.fixture
def detector() -> ImageNetwork:
    return build_network(
        "faster-rcnn",
        class_names=["stop", "yield"],
        input_size=(3, 64, 64),
        seed=1,
        arguments={"width": 4, "proposals": 5},
        device="cpu",
    ).eval()


@pytest.mark.parametrize(("number", "name"), [(0, NOTHING), (1, "stop"), (2, "yield")])
def test_the_class_that_the_second_stage_gives(detector: ImageNetwork, number: int, name: str) -> None:
    """torchvision's class 0 is background; here it is the last."""
    seen = class_of_objects(detector)
    assert seen.class_names == ("stop", "yield", NOTHING)
    with torch.no_grad():
        detector.body.inner.roi_heads.box_predictor.cls_score.bias[number] += 100  # type: ignore[union-attr,index,operator]
        logits = seen(torch.rand(2, 3, SIDE, SIDE))
    assert [seen.class_names[k] for k in logits.argmax(1)] == [name, name]


def test_gradients_lead_back_to_the_picture(detector: ImageNetwork) -> None:
    images = torch.rand(1, 3, SIDE, SIDE, requires_grad=True)
    class_of_objects(detector)(images)[0, 0].backward()
    assert images.grad is not None
    assert float(images.grad.abs().sum()) > 0


def test_a_classifier_stays_as_it_is() -> None:
    network = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 28, 28), seed=1, device="cpu")
    assert as_classifier(network) is network
    with pytest.raises(BadInput, match="two stages"):
        class_of_objects(network)


def test_objects_are_cut_out_whole_and_in_the_middle() -> None:
    """Two squares, one at the edge: what lies beyond it is as the edge."""
    pixels = np.zeros((2, 80, 100, 3), np.uint8)
    pixels[0, 30:46, 40:56] = 200
    pixels[1, 64:80, 84:100] = 200
    boxes = Boxes.of(np.array([[84, 64, 100, 80], [40, 30, 56, 46]], float), np.array([1, 0]), np.array([1, 0]), 2)
    cut = as_labelled(ImageData(ArrayStore(pixels), boxes, ("stop", "yield"), None, "street"))
    assert cut.class_names == ("stop", "yield", NOTHING)
    assert cut.labels.tolist() == [0, 1]
    first, last = cut.images()
    edge = (SIDE - OBJECT) // 2
    inside = slice(edge + 2, SIDE - edge - 2)
    assert (first[inside, inside] == 200).all()
    assert (first[: edge - 2] == 0).all()
    assert (last[inside, inside] == 200).all()
    assert (last[-edge:, -edge:] == 200).all()
    assert as_labelled(cut) is cut
