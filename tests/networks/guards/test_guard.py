"""What every guard does with scores and thresholds, and that its file gives it back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from badnets.core.errors import BadInput
from badnets.networks.architecture import GUARDS
from badnets.networks.files.header import read_header
from badnets.networks.files.own import open_network, save_network
from badnets.networks.guards.agreement import Agreement
from badnets.networks.guards.guard import Guard, as_network, build_parts, part_of
from badnets.networks.guards.ibd_psc_guard import IbdPsc
from badnets.networks.guards.refuse_class import RefuseClass
from badnets.networks.guards.strip_guard import Strip
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork, layer_table
from badnets.networks.registry import build_network, find_architecture, wrap
from badnets.networks.surgery.channels import prune_channels, shrink

NORMS = ["residual2.conv2.bn", "residual2.conv1.bn"]
NAMES = ["stop", "yield", "go"]
NAMES_OF_GUARDS = [f"guard:{name}" for name in GUARDS]


def network(name: str = "resnet9", seed: int = 1, **arguments: Any) -> ImageNetwork:
    return build_network(
        name, class_names=NAMES, input_size=(3, 16, 16), seed=seed, arguments=arguments, mean=[0.1] * 3, std=[0.5] * 3
    ).eval()


def make(name: str) -> Guard:
    first, second = network(width=4), network(width=4, seed=2)
    overlays = torch.randint(0, 256, (3, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    makers: dict[str, Callable[[], Guard]] = {
        "guard:agreement": lambda: Agreement(first, second),
        "guard:strip": lambda: Strip(first, overlays, own=0.75),
        "guard:ibd-psc": lambda: IbdPsc(first, NORMS, first=1, networks=2),
        "guard:refuse-class": lambda: RefuseClass(first, 1),
    }
    return makers[name]()


@pytest.mark.parametrize("name", NAMES_OF_GUARDS)
def test_a_file_gives_the_same_guard_back(name: str, tmp_path: Path) -> None:
    guarded = as_network(make(name), network())
    if name != "guard:refuse-class":
        guarded.body.threshold.fill_(guarded.body.scores(PICTURES).detach().median())
    save_network(guarded, tmp_path / "guarded.safetensors")
    again = open_network(tmp_path / "guarded.safetensors")
    assert again.architecture == name
    assert (again.abstains, again.classes) == (True, 3)
    assert torch.equal(guarded(PICTURES), again(PICTURES))
    assert "parts.0.body.fc.weight" in read_header(tmp_path / "guarded.safetensors")["tensors"]
    *rows, total = layer_table(again)
    assert sum(row["parameters"] for row in rows) == total["parameters"]
    assert total["output_shape"] == [4]


PICTURES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", NAMES_OF_GUARDS)
def test_answers_are_the_first_networks_and_refusals_come_last(name: str) -> None:
    guard = make(name)
    logits, scores = guard.network(PICTURES), guard.scores(PICTURES)
    guard.threshold.fill_(scores.detach().median() if name != "guard:refuse-class" else 0.5)
    given = guard(PICTURES)
    refused = scores > guard.threshold
    assert given.shape == (6, 4)
    assert torch.equal(given.argmax(1), torch.where(refused, 3, logits.argmax(1)))
    kept = given[~refused].softmax(1)
    torch.testing.assert_close(kept[:, :3], logits[~refused].softmax(1), rtol=1e-6, atol=1e-7)
    assert (given[refused].softmax(1)[:, 3] > 0.999).all()


@pytest.mark.parametrize("name", [n for n in NAMES_OF_GUARDS if n != "guard:refuse-class"])
def test_until_it_has_a_threshold_it_refuses_nothing(name: str) -> None:
    assert (make(name)(PICTURES).argmax(1) < 3).all()


def test_predict_names_the_refusal_by_the_number_behind_the_classes() -> None:
    guarded = as_network(RefuseClass(network(width=4), 0), network())
    last = guarded.body.network.body.get_submodule("fc")
    last.weight.data.zero_()
    last.bias.data = torch.tensor([1.0, 0.0, 0.0])
    images = (PICTURES.permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    assert predict(guarded, images).labels.tolist() == [3] * 6


def test_each_part_keeps_its_own_normalization() -> None:
    one = build_network("g1-cnn", class_names=NAMES, input_size=(3, 16, 16), seed=1, mean=[0.2] * 3, std=[0.5] * 3)
    two = build_network("g1-cnn", class_names=NAMES, input_size=(3, 16, 16), seed=1, mean=[0.9] * 3, std=[2.0] * 3)
    guarded = as_network(Agreement(one, two), one)
    assert guarded.mean.flatten().tolist() == [0.0] * 3
    assert [part["mean"] for part in guarded.arguments["parts"]] == [pytest.approx([0.2] * 3), pytest.approx([0.9] * 3)]
    first, second = guarded.body.get_submodule("parts.0"), guarded.body.get_submodule("parts.1")
    assert not torch.equal(first(PICTURES), second(PICTURES))


def test_a_part_with_channels_taken_out_comes_back(tmp_path: Path) -> None:
    original = build_network("g1-cnn", class_names=NAMES, input_size=(3, 16, 16), seed=1).eval()
    smaller = copy.deepcopy(original)
    prune_channels(smaller, "conv2", [0, 3, 5])
    smaller = shrink(smaller, "conv2")
    guarded = as_network(Agreement(original, smaller), original)
    save_network(guarded, tmp_path / "guarded.safetensors")
    again = open_network(tmp_path / "guarded.safetensors")
    assert again.body.get_submodule("parts.1.body.conv2").out_channels == 29
    assert torch.equal(guarded(PICTURES), again(PICTURES))


def test_a_file_that_nests_guards_or_lacks_a_part_is_refused() -> None:
    part = part_of(network(width=4))
    with pytest.raises(BadInput, match="guards are not nested"):
        build_parts([{**part, "architecture": "guard:strip"}], 3, (3, 16, 16), 1)
    with pytest.raises(BadInput, match="guards are not nested"):
        build_parts([{**part, "architecture": "logits-of:guard:strip"}], 3, (3, 16, 16), 1)
    with pytest.raises(BadInput, match="expected 2 networks inside the guard, got 1"):
        find_architecture("guard:agreement").build(3, (3, 16, 16), parts=[part])
    with pytest.raises(BadInput, match=r"at least 1e-09 for 'std\.0'"):
        build_parts([{**part, "std": [0.0]}], 3, (3, 16, 16), 1)
    with pytest.raises(BadInput, match="got 'nowhere'; the file is damaged"):
        find_architecture("guard:ibd-psc").build(3, (3, 16, 16), parts=[part], layers=["nowhere"], first=1)
    with pytest.raises(BadInput, match="at most 1 layers in the guard, got 2"):
        find_architecture("guard:ibd-psc").build(3, (3, 16, 16), parts=[part], layers=NORMS[:1], first=2)


def test_an_unknown_guard_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'strip'"):
        find_architecture("guard:stripe")
    with pytest.raises(BadInput, match="which badnets builds"):
        wrap(network(width=4).body, class_names=NAMES, input_size=(3, 16, 16), name="guard:mine")
