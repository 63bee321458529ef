"""Clean networks of the same kind: as many as asked, found again, refused where they are not as accurate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import badnets as bn
from badnets.core.errors import BadInput, CannotTell
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
    assert references._known(made.made[0].path) is None


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
