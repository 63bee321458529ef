"""The user's acceptance test: accuracy, and the architecture that was asked for."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.measures.classification import accept
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap

NAMES = ("a", "b")


def _data() -> ImageData:
    return ImageData.of(np.zeros((10, 16, 16, 1), np.uint8), [0] * 10, class_names=NAMES)


def _network(seed: int = 1, name: str = "g1-cnn") -> ImageNetwork:
    return build_network(name, class_names=NAMES, input_size=(1, 16, 16), seed=seed)


def _always(answer: int) -> ImageNetwork:
    network = _network()
    last = network.body.get_submodule("fc2")
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    last.bias.data[answer] = 1  # type: ignore[union-attr, index]
    return network


class _Parallel(nn.Module):
    """A network with a trigger recognizer built in beside it: the paper's invalid BadNet."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.recognizer = body, nn.Conv2d(1, 1, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        return logits


def test_accuracy_decides() -> None:
    good, bad = accept(_always(0), _network(2), _data(), 0.9), accept(_always(1), _network(2), _data(), 0.9)
    assert good.accepted
    assert good.accuracy.hits == 10
    assert not bad.accepted
    assert "below a* = 90.00 %" in bad.reason
    assert accept(_always(0), _network(2), _data(), 1.0).accepted  # at least a*


def test_a_network_beside_it_is_refused() -> None:
    parallel = wrap(_Parallel(_always(0).body), class_names=NAMES, input_size=(1, 16, 16))
    found = accept(parallel, _network(), _data(), 0.5)
    assert not found.accepted
    assert found.accuracy.value == 1  # however accurate
    assert "refused: the architecture" in found.reason


def test_another_architecture_is_refused() -> None:
    found = accept(_network(name="resnet9"), _network(), _data(), 0.0)
    assert not found.accepted


def test_the_order_of_layers_counts() -> None:
    def of(*names: str) -> ImageNetwork:
        layers = OrderedDict[str, nn.Module](flat=nn.Flatten(), dense=nn.Linear(256, 2))
        layers.update({name: nn.ReLU() if name == "relu" else nn.Tanh() for name in names})
        return wrap(nn.Sequential(layers), class_names=NAMES, input_size=(1, 16, 16))

    found = accept(of("relu", "tanh"), of("tanh", "relu"), _data(), 0.0)
    assert not found.accepted
    assert "differs at" in found.reason
    assert accept(of("relu", "tanh"), of("relu", "tanh"), _data(), 0.0).accepted


def test_pictures_must_fit() -> None:
    with pytest.raises(BadInput, match="expected pictures of"):
        accept(_network(), _network(), _data().resize((20, 20)), 0.5)
