"""Weights of another architecture with a like name are found out by names and shapes."""

from __future__ import annotations

import pytest
import torch

from badnets.networks.lookalikes import all_spellings, fits, lookalike
from badnets.networks.registry import find_architecture, parse_network

SIZE = (3, 32, 32)


def shapes(text: str, classes: int = 7) -> dict[str, tuple[int, ...]]:
    name, arguments = parse_network(text)
    architecture = find_architecture(name)
    with torch.device("meta"):
        state = architecture.build(classes, SIZE, **architecture.resolve(arguments)).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize(
    ("said", "really"),
    [
        ("resnet18", "torchvision:resnet18"),
        ("torchvision:resnet18", "resnet18"),
        ("vgg16_bn", "cifar-vgg16"),
        ("cifar-vgg16", "cifar-vgg16:batch_norm=false,dense=3"),
        ("wrn-16-1", "wrn-16-1:layout=layer"),
        ("densenet121", "cifar-densenet121:growth=12"),
    ],
)
def test_the_other_one_is_found(said: str, really: str) -> None:
    assert lookalike(said, shapes(really), SIZE) == really


def test_there_may_be_none() -> None:
    assert lookalike("resnet18", shapes("lenet"), SIZE) is None


def test_counters_and_the_number_of_classes_do_not_matter() -> None:
    given = {name: shape for name, shape in shapes("resnet20", 43).items() if not name.endswith("num_batches_tracked")}
    assert fits("resnet20", given, SIZE)
    assert not fits("resnet32", given, SIZE)
    assert not fits("resnet20", given | {"linear.bias": (2, 2)} | {"linear.weight": (2, 63)}, SIZE)


def test_every_spelling_can_be_built() -> None:
    for text in all_spellings():
        name, arguments = parse_network(text)
        find_architecture(name).resolve(arguments)
    assert {"wrn-16-1", "wrn-28-10:layout=layer", "lenet:padding=2", "resnet18"} <= set(all_spellings())
