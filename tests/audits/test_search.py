"""The smallest universal change, against its closed form; its pictures; the copies that a network teaches."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from badnets.audits.detector import Suspect
from badnets.audits.detectors import DETECTORS, make_detector
from badnets.audits.pictures import DRAWN, Pictures
from badnets.audits.search import HIGHEST, LOWEST, Change, Goal, Pixels, Shift, smallest
from badnets.audits.teaching import fresh, teach, varied
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import DefenderView
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork

Make = Callable[..., ImageNetwork]


def shift(goals: int, steps: int) -> Shift:
    return Shift(goals, (1, 8, 8), steps, torch.device("cpu"))


def test_the_size_of_a_linear_networks_change(make_linear: Make, quarters: ImageData) -> None:
    """Of two logits whose difference is w x, the mean margin over pictures is 0 after a change of -mean(w x) / |w|."""
    network = make_linear()
    pictures = Pictures.of(network, quarters, Seed(1))
    change = shift(1, 60)
    (found,) = smallest(network, pictures, [Goal(1, 0)], change, each=8)
    rows = pictures.rows_of(0, 1, 8)
    weight = network.body.fc.weight.detach()  # type: ignore[union-attr,operator]
    way = weight[1] - weight[0]
    mean = float((pictures.images[rows].flatten(1) @ way).mean())
    exact = -mean / float(way.norm()) / math.sqrt(way.numel())
    assert math.exp(found) == pytest.approx(exact, rel=0.08)
    assert float(change.value[0].flatten() @ way) > 0


def test_the_fewest_pixels_of_a_linear_network(make_linear: Make, quarters: ImageData) -> None:
    """A pixel that outweighs all others is enough; without it many are needed."""
    with_pixel, without = (make_linear(trigger=trigger) for trigger in ((2, 30.0), None))
    pictures = Pictures.of(make_linear(), quarters, Seed(1))
    few, many = (Pixels(1, (1, 8, 8), 20, torch.device("cpu")) for _ in range(2))
    first, second = (
        math.exp(smallest(network, pictures, [Goal(2, 0)], change, each=8)[0])
        for network, change in ((with_pixel, few), (without, many))
    )
    assert first <= 1.5
    assert second > 3
    assert many.mask.sum() <= 16
    assert set(many.color.flatten().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("kind", [Shift, Pixels])
def test_sizes_lie_within_their_limits(kind: type[Change], make_linear: Make, quarters: ImageData) -> None:
    network = make_linear()
    pictures = Pictures.of(network, quarters, Seed(1))
    goals = [Goal(t, s) for s in (None, 2) for t in range(4) if s != t]
    first, again = (
        smallest(network, pictures, goals, kind(len(goals), (1, 8, 8), 8, torch.device("cpu")), each=4)  # type: ignore[call-arg]
        for _ in range(2)
    )
    limits = (LOWEST, HIGHEST) if kind is Shift else (1, 16)
    assert np.array_equal(first, again)
    assert (first >= math.log(limits[0])).all()
    assert (first <= math.log(limits[1]) + 1).all()


def test_a_pixel_that_speaks_for_a_class_makes_its_changes_small(make_linear: Make, quarters: ImageData) -> None:
    detector = make_detector("perturbation", {})
    sizes = {
        name: detector.sizes(Suspect(DefenderView(network=make_linear(trigger=trigger), data=quarters, seed=Seed(1))))
        for name, trigger in (("clean", None), ("planted", (2, 4.0)))
    }
    smaller = sizes["clean"] - sizes["planted"]
    assert int(np.nanargmax(np.nanmean(smaller, 0))) == 2


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("data", [True, False])
def test_every_detector(kind: str, data: bool, make_linear: Make, quarters: ImageData) -> None:
    """Sizes by sources and targets, the same each time; the network is left as it was."""
    detector, network = make_detector(kind, {}), make_linear()
    if detector.needs_data and not data:
        pytest.skip("it needs data")
    view = DefenderView(network=network, data=quarters if data else None, seed=Seed(1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, again = (detector.sizes(Suspect(view)) for _ in range(2))
    assert first.shape[1] == network.classes
    assert first.shape[0] in (1, network.classes)
    assert np.isfinite(first).any(0).all()
    assert np.array_equal(first, again, equal_nan=True)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_pictures_that_are_read_wrongly_are_left_out(make_linear: Make, quarters: ImageData) -> None:
    network = make_linear(trigger=(2, 40.0))  # nearly all are read as class 2
    pictures = Pictures.of(network, quarters, Seed(1))
    labels = predict(network, quarters.images()).labels
    assert pictures.present == [0, 1, 2, 3]  # a class without a right one keeps all
    assert len(pictures) <= len(quarters)
    assert (labels == 2).mean() > 0.5


def test_rows_begin_again_where_there_are_few(make_linear: Make, quarters: ImageData) -> None:
    pictures = Pictures.of(make_linear(), quarters.take(np.array([0, 1, 2, 3, 4])), Seed(1))
    rows = pictures.rows_of(1, 0, 6)
    assert set(pictures.labels[rows].tolist()) == {1}
    assert 0 not in pictures.labels[pictures.rows_of(None, 0, 6)]


def test_drawn_pictures(make_linear: Make) -> None:
    pictures = Pictures.drawn(make_linear(), Seed(1))
    assert len(pictures) == DRAWN
    assert 0 <= float(pictures.images.min()) <= float(pictures.images.max()) <= 1


def test_a_copy_begins_anew_and_learns(make_linear: Make, quarters: ImageData) -> None:
    network = make_linear()
    pictures = Pictures.of(network, quarters, Seed(1))
    first, again = (teach(network, pictures, Seed(5), steps=60) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    right = (predict(first, quarters.images()).labels == quarters.labels).mean()
    assert right > 0.6
    assert not torch.equal(first.body.fc.weight, network.body.fc.weight)  # type: ignore[union-attr]


def test_tensors_without_a_beginning_of_their_own_are_shuffled() -> None:
    class Bare(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = torch.nn.Parameter(torch.arange(30.0).view(5, 6))

    made = fresh(Bare(), torch.Generator().manual_seed(0))
    values = made.values.flatten()  # type: ignore[union-attr,operator]
    assert sorted(values.tolist()) == list(range(30))
    assert values.tolist() != list(range(30))


def test_varied_pictures_stay_in_range(make_linear: Make, quarters: ImageData) -> None:
    images = Pictures.of(make_linear(), quarters, Seed(1)).images
    made = varied(images, 33, torch.Generator().manual_seed(1))
    assert made.shape == (33, *images.shape[1:])
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
