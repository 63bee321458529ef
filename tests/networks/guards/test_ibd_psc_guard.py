"""Amplified batch normalizations, against a copy whose weights are really scaled."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import pytest
import torch
from torch import nn

from badnets.networks.guards.ibd_psc_guard import IbdPsc, amplified, log_doubt, logits_with
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap

LAYERS = ["norm2", "norm1"]  # from the last to the first
PICTURES = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(1))


def network() -> ImageNetwork:
    stream = torch.Generator().manual_seed(0)
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 4, 1), norm1=nn.BatchNorm2d(4), relu1=nn.ReLU(),
        conv2=nn.Conv2d(4, 4, 2), norm2=nn.BatchNorm2d(4), relu2=nn.ReLU(),
        flatten=nn.Flatten(), fc=nn.Linear(4, 3),
    )  # fmt: skip
    body = nn.Sequential(layers)
    for parameter in body.parameters():
        parameter.data = torch.randn(parameter.shape, generator=stream)
    return wrap(body, class_names=["a", "b", "c"], input_size=(1, 2, 2), name="toy").eval()


def scaled(original: ImageNetwork, layers: list[str], factor: float) -> ImageNetwork:
    other = copy.deepcopy(original)
    for layer in layers:
        other.body.get_submodule(layer).get_parameter("weight").data *= factor
        other.body.get_submodule(layer).get_parameter("bias").data *= factor
    return other


@pytest.mark.parametrize("depth", [1, 2])
def test_amplifying_is_scaling_the_weights_of_a_copy(depth: int) -> None:
    original = network()
    before = copy.deepcopy(original.state_dict())
    found = logits_with(original, amplified(original, LAYERS[:depth], 1.5), PICTURES)
    torch.testing.assert_close(found, scaled(original, LAYERS[:depth], 1.5)(PICTURES))
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())


def test_the_score_is_the_mean_confidence_in_the_originals_answer() -> None:
    original = network()
    answers = original(PICTURES).argmax(1)
    rows = torch.arange(5)
    by_hand = [scaled(original, LAYERS[:depth], 2.0)(PICTURES).double().softmax(1)[rows, answers] for depth in (1, 2)]
    guard = IbdPsc(original, LAYERS, first=1, networks=2, factor=2.0)
    torch.testing.assert_close(guard.scores(PICTURES), -torch.log(1 - (by_hand[0] + by_hand[1]) / 2).float())


def test_there_are_no_more_networks_than_layers_are_left() -> None:
    original = network()
    two, five = (IbdPsc(original, LAYERS, first=2, networks=n).scores(PICTURES) for n in (1, 5))
    assert torch.equal(two, five)


def test_sure_answers_still_differ() -> None:
    logits = torch.tensor([[40.0, 0.0], [60.0, 0.0], [0.0, 0.0]])
    assert logits.softmax(1)[:2, 0].tolist() == [1.0, 1.0]
    assert log_doubt(logits, torch.tensor([0, 0, 0])).tolist() == pytest.approx([-40.0, -60.0, math.log(0.5)])
