"""What holds for every abstainer; a new entry of the table is covered unasked."""

from __future__ import annotations

import copy
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.abstain import Guarded, abstain
from badnets.defenses.abstainers import ABSTAINERS, make_abstainer
from badnets.defenses.repair import DefenderView
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import predict, predict_data
from badnets.networks.registry import build_network

NAMES = ("a", "b", "c")
QUICK: dict[str, dict[str, Any]] = {
    "agreement": {"repair": "fine-tune", "settings": {"epochs": 1}},
    "strip": {"overlays": 3},
    "refuse-class": {"suspect": "b"},
}
"""Settings that must be given, or that make a method quick."""


def pictures(n: int = 60) -> ImageData:
    labels = np.arange(n) % 3
    pixels = np.random.default_rng(0).integers(0, 80, (n, 8, 8, 3), np.uint8)
    for row, label in enumerate(labels):
        pixels[row, :, :, label] += 120
    return ImageData.of(pixels, labels, class_names=NAMES)


def make_view(data: ImageData | None = None, seed: int = 1) -> DefenderView:
    network = build_network(
        "resnet9", class_names=NAMES, input_size=(3, 8, 8), seed=1, arguments={"width": 4}, mean=[0.3] * 3
    )
    return DefenderView(network=network.eval(), data=pictures() if data is None else data, seed=Seed(seed))


def guard(kind: str, view: DefenderView | None = None) -> Guarded:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return abstain(view or make_view(), make_abstainer(kind, QUICK.get(kind)), refuse=0.1)


@pytest.mark.parametrize("kind", ABSTAINERS)
def test_the_same_view_gives_the_same_bits(kind: str) -> None:
    torch.manual_seed(5)
    first = guard(kind)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after), "the global random state was used or changed"
    second = guard(kind)
    a, b = first.network.state_dict(), second.network.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert {**first.to_json(), "seconds": 0} == {**second.to_json(), "seconds": 0}


@pytest.mark.parametrize("kind", ABSTAINERS)
def test_two_secrets_behind_one_view_give_the_same_bits(kind: str) -> None:
    views = [make_view(), make_view()]
    for number, view in enumerate(views):
        view.network.provenance = {"backdoor": {"target": number}}
    first, second = (guard(kind, view) for view in views)
    a, b = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert {**first.to_json(), "seconds": 0} == {**second.to_json(), "seconds": 0}


@pytest.mark.parametrize("kind", ABSTAINERS)
def test_a_guarded_network_is_a_network_of_n_plus_1_answers(kind: str, tmp_path: Path) -> None:
    view = make_view()
    before = copy.deepcopy(view.network.state_dict())
    guarded = guard(kind, view)
    save_network(guarded.network, tmp_path / "guarded.safetensors")
    again = open_network(tmp_path / "guarded.safetensors")
    assert again.abstains
    assert again.class_names == NAMES
    given, original = predict_data(again, pictures()), predict_data(view.network, pictures())
    np.testing.assert_array_equal(given.labels, predict_data(guarded.network, pictures()).labels)
    kept = given.labels < 3
    np.testing.assert_array_equal(given.labels[kept], original.labels[kept])
    np.testing.assert_allclose(given.confidence[kept], original.confidence[kept], rtol=1e-5)
    assert predict(again, pictures().images(np.arange(1))).labels.shape == (1,)
    assert predict(again, pictures().images(np.arange(0))).labels.shape == (0,)
    assert all(torch.equal(value, before[name]) for name, value in view.network.state_dict().items())


@pytest.mark.parametrize("kind", ABSTAINERS)
def test_settings_survive_json(kind: str) -> None:
    method = make_abstainer(kind, QUICK.get(kind))
    adapter = TypeAdapter(type(method))
    assert method.kind == kind
    assert adapter.validate_json(json.dumps(adapter.dump_python(method, mode="json"))) == method
    assert json.loads(json.dumps(guard(kind).to_json()))["method"]["kind"] == kind


@pytest.mark.parametrize("kind", ABSTAINERS)
def test_wrong_settings_and_wrong_data_are_one_sentence(kind: str) -> None:
    with pytest.raises(BadInput, match="unknown key 'nonsense'"):
        make_abstainer(kind, {"nonsense": 1})
    method = make_abstainer(kind, QUICK.get(kind))
    with pytest.raises(BadInput, match="expected the network's 3 classes"):
        DefenderView(network=make_view().network, data=replace(pictures(), class_names=("x", "y", "z")))
    if method.needs_data:
        with pytest.raises(BadInput, match=rf"{kind}: expected clean data, got none"):
            abstain(replace(make_view(), data=None), method)
        with pytest.raises(BadInput, match="expected at least 40 clean pictures, got 10"):
            abstain(make_view(pictures(10)), method)


@pytest.mark.parametrize("kind", ABSTAINERS)
def test_the_docstring_gives_the_source_and_the_differences(kind: str) -> None:
    text = ABSTAINERS[kind].__doc__ or ""
    assert re.search(r"Source: \w", text)
    assert re.search(r"Differs from the paper: \w", text)
    fields = TypeAdapter(ABSTAINERS[kind]).json_schema()["properties"]
    assert all(name == "kind" or "description" in field for name, field in fields.items())
