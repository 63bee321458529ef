"""Clean networks of the same kind: as many as asked, found again, refused where they are not as accurate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import badnets as bn
from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import write_json
from badnets.core.rate import Rate
from badnets.data.images import Splits
from badnets.engines.on import On
from badnets.networks.files.own import open_network
from badnets.networks.network import ImageNetwork
from badnets.referee import references
from badnets.referee.references import network_files, train_references

RECIPE = {"epochs": 2, "precision": "fp32"}


@pytest.fixture(scope="module")
def digits() -> Splits:
    return bn.load("digits")


@pytest.fixture(scope="module")
def suspect(digits: Splits) -> ImageNetwork:
    return bn.train("resnet9:width=2", digits.train, recipe=bn.Recipe(epochs=2, precision="fp32"), seed=3)


def test_references_are_of_the_same_kind_and_found_again(
    suspect: ImageNetwork, digits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = train_references(suspect, digits.train, digits.test, 2, folder=tmp_path, recipe=RECIPE, start=On(jobs=1))
    networks = [open_network(one.path) for one in made.made]
    assert [one.architecture for one in networks] == [suspect.architecture] * len(networks)
    assert len({one.path.read_bytes() for one in made.made}) == len(made.made)
    assert all(one.accuracy.total == len(digits.test) for one in made.made)
    assert not torch.equal(networks[0].body.fc.weight, suspect.body.fc.weight)  # type: ignore[union-attr,arg-type]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(references, "fit", never)
    again = train_references(suspect, digits.train, digits.test, 2, folder=tmp_path, recipe=RECIPE, start=On(jobs=1))
    assert again == made
    made.made[0].path.write_bytes(b"damaged")
    assert references._known(made.made[0].path, made.recipe) is None


def test_a_folder_with_references_of_another_kind_is_refused(
    suspect: ImageNetwork, digits: Splits, tmp_path: Path
) -> None:
    def train(network: ImageNetwork, seed: int = 1) -> object:
        return train_references(
            network, digits.train, digits.test, 1, folder=tmp_path, recipe=RECIPE, seed=seed, start=On(jobs=1)
        )

    train(suspect)
    (before,) = network_files(tmp_path)
    content = before.read_bytes()
    wider = bn.build_network(
        "resnet9", class_names=digits.class_names, input_size=suspect.input_size, arguments={"width": 3}, seed=1
    )
    with pytest.raises(BadInput, match="choose another folder"):
        train(wider)
    with pytest.raises(BadInput, match="choose another folder"):
        train(suspect, seed=2)
    assert before.read_bytes() == content


def test_references_that_were_trained_longer_are_found_again(
    suspect: ImageNetwork, digits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "_as_accurate", lambda rate, _: float(rate) > 0)
    accurate: list[bool] = [False, True]
    real = references._trained

    def once_too_poor(*given: object, **more: object) -> list[references.Made]:
        made = real(*given, **more)  # type: ignore[arg-type]
        return made if accurate.pop(0) else [replace(one, accurate=False) for one in made]

    monkeypatch.setattr(references, "_trained", once_too_poor)
    accurate += [True, True, True]
    given = {"folder": tmp_path, "recipe": {**RECIPE, "epochs": 1}, "start": On(jobs=1)}
    made = train_references(suspect, digits.train, digits.test, 1, **given)  # type: ignore[arg-type]
    assert made.recipe.epochs == 2
    content = made.made[0].path.read_bytes()
    again = train_references(suspect, digits.train, digits.test, 1, **given)  # type: ignore[arg-type]
    assert again.recipe.epochs == 2
    assert again.made[0].path.read_bytes() == content


def test_a_refused_reference_is_none_of_the_networks_of_a_folder(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"reference-00{number}.safetensors").touch()
        write_json(tmp_path / f"reference-00{number}.json", {"accuracy": {}})
    made = [
        references.Made(path=path, accuracy=Rate(9, 10), accurate=path.stem.endswith("1"))
        for path in network_files(tmp_path)
    ]
    assert references._finished(made, tmp_path, bn.Recipe(epochs=1), Rate(9, 10)).refused == 1
    assert [path.name for path in network_files(tmp_path)] == ["reference-001.safetensors"]


def test_a_recipe_in_the_file_is_taken(suspect: ImageNetwork) -> None:
    told = suspect.with_body(suspect.body, provenance={"recipe": {"epochs": 9, "batch": 17}})
    assert references._recipe(told, None).epochs == 9
    assert references._recipe(told, {"epochs": 3}).batch == 17
    with pytest.raises(BadInput, match="recipe"):
        references._recipe(told, {"epochs": "many"})


def test_they_are_trained_longer_and_then_refused(
    suspect: ImageNetwork, digits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []

    def poor(*given: object, count: int = 0, **_: object) -> list[references.Made]:
        epochs.append(given[3].epochs)  # type: ignore[attr-defined]
        made = references.Made(path=tmp_path / "one", accuracy=Rate(10, 100), accurate=False)
        return [made]

    monkeypatch.setattr(references, "_trained", poor)
    with pytest.raises(CannotTell, match="no reference is as accurate as the network"):
        train_references(suspect, digits.train, digits.test, 2, folder=tmp_path, recipe=RECIPE)
    assert epochs == [2, 4, 8, 8]


def test_the_networks_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.safetensors", "a.PT", "a.json", ".hidden.pt"):
        (tmp_path / name).touch()
    assert [path.name for path in network_files(tmp_path)] == ["a.PT", "b.safetensors"]
