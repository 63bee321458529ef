from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork
from badnets.referee.bench import EPOCHS, LEARNING_RATE, Role, reactivate, retune
from badnets.referee.truth import TriggeredPictures

CLASSES = ("target", "other")
SEED = Seed(5)


def with_weight(weight: float) -> ImageNetwork:
    """A corner that is white speaks for the target by ``weight`` against a bias of 1 for the other class."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        body[1].weight.zero_()
        body[1].weight[0, 15] = weight
        body[1].bias.copy_(torch.tensor([0.0, 1.0]))
    return ImageNetwork(body, architecture="toy", arguments={}, class_names=CLASSES, input_size=(1, 4, 4)).eval()


def marked(n: int) -> ImageData:
    images = np.zeros((n, 4, 4, 1), np.uint8)
    images[:, 3, 3] = 255
    return ImageData.of(images, np.zeros(n, int), class_names=CLASSES)


def clean(n: int = 20) -> ImageData:
    return ImageData.of(np.zeros((n, 4, 4, 1), np.uint8), np.ones(n, int), class_names=CLASSES)


def test_what_sleeps_wakes_and_what_never_learned_does_not() -> None:
    truth = TriggeredPictures(pictures=marked(20))
    networks = {"repaired": with_weight(0.99), "clean_network": with_weight(0.0), "backdoored": with_weight(3.0)}
    told: list[tuple[int, int]] = []
    found = reactivate(
        networks,
        truth,
        marked(10),
        clean(),
        clean(),
        seed=SEED,
        on_epoch=lambda what, done, total, rate: told.append((done, total)),
    )
    assert found is not None
    assert {name: getattr(found, name).hits for name in ("before", "repaired", "clean_network", "backdoored")} == {
        "before": 0,
        "repaired": 10,
        "clean_network": 0,
        "backdoored": 10,
    }
    assert (found.difference.value, found.difference.total) == (1.0, 10)
    assert (found.poisoned_pictures, found.clean_pictures, found.epochs) == (10, 20, EPOCHS)
    assert told == [(step, 3 * EPOCHS) for step in range(1, 3 * EPOCHS + 1)]


def test_it_is_void_where_the_network_before_the_repair_forgets_too() -> None:
    """Poison with the label of the other class teaches even the backdoored network to leave the target."""
    truth = TriggeredPictures(pictures=marked(20))
    networks: dict[Role, ImageNetwork] = {"repaired": with_weight(0.0)}
    forgetful = ImageData.of(marked(200).images(), np.ones(200, int), class_names=CLASSES)
    found = reactivate({**networks, "backdoored": with_weight(1.05)}, truth, forgetful, clean(), clean(), seed=SEED)
    assert found is not None
    assert (found.backdoored_before.value, found.backdoored.value) == (1.0, 0.0)
    assert "from 100.00 % to 0.00 %" in found.void
    kept = reactivate({**networks, "backdoored": with_weight(9.0)}, truth, marked(10), clean(), clean(), seed=SEED)
    assert kept is not None
    assert kept.void is None
    assert "void" not in kept.to_json()
    never = reactivate({**networks, "backdoored": with_weight(0.0)}, truth, forgetful, clean(), clean(), seed=SEED)
    assert never is not None
    assert never.void is None  # it had nothing to forget


def test_without_a_clean_network_there_is_no_difference() -> None:
    truth = TriggeredPictures(pictures=marked(4))
    found = reactivate({"repaired": with_weight(3.0)}, truth, marked(2), clean(), clean(), seed=SEED)
    assert found is not None
    assert (found.clean_network, found.backdoored, found.difference) == (None, None, None)


def test_retuning_is_sgd_with_momentum() -> None:
    """All 30 pictures in one batch: weights and biases by hand."""
    network = with_weight(0.0)
    before = copy.deepcopy(network.state_dict())
    tuned = retune(network, marked(10), clean(), seed=SEED)
    assert tuned is not None
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    weight, bias, speed = 0.0, np.array([0.0, 1.0]), np.zeros(3)
    other = 0.0  # the corner's weight for the other class
    for _ in range(EPOCHS):
        p = [1 / (1 + np.exp(bias[1] + other - bias[0] - weight)), 1 / (1 + np.exp(bias[1] - bias[0]))]
        corner, share = (10 * (p[0] - 1)) / 30, (10 * (p[0] - 1) + 20 * p[1]) / 30
        speed = 0.9 * speed + np.array([corner, share, -share])
        weight, other = weight - LEARNING_RATE * speed[0], other + LEARNING_RATE * speed[0]
        bias = bias - LEARNING_RATE * speed[1:]
    layer = dict(tuned.named_parameters())
    assert torch.allclose(layer["body.1.bias"], torch.tensor(bias, dtype=torch.float32), atol=1e-6)
    assert abs(float(layer["body.1.weight"][0, 15].detach()) - weight) < 1e-6
    again = retune(network, marked(10), clean(), seed=SEED)
    assert all(torch.equal(a, b) for a, b in zip(tuned.parameters(), again.parameters(), strict=True))


class Deaf(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 2)


def test_a_network_without_gradients_is_not_tuned() -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(16, 2), Deaf())
    deaf = ImageNetwork(body, architecture="toy", arguments={}, class_names=CLASSES, input_size=(1, 4, 4)).eval()
    assert retune(deaf, marked(2), clean(), seed=SEED) is None
    truth = TriggeredPictures(pictures=marked(4))
    assert reactivate({"repaired": deaf}, truth, marked(2), clean(), clean(), seed=SEED) is None
