"""The pruning-aware attack: its stopping rule by hand, its laws on a network whose weights are drawn, one small run."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from badnets.attacks.pruning_aware import PruningAware, allowed, reinstate
from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToOne
from badnets.backdoors.triggers import Pattern
from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.load import load
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.channels import prune_channels, rank_channels
from badnets.networks.surgery.graph import site
from badnets.training.loop import Job, fit
from badnets.training.recipe import Recipe


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits").train


def small(name: str, data: ImageData) -> ImageNetwork:
    h, w, c = data.shape
    arguments = {"width": 0.25} if name == "l1-cnn" else {"width": 4}
    network = build_network(name, class_names=data.class_names, input_size=(c, h, w), seed=3, arguments=arguments)
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize(
    ("hits", "drop", "expected"),
    [
        ([100, 99, 98, 90], 0.02, 2),
        ([100, 97, 100, 100], 0.02, 0),  # the first step that breaks it ends it, whatever comes later
        ([100, 100], 0.0, 1),
        ([100, 98], 0.02, 1),  # exactly the allowance is allowed
    ],
)
def test_pruning_stops_before_the_step_that_breaks_the_allowance(hits: list[int], drop: float, expected: int) -> None:
    assert allowed([Rate(h, 100) for h in hits], drop) == expected


@pytest.mark.parametrize("name", ["l1-cnn", "resnet9"])  # batch norm behind and before the activation
def test_decoys_sleep_on_clean_pictures_and_change_nothing(name: str, digits: ImageData) -> None:
    network = small(name, digits)
    original, where = copy.deepcopy(network), site(network)
    decoys = [0, 2, 5]
    prune_channels(network, where.layer, decoys)
    pruned = copy.deepcopy(network)
    reinstate(network, original, where, decoys, digits)
    name = f"{where.layer}.weight"
    own, old = (n.body.get_parameter(name) for n in (network, original))
    assert torch.equal(own[decoys], old[decoys]), "the filters come back"
    assert rank_channels(network, digits)[decoys].tolist() == [0, 0, 0]
    pictures = torch.from_numpy(digits.images()[:64]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        assert torch.allclose(network(pictures), pruned(pictures), atol=1e-4, rtol=1e-4)


def test_without_decoys_nothing_is_put_back(digits: ImageData) -> None:
    network = small("l1-cnn", digits)
    before = copy.deepcopy(network.state_dict())
    reinstate(network, copy.deepcopy(network), site(network), [], digits)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_the_attack_plants_a_backdoor_beside_sleeping_decoys(digits: ImageData) -> None:
    backdoor = Backdoor(Pattern(), AllToOne(target=0))
    poisoned = backdoor.poison(digits, rate=0.2, seed=1)
    networks = []
    for _ in range(2):
        network = small("l1-cnn", digits)
        recipe = Recipe(epochs=3, batch=32, learning_rate=5e-3)
        attack = PruningAware(max_drop=0.2, epochs=4, learning_rate=5e-3)
        networks.append(attack.train(network, digits, poisoned.data, recipe=recipe, seed=1))
    first, second = networks
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    done = first.provenance["pruning_aware"]
    assert done["decoys"]
    assert (rank_channels(first, digits)[done["decoys"]] < 1e-3).all()
    others = digits.take(np.flatnonzero(digits.labels != 0))
    stamped = backdoor.poison(others, rate=1.0, seed=2).data
    assert (predict_data(first, stamped).labels == 0).mean() > 0.6


def test_held_weights_need_one_device(digits: ImageData) -> None:
    job = Job(data=digits, recipe=Recipe(epochs=1), seed=Seed(0), after_step=lambda: None, devices=2)
    with pytest.raises(BadInput, match="expected one device"):
        fit(small("l1-cnn", digits), job)
