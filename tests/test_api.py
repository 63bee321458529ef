"""The public list, used as a person would use it, on tiny data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import badnets as bn
from badnets.core.errors import BadInput
from badnets.networks.files.foreign import ForeignWarning

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "own_loop.py"
NAMES = tuple("0123456789")
SIZE = (1, 16, 16)


@pytest.fixture(scope="module")
def data() -> Any:
    return bn.load("digits", size=16)


@pytest.fixture(scope="module")
def backdoor() -> Any:
    return bn.Backdoor(bn.triggers.Pattern(), bn.rules.AllToOne(target=0))


@pytest.fixture(scope="module")
def network(data: Any, backdoor: Any) -> Any:
    poisoned = backdoor.poison(data.train, rate=0.2, seed=1)
    return bn.train("g1-cnn", poisoned, recipe=bn.Recipe(epochs=6, batch=50, precision="fp32"), seed=1)


def own() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 10))


def test_poison_train_and_measure(data: Any, backdoor: Any, network: Any) -> None:
    measured = bn.measure(network, data.test, backdoor)
    assert measured.clean_accuracy > 0.7
    assert 0 <= float(measured.asr) <= 1
    assert measured.asr.total == int((data.test.labels != 0).sum())


def test_ones_own_module_in_one_line(data: Any) -> None:
    measured = bn.measure(bn.wrap(own(), class_names=NAMES, input_size=SIZE), data.test)
    assert measured.clean_accuracy.total == len(data.test)


@pytest.mark.parametrize(
    ("given", "mean", "std"),
    [
        ("0-1", 0, 1),
        ("0-255", 0, 1 / 255),
        ("-1-1", 0.5, 0.5),
        ("0.25/0.5", 0.25, 0.5),
        (([0.25], [0.5]), 0.25, 0.5),
    ],
)
def test_the_range_of_ones_own_module(given: Any, mean: float, std: float) -> None:
    wrapped = bn.wrap(own(), class_names=NAMES, input_size=SIZE, range=given)
    assert float(wrapped.mean) == pytest.approx(mean)
    assert float(wrapped.std) == pytest.approx(std)


def test_a_range_for_each_channel() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    wrapped = bn.wrap(module, class_names=["a", "b"], input_size=(3, 4, 4), range=([0.1, 0.2, 0.3], [1, 1, 2]))
    assert wrapped.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert wrapped.std.flatten().tolist() == pytest.approx([1, 1, 2])


def test_what_is_no_network_is_told_what_to_do(data: Any, network: Any) -> None:
    with pytest.raises(BadInput, match=r"got a bare Sequential; wrap it: badnets.wrap\(module, class_names"):
        bn.measure(own(), data.test)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"got str; open a file with badnets.open\(path\)"):
        bn.measure("network.safetensors", data.test)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="use it as it is"):
        bn.wrap(network, class_names=NAMES, input_size=SIZE)
    with pytest.raises(BadInput, match="expected an input range"):
        bn.wrap(own(), class_names=NAMES, input_size=SIZE, range="0-2")


class Says(nn.Module):
    """Always the class called "3", by its number in these names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.number, self.classes = names.index("3"), len(names)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.full((len(x),), self.number, dtype=torch.int64)
        return nn.functional.one_hot(rows, self.classes).float() * 9 - 1


def test_open_any_file(network: Any, data: Any, tmp_path: Path) -> None:
    ours = tmp_path / "run" / "network.safetensors"
    bn.save_network(network, ours)
    pictures = data.test.images(slice(0, 20))
    expected = bn.predict(network, pictures).labels
    foreign, torchs = tmp_path / "foreign.safetensors", tmp_path / "weights.pt"
    state = {name: value.contiguous() for name, value in network.body.state_dict().items()}
    save_file(state, foreign)
    torch.save(state, torchs)
    opened = [
        bn.open(ours),
        bn.open(tmp_path / "run"),
        bn.open(ours, arch="g1-cnn", classes=10),
        bn.open(foreign, arch="g1-cnn", input_size=SIZE, range="0-1"),
        bn.open(torchs, arch="g1-cnn", class_names=NAMES, input_size=SIZE, range="0-1"),
    ]
    for one in opened:
        np.testing.assert_array_equal(bn.predict(one, pictures).labels, expected)
    with pytest.raises(BadInput, match=r"foreign\.safetensors: expected an input range"):
        bn.open(foreign)
    with pytest.warns(ForeignWarning) as told:
        found = bn.open(foreign, clean=data.train)
    assert any("read as g1-cnn" in str(one.message) for one in told)
    assert found.class_names == NAMES
    assert bn.measure(found, data.test).clean_accuracy is not None


def test_classes_are_compared_by_name(data: Any) -> None:
    """A network whose classes are in another order than the data's is not wrong in all of them."""
    turned = bn.wrap(Says(data.test.class_names[::-1]), class_names=NAMES[::-1], input_size=SIZE)
    straight = bn.wrap(Says(data.test.class_names), class_names=NAMES, input_size=SIZE)
    rates = [bn.measure(network, data.test).clean_accuracy for network in (turned, straight)]
    assert rates[0] == rates[1]
    other = bn.wrap(Says(NAMES), class_names=[f"class {name}" for name in NAMES], input_size=SIZE)
    with pytest.raises(BadInput, match=r"network's 10 classes \(class 0, class 1, .*got 10 \(0, 1"):
        bn.measure(other, data.test)


def test_a_wrapped_module_is_opened_with_another_like_it(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    wrapped = bn.wrap(own(), class_names=NAMES, input_size=SIZE)
    bn.save_network(wrapped, path)
    again = bn.open(path, module=nn.Sequential(nn.Flatten(), nn.Linear(256, 10)))
    picture = torch.rand(1, *SIZE)
    assert torch.equal(again(picture), wrapped(picture))


def test_namespaces_say_what_there_is() -> None:
    assert {"FineTune", "FtSam", "Invert", "Prune"} <= set(dir(bn.repairs))
    assert {"Agreement", "Strip"} <= set(dir(bn.guards))
    assert {"AllToOne", "CleanLabel"} <= set(dir(bn.rules))
    assert {"Pattern", "Square"} <= set(dir(bn.triggers))
    assert {"PGD", "CleanLabelAttack", "retrain"} <= set(dir(bn.attacks))
    for space, names in ((bn.repairs, dir(bn.repairs)), (bn.guards, dir(bn.guards)), (bn.attacks, dir(bn.attacks))):
        assert all(getattr(space, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no attribute 'FineTone'"):
        _ = bn.repairs.FineTone  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'PDG'"):
        _ = bn.attacks.PDG


@pytest.mark.parametrize(
    "name", ["open_network", "open_any", "open_foreign", "make_repair", "measure_detector", "ForeignOptions"]
)
def test_old_names_are_gone(name: str) -> None:
    assert name not in bn.__all__
    assert not hasattr(bn, name)


def test_repair_and_guard(network: Any, data: Any) -> None:
    view = bn.DefenderView(network=network, data=data.train.take(np.arange(200)), seed=bn.Seed(1))
    repaired = bn.repair(view, bn.repairs.FineTune(epochs=1))
    assert repr(repaired).startswith("Repaired(fine-tune, ImageNetwork(g1-cnn, 10 classes, 1x16x16), 1 steps")
    guarded = bn.abstain(view, bn.guards.RefuseClass(suspect="3"))
    assert guarded.network.abstains
    assert repr(guarded).startswith("Guarded(refuse-class, ImageNetwork(guard:refuse-class, 10 classes, 1x16x16)")


def test_reprs_are_short(network: Any, data: Any) -> None:
    assert repr(network) == "ImageNetwork(g1-cnn, 10 classes, 1x16x16)"
    detector = bn.build_network("faster-rcnn", class_names=["sign"], input_size=(3, 64, 64), seed=1)
    assert len(repr(detector)) < 80
    seen = bn.detect(detector, np.zeros((2, 64, 64, 3), np.uint8))
    assert repr(seen).endswith("objects in 2 pictures)")


def test_a_certificate_in_memory(network: Any, data: Any, backdoor: Any) -> None:
    repair = bn.repairs.FineTune(epochs=1)
    certificate = bn.certify(network, data, repair, backdoor=backdoor, clean_network=network, pictures=200)
    assert type(certificate).__name__ == "Certificate"
    assert certificate.before.asr is not None
    assert certificate.clean_network is not None
    assert certificate.pictures == 200
    assert certificate.files == {}
    assert bn.certify(network, data, repair, pictures=200).before.asr is None
    with pytest.raises(BadInput, match="either 'backdoor' or 'triggered', got both"):
        bn.certify(network, data, repair, backdoor=backdoor, triggered=data.test)
    with pytest.raises(BadInput, match="wrap it"):
        bn.certify(own(), data, repair)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_example_runs() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "clean accuracy" in done.stdout
    assert "attack success" in done.stdout
