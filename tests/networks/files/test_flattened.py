"""Which weights meet a flattened map."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.files.fitting import flattened_inputs, to_channels_first

EXPECTED = {
    "deepid": {"fc_1.weight": ((60, 5, 4),), "fc_2.weight": ((80, 4, 3),)},
    "g1-cnn": {"fc1.weight": ((32, 10, 8),)},
    "u1-cnn": {"fc1.weight": ((64, 25, 21),)},
    "l1-cnn": {"fc1.weight": ((128, 13, 11),)},
    "resnet9": {"fc.weight": ((128, 1, 1),)},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_our_networks(name: str) -> None:
    body = ARCHITECTURES[name].build(2, (3, 55, 47))
    assert flattened_inputs(body, (3, 55, 47)) == EXPECTED[name]


def test_what_comes_between_is_passed_and_batch_norms_are_counted() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.drop, self.fc, self.last = (
                nn.BatchNorm1d(12),
                nn.Dropout(),
                nn.Linear(12, 12),
                nn.Linear(12, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            rows = torch.relu(self.drop(self.bn(x.view(x.shape[0], -1))))
            logits: Tensor = self.last(self.fc(rows))
            return logits

    found = flattened_inputs(Odd(), (3, 2, 2))
    assert set(found) == {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "fc.weight"}
    assert set(found.values()) == {((3, 2, 2),)}


def test_one_feature_by_hand() -> None:
    """Feature (row 1, column 2, channel 3) of 4 channels of 2x3 is number 23 in HWC order and 3*6 + 1*3 + 2 in CHW."""
    weight = torch.zeros(2, 24)
    weight[1, (1 * 3 + 2) * 4 + 3] = 5
    turned = to_channels_first(weight, ((4, 2, 3),))
    assert turned.nonzero().tolist() == [[1, 3 * 6 + 1 * 3 + 2]]


def test_maps_that_are_joined_are_turned_one_by_one() -> None:
    """Of 2 channels of 1x2, then 3 features of no map: features of the first in the order 0, 2, 1, 3."""

    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.side = nn.Linear(7, 2), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(torch.cat([x.flatten(1), self.side(x.mean(1).flatten(1).repeat(1, 2))], 1))
            return logits

    assert flattened_inputs(Joined(), (2, 1, 2))["fc.weight"] == ((2, 1, 2), (3, 1, 1))
    turned = to_channels_first(torch.arange(7.0)[None], ((2, 1, 2), (3, 1, 1)))
    assert turned.tolist() == [[0, 2, 1, 3, 4, 5, 6]]
