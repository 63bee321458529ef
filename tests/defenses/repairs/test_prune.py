"""A network in which channel k answers for class k alone, so that the whole curve is known beforehand.

Of 100 pictures 40, 3, 10 and 47 have the classes 0 to 3; picture of class k: pixel k is white. Without channel k those
pictures get class 0. Mean activations are 0.40, 0.03, 0.10 and 0.47.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.defenses.repair import DefenderView, Repaired, repair
from badnets.defenses.repairs.prune import Prune
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap

NAMES = ["a", "b", "c", "d"]
COUNTS = [40, 3, 10, 47]


def toy() -> ImageNetwork:
    body = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 4))
    with torch.no_grad():
        body[0].weight.copy_(torch.eye(4).reshape(4, 1, 2, 2))
        body[0].bias.zero_()
        body[3].weight.copy_(torch.eye(4))
        body[3].bias.copy_(torch.tensor([0.1, 0, 0, 0]))
    return wrap(body, class_names=NAMES, input_size=(1, 2, 2)).eval()


def pictures() -> ImageData:
    labels = np.repeat(np.arange(4), COUNTS)
    images = np.zeros((100, 4), np.uint8)
    images[np.arange(100), labels] = 255
    return ImageData.of(images.reshape(100, 2, 2, 1), labels, class_names=NAMES)


def pruned(data: ImageData | None = None, **settings: Any) -> Repaired:
    return repair(DefenderView(network=toy(), data=data), Prune(**settings))


def silent(result: Repaired) -> list[int]:
    weight: Any = result.network.body.get_submodule("0").weight
    return torch.nonzero(weight.flatten(1).abs().sum(1) == 0).flatten().tolist()


def test_the_trace_is_the_whole_curve() -> None:
    result = pruned(pictures())
    assert [row["pruned"] for row in result.trace] == [0, 1, 2, 3, 4]
    assert [row["channel"] for row in result.trace] == [None, 1, 2, 0, 3]
    assert [row["clean_accuracy"]["hits"] for row in result.trace] == [100, 97, 87, 87, 40]
    assert [row["mean_activation"] for row in result.trace[1:]] == pytest.approx([0.03, 0.1, 0.4, 0.47])
    assert [row["kept"] for row in result.trace] == [True, True, False, False, False]
    assert result.chosen == "1 channels of 0, by accuracy on all 100 clean pictures"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_drop": 0.03}, [1]),  # just what the first step costs
        ({"max_drop": 0.05}, [1]),
        ({"max_drop": 0.12}, [1]),
        ({"max_drop": 0.13}, [1, 2, 0]),
        ({"max_drop": 1.0}, [1, 2, 0, 3]),
        ({"convention": "published", "max_drop": 0.05}, [1, 2]),  # the step that breaks it is carried out
        ({"convention": "published", "max_drop": 0.0}, [1]),
        ({"convention": "published", "max_drop": 0.13}, [1, 2, 0, 3]),
        ({"channels": 2}, [1, 2]),
        ({"channels": 0}, []),
        ({"first": "most-active", "channels": 1}, [3]),
        ({"order": (3, 0), "channels": 1}, [3]),
        ({"order": (0, 1, 2, 3), "max_drop": 0.03}, [0, 1]),
    ],
)
def test_where_it_stops(settings: dict[str, Any], expected: list[int]) -> None:
    assert silent(pruned(pictures(), **settings)) == sorted(expected)


def test_a_drop_that_no_step_satisfies_gives_the_original() -> None:
    result = pruned(pictures(), max_drop=0.02)
    assert silent(result) == []
    assert result.chosen.startswith("no channel: already the first would cost more than 2.00 points")
    before, after = toy().state_dict(), result.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_kept_channels_keep_their_bits() -> None:
    before: Any = toy().body
    after: Any = pruned(pictures(), channels=2).network.body
    assert torch.equal(before[0].weight[[0, 3]], after[0].weight[[0, 3]])
    assert torch.equal(before[3].weight, after[3].weight)


def test_order_and_number_need_no_data() -> None:
    result = pruned(order=(2, 1, 0), channels=2)
    assert silent(result) == [1, 2]
    assert (result.trace, result.pictures) == ([], 0)
    assert result.chosen == "2 channels of 0, as asked for"


def test_order_and_number_take_ten_pictures_of_one_class() -> None:
    result = pruned(pictures().take(np.arange(10)), order=(2, 1), channels=1)
    assert silent(result) == [2]
    assert [row["clean_accuracy"]["total"] for row in result.trace] == [10, 10, 10]


def test_shrinking_gives_a_smaller_network_with_the_same_answers() -> None:
    images = torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    small = pruned(pictures(), channels=2, shrink=True).network
    assert torch.equal(small(images), pruned(pictures(), channels=2).network(images))
    assert small.body.get_submodule("0").weight.shape == (2, 1, 2, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"layer": "conv9"}, "'conv9'.*; its convolutions: 0"),
        ({"order": (0, 4)}, "expected channels from 0 to 3, got 4"),
        ({"order": (0, 0)}, "got 0 twice"),
        ({"order": (0, 1), "channels": 3}, "expected at most the 2 channels of the order, got 3"),
        ({"channels": 5}, "expected at most the 4 channels of the order, got 5"),
        ({"at": "pool"}, "expected a pooling after '0', got none"),
    ],
)
def test_refusals(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        pruned(pictures(), **settings)


def test_a_network_without_a_convolution() -> None:
    network = wrap(nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), class_names=NAMES, input_size=(1, 2, 2))
    with pytest.raises(BadInput, match="expected a network with a convolution, got none"):
        repair(DefenderView(network=network, data=pictures()), Prune())


def test_ctrl_c_gives_the_steps_that_are_done() -> None:
    def on_row(_: str, done: int, *__: Any) -> None:
        if done == 2:
            raise KeyboardInterrupt

    result = repair(DefenderView(network=toy(), data=pictures()), Prune(max_drop=1.0), on_row=on_row)
    assert (silent(result), result.stopped) == ([1, 2], "interrupted")
