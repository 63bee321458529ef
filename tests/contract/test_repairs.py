"""What every repair must keep, asked of each entry of the table, with and without batch norm, with few steps."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional

from badnets.core.errors import BadInput, CannotTell
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.load import load
from badnets.defenses.repair import DefenderView, Repaired, repair
from badnets.defenses.repairs import REPAIRS, make_repair
from badnets.measures.classification import accuracy
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork, to_float
from badnets.networks.registry import build_network, parse_network

NETWORKS = ["g1-cnn", "resnet9:width=4"]
FEW = {"epochs": 2, "teacher_epochs": 1, "steps": 20, "rounds": 1, "starts": 1, "screening": 50}
NEEDED: dict[str, dict[str, Any]] = {}
"""Settings that a repair cannot do without."""

pytestmark = pytest.mark.parametrize("kind", REPAIRS)


@pytest.fixture(scope="module", autouse=True)
def _trigger(tmp_path_factory: pytest.TempPathFactory) -> None:
    mask = np.zeros((16, 16), np.float32)
    mask[13:15, 13:15] = 1
    path = tmp_path_factory.mktemp("trigger") / "trigger.npz"
    np.savez(path, mask=mask, pattern=np.ones((16, 16, 1), np.float32))
    NEEDED["unlearn"] = {"trigger": str(path)}


@cache
def pictures() -> ImageData:
    return load("digits", size=16).train.take(np.arange(150))


@cache
def learned(name: str) -> ImageNetwork:
    """A network after 60 steps on the pictures."""
    data = pictures()
    kind, arguments = parse_network(name)
    network = build_network(kind, class_names=data.class_names, input_size=(1, 16, 16), seed=1, arguments=arguments)
    images, labels = to_float(torch.from_numpy(data.images())), torch.from_numpy(np.array(data.labels))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.zero_grad()
    return network.eval()


def method(kind: str) -> Any:
    """The repair with its defaults, but for what makes it long."""
    known = {field.name for field in dataclasses.fields(REPAIRS[kind])}  # type: ignore[arg-type]
    return make_repair(kind, {name: value for name, value in FEW.items() if name in known} | NEEDED.get(kind, {}))


def done(kind: str, name: str, seed: int = 1) -> Repaired:
    return repair(DefenderView(network=learned(name), data=pictures(), seed=Seed(seed)), method(kind))


def numbers(network: ImageNetwork) -> list[torch.Tensor]:
    return list(network.body.state_dict().values())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_result_and_what_it_leaves_alone(kind: str, name: str, tmp_path: Path) -> None:
    given = learned(name)
    before = [value.clone() for value in numbers(given)]
    modes = [part.training for part in given.modules()]
    state = torch.get_rng_state()
    first = done(kind, name)
    assert torch.equal(torch.get_rng_state(), state), "the global random state was used"
    assert all(torch.equal(a, b) for a, b in zip(before, numbers(given), strict=True)), "the view's network was changed"
    assert [part.training for part in given.modules()] == modes
    assert not any(part._forward_hooks for part in given.modules())
    assert not first.network.training
    assert not any(part._forward_hooks for part in first.network.modules())
    assert all(p.requires_grad and p.grad is None for p in given.parameters())
    assert first.chosen
    assert first.stopped is None
    assert json.loads(json.dumps(first.to_json()))["method"]["kind"] == kind

    torch.manual_seed(99)
    second = done(kind, name)
    assert all(torch.equal(a, b) for a, b in zip(numbers(first.network), numbers(second.network), strict=True))
    assert first.trace == second.trace

    save_network(first.network, tmp_path / "repaired.safetensors")
    again = open_network(tmp_path / "repaired.safetensors")
    images = to_float(torch.from_numpy(pictures().images(slice(0, 20))))
    assert torch.equal(first.network(images), again(images))
    assert again.provenance["repaired"]["kind"] == kind


class Jumps:
    """A clock on which a second passes at each look, and from look ``late`` on a day."""

    def __init__(self, late: int) -> None:
        self.looks, self.late = 0, late

    def __call__(self) -> float:
        self.looks += 1
        return self.looks + (86_400 if self.looks >= self.late else 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_budget_ends_it_whenever_it_is_spent(kind: str, name: str) -> None:
    given, images = learned(name), to_float(torch.from_numpy(pictures().images(slice(0, 20))))
    whole = Jumps(10**9)
    view = DefenderView(network=given, data=pictures(), seed=Seed(1), budget_s=10_000)
    assert repair(view, method(kind), clock=whole).stopped is None
    for late in sorted({2, 3, whole.looks // 2, whole.looks - 1}):
        if not 2 <= late < whole.looks:  # the first look is at the beginning, the last at the end
            continue
        clock = Jumps(late)
        result = repair(view, method(kind), clock=clock)
        assert result.stopped == "budget"
        assert clock.looks == late + 1, "a step was taken after the budget was spent"
        assert torch.isfinite(result.network(images)).all()
        assert not result.network.training
        assert "stopped after" in result.chosen


def test_no_network_that_lost_more_than_it_may(kind: str) -> None:
    known = {field.name for field in dataclasses.fields(REPAIRS[kind])}  # type: ignore[arg-type]
    if "hold_out" not in known and kind != "distill":
        pytest.skip("it chooses on all pictures, or is told what to do")
    # A rate at which everything is forgotten at once.
    rates = {name: 1e3 for name in ("learning_rate", "forget_rate", "inner_rate") if name in known}
    if kind == "unlearn":  # without shortened gradients the weights would become NaN
        rates["learning_rate"] = 0.5
    settings = {name: value for name, value in FEW.items() if name in known} | NEEDED.get(kind, {}) | rates
    if kind == "invert":
        settings |= {"classes": [3], "attacks": 0.01, "largest": 1.0, "pace": 5.0}
    given = learned("g1-cnn")
    try:
        result = repair(DefenderView(network=given, data=pictures(), seed=Seed(1)), make_repair(kind, settings))
    except CannotTell:
        return
    before, after = (accuracy(predict_data(n, pictures()).labels, pictures().labels) for n in (given, result.network))
    assert float(before) - float(after) < 0.25
    if kind != "prune" and all(torch.equal(a, b) for a, b in zip(numbers(given), numbers(result.network), strict=True)):
        assert "the network as it came" in result.chosen or "0 of" in result.chosen


def test_settings_go_through_json(kind: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(REPAIRS[kind])
    there = method(kind)
    assert adapter.validate_python(json.loads(adapter.dump_json(there))) == there
    assert there.kind == kind
    with pytest.raises(BadInput, match="unknown key 'rubbish'"):
        make_repair(kind, {"rubbish": 1})


def test_too_little_data_is_refused(kind: str) -> None:
    network, data = learned("g1-cnn"), pictures()
    if not method(kind).needs_data:
        assert repair(DefenderView(network=network), method(kind)).pictures == 0
        return
    for few, sentence in (
        (None, "expected clean data, got none"),
        (data.take(np.arange(10)), "expected at least .* clean pictures, got 10"),
        (data.take(np.repeat(np.flatnonzero(data.labels == 3), 5)), "expected clean pictures of at least 2 classes"),
    ):
        with pytest.raises(BadInput, match=sentence):
            repair(DefenderView(network=network, data=few), method(kind))


def test_foreign_data_is_refused(kind: str) -> None:
    network, data = learned("g1-cnn"), pictures()
    for other in (
        data.resize((20, 20)),
        ImageData.of(data.images(), data.labels, class_names=[f"sign {k}" for k in range(10)]),
        ImageData.of(np.repeat(data.images(), 3, axis=3), data.labels, class_names=data.class_names),
    ):
        with pytest.raises(BadInput, match="expected"):
            repair(DefenderView(network=network, data=other), method(kind))


def test_it_says_where_it_comes_from(kind: str) -> None:
    text = " ".join((REPAIRS[kind].__doc__ or "").split())
    assert "Source: " in text
    assert "Differs from the paper: " in text
