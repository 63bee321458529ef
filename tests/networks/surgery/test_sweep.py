"""The sweep gives the answers of the pruned network at every step."""

from __future__ import annotations

import copy
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network, wrap
from badnets.networks.surgery import sweep
from badnets.networks.surgery.channels import prune_channels, rank_channels
from badnets.networks.surgery.sweep import SweepStep, pruning_sweep

Toy = tuple[ImageNetwork, str]


def pictures(n: int, size: tuple[int, int, int] = (3, 8, 8), seed: int = 0) -> ImageData:
    c, h, w = size
    rng = np.random.default_rng(seed)
    return ImageData.of(rng.integers(0, 256, (n, h, w, c), np.uint8), np.zeros(n, np.int64), class_names=["a", "b"])


def one_by_one(
    network: ImageNetwork, layer: str, order: list[int], sets: dict[str, ImageData], batch: int
) -> Iterator[SweepStep]:
    """What the sweep must give: prune, run the whole network, and so on."""
    network = copy.deepcopy(network)
    for number in range(len(order) + 1):
        channel = order[number - 1] if number else None
        if channel is not None:
            prune_channels(network, layer, [channel])
        answers = {name: predict_data(network, data, batch=batch).labels for name, data in sets.items()}
        yield SweepStep(number, channel, answers)


def check(network: ImageNetwork, layer: str, order: list[int], sets: dict[str, ImageData], **more: int) -> int:
    """Both ways agree; gives how many answers changed on the way."""
    steps = list(pruning_sweep(network, layer, order, sets, **more))
    expected = list(one_by_one(network, layer, order, sets, more.get("batch", 1000)))
    assert len(steps) == len(order) + 1
    for ours, theirs in zip(steps, expected, strict=True):
        assert (ours.number, ours.channel, list(ours.answers)) == (theirs.number, theirs.channel, list(sets))
        for name in sets:
            assert ours.answers[name].dtype == np.int64
            assert np.array_equal(ours.answers[name], theirs.answers[name]), (ours.number, name)
    return sum(int((a.answers["a"] != b.answers["a"]).sum()) for a, b in itertools.pairwise(steps))


@pytest.mark.parametrize("memory", [sweep.MEMORY, 20_000, 0])
def test_the_same_answers_as_one_by_one(each_toy: Toy, memory: int) -> None:
    network, layer = each_toy
    sets = {"a": pictures(45), "b": pictures(3, seed=1)}
    assert check(network, layer, [3, 0, 5, 1, 4, 2], sets, batch=20, memory=memory) > 0


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("deepid", "conv_3", (3, 55, 47)),
        ("l1-cnn", "conv3", (3, 32, 32)),
        ("g1-cnn", "conv2", (1, 28, 28)),
        ("resnet9", "residual2.conv2.conv", (3, 32, 32)),
        ("resnet18", "layer2.1.conv1", (3, 16, 16)),
        ("preact-resnet18", "layer4.1.conv1", (3, 16, 16)),
    ],
)
def test_our_architectures(name: str, layer: str, size: tuple[int, int, int]) -> None:
    names = [str(number) for number in range(50)]
    arguments = {"deepid": {}, "g1-cnn": {}, "l1-cnn": {"width": 0.25}}.get(name, {"width": 4})
    network = build_network(name, class_names=names, input_size=size, seed=1, arguments=arguments)
    data = pictures(30, size)
    settle(network, data)
    order = np.argsort(rank_channels(network, data, layer), kind="stable").tolist()
    assert check(network, layer, order, {"a": data}) > 0
    assert network.training


def settle(network: ImageNetwork, data: ImageData) -> None:
    """Norms take the statistics of ``data``, so that answers differ from picture to picture."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(data.images()).permute(0, 3, 1, 2) / 255)


class Tied(nn.Module):
    """Every class has the same score, so rounding alone decides, and ``predict`` says the first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Linear(216, 5)
        self.fc.weight.data[:] = self.fc.weight.data[0]
        self.fc.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.relu(self.conv(x)).flatten(1))
        return out


def test_ties_are_broken_as_predict_breaks_them() -> None:
    network = wrap(Tied(), class_names=list("abcde"), input_size=(3, 8, 8))
    check(network, "conv", [0, 1, 2, 3, 4, 5], {"a": pictures(33)}, batch=7)


def test_only_pictures_in_which_the_channel_is_active_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 28, 28), seed=1)
    convolution = network.body.get_submodule("conv2")
    convolution.bias.data[:4] = -1000  # dead
    seen: list[int] = []
    settle_rows = sweep._settle

    def note(part: object, rows: Tensor, logits: Tensor) -> bool:
        seen.append(len(rows))
        return settle_rows(part, rows, logits)

    monkeypatch.setattr(sweep, "_settle", note)
    check(network, "conv2", [0, 1, 2, 3, 4], {"a": pictures(10, (1, 28, 28))})
    assert len(seen) == 1


def test_the_network_is_untouched_and_a_sweep_can_be_left(each_toy: Toy) -> None:
    network, layer = each_toy
    before = copy.deepcopy(network.state_dict())
    steps = pruning_sweep(network, layer, [2, 1, 0], {"a": pictures(5)})
    kept = [next(steps), next(steps)]
    steps.close()
    assert [(step.number, step.channel) for step in kept] == [(0, None), (1, 2)]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_no_pictures_and_no_channels(each_toy: Toy) -> None:
    network, layer = each_toy
    steps = list(pruning_sweep(network, layer, [0], {"a": pictures(0)}))
    assert [step.answers["a"].shape for step in steps] == [(0,), (0,)]
    assert len(list(pruning_sweep(network, layer, [], {"a": pictures(2)}))) == 1


def test_refusals_come_at_once(each_toy: Toy) -> None:
    network, layer = each_toy
    good = {"a": pictures(2)}
    for order, sets, message in (
        ([0, 0], good, "each channel once"),
        ([9], good, "from 0 to 5, got 9"),
        ([0], {}, "got none"),
        ([0], {"a": pictures(2, (3, 9, 9))}, "8x8x3"),
    ):
        with pytest.raises(BadInput, match=message):
            pruning_sweep(network, layer, order, sets)
    with pytest.raises(BadInput, match="its convolutions"):
        pruning_sweep(network, "nowhere", [0], good)


@pytest.mark.data
def test_the_published_curve(shared_data: Path) -> None:
    """The real network ``lab3``: attack success within 5 points of the published one at steps 45 to 56."""
    from badnets.data.formats.arrays import read_hdf5
    from badnets.networks.files.foreign import open_foreign

    folder = shared_data / "csaw-hackml"
    network = open_foreign(folder / "lab3_bd_weights.h5", arch="deepid", input_range="0-255")
    faces = read_hdf5(folder / "sunglasses_faces.h5", name="sunglasses")
    with (folder / "published_pruning_curve.csv").open() as file:
        published = list(csv.DictReader(file))
    order = [int(row["channel"]) for row in published]
    for step in pruning_sweep(network, "conv_3", order, {"faces": faces}):
        if 45 <= step.number <= 56:
            ours = 100 * float((step.answers["faces"] == 0).mean())
            assert abs(ours - float(published[step.number - 1]["asr_percent"])) <= 5, step.number
