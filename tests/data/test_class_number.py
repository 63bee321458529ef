"""One rule for what names a class, at every door: its name first, and only then its number; names in Unicode's NFC."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import badnets as bn
from badnets.backdoors.rules import RULES, named
from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.data.targets import class_number
from badnets.networks.inference import align_classes
from badnets.referee.run import planted_in
from badnets.referee.spec import make_spec
from badnets.report.words.names import Nouns, _rule

FROM_ONE = ("1", "2", "3")
NFC, NFD = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("value", "names", "number"),
    [
        ("1", FROM_ONE, 0),
        (1, FROM_ONE, 0),
        ("3", FROM_ONE, 2),
        ("0", FROM_ONE, 0),  # nothing is called so
        (0, FROM_ONE, 0),
        ("1", ("cat", "dog"), 1),
        (1, ("cat", "dog"), 1),
        ("dog", ("cat", "dog"), 1),
        ("1", ("10", "1"), 1),
        (NFD, ("cat", NFC), 1),
    ],
)
def test_the_name_comes_first(value: int | str, names: tuple[str, ...], number: int) -> None:
    assert class_number(value, names) == number
    assert bn.rules.AllToOne(target=value).resolve(names).target == number
    if len(names) > 2:
        rule = bn.rules.SourceToTarget(source="2", target=value)
        assert (rule.resolve(names).source, rule.resolve(names).target) == (1, number)


@pytest.mark.parametrize("value", ["4", -1, "-1", "cot", "٣", "9" * 5000, ""])
def test_what_is_no_class(value: int | str) -> None:
    with pytest.raises(BadInput, match="expected the class") as told:
        class_number(value, FROM_ONE)
    assert len(str(told.value)) <= 400


@pytest.mark.parametrize("target", ['"1"', "1"])
def test_specs_and_settings(target: str) -> None:
    rule = {"kind": "all-to-one", "target": 2}
    given = {"data": "digits", "network": "g1-cnn", "backdoor": {"trigger": "square", "rule": rule}}
    spec = make_spec(given, [f"backdoor.rule.target={target}"])
    assert spec.backdoors[0].rule.resolve(FROM_ONE).target == 0


def test_poisoning_and_measuring_mean_the_same_class() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), np.uint8)
    data = ImageData.of(images, np.arange(30) % 3, class_names=FROM_ONE)
    backdoor = bn.Backdoor(bn.triggers.Square(), bn.rules.AllToOne(target=2))
    poisoned = backdoor.poison(data, rate=0.2, seed=1)
    assert set(poisoned.data.labels[poisoned.position]) == {1}
    network = bn.build_network("g1-cnn", class_names=FROM_ONE, input_size=(1, 16, 16), seed=1)
    asr = bn.measure(network, data, backdoor).asr
    assert asr is not None
    assert asr.total == 20  # all but class "2"


def test_what_was_resolved_is_not_looked_up_again() -> None:
    table = RULES.to_json(bn.rules.AllToOne(target="2").resolve(FROM_ONE))
    assert table["target"] == 1
    assert named(table, FROM_ONE)["target"] == "2"
    rule = _rule(table, FROM_ONE)
    nouns = Nouns(class_names=FROM_ONE, signs=False, objects=False, trigger="the square", rule=rule)
    assert nouns.case == "a picture with the square is read as “2”"


@pytest.mark.parametrize(
    ("recorded", "now", "number"),
    [(FROM_ONE, FROM_ONE, 1), (("a", "b", "c"), FROM_ONE, 1), (FROM_ONE, ("0", "1", "2"), 2)],
)
def test_a_recorded_backdoor_finds_its_class(recorded: tuple[str, ...], now: tuple[str, ...], number: int) -> None:
    class Record:
        class_names = recorded
        resolved = make_spec(
            {
                "data": "digits",
                "network": "g1-cnn",
                "backdoor": {"trigger": "square", "rule": {"kind": "all-to-one", "target": 1}},
            }
        ).to_json()

    spec = planted_in(Record(), now)  # type: ignore[arg-type]
    assert spec.backdoors[0].rule.resolve(now).target == number


def test_names_of_macos(tmp_path: Path) -> None:
    for part, name in (("train", NFC), ("test", NFD), ("train", "cat"), ("test", "cat")):
        (tmp_path / part / name).mkdir(parents=True)
        for i in range(2):
            Image.new("L", (16, 16), 9 * i).save(tmp_path / part / name / f"{i}.png")
    data = bn.load(tmp_path)
    assert data.class_names == ("Käfer", "cat") == data.test.class_names
    assert len(data.test) == 4
    network = bn.build_network("g1-cnn", class_names=["cat", NFD], input_size=(1, 16, 16), seed=1)
    assert network.class_names == ("cat", NFC)
    assert align_classes(data.test, network).labels.tolist() == [1, 1, 0, 0]
