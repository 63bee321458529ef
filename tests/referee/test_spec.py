"""Specs: short forms, defaults, changes, and every mistake in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from badnets.backdoors.triggers import Pattern, Pixel
from badnets.core.errors import BadInput
from badnets.referee.spec import NO_SPECS, Spec, make_data, make_spec, make_trigger, read_spec, run_name
from badnets.training.recipe import RECIPES

BASE: dict[str, Any] = {"data": "mnist", "network": "g1-cnn", "backdoor": {"trigger": "pattern", "rule": "all-to-one"}}


def _with(**changes: Any) -> dict[str, Any]:
    return {**BASE, **changes}


def _backdoor(**changes: Any) -> dict[str, Any]:
    return _with(backdoor={**BASE["backdoor"], **changes})


def test_short_forms_and_defaults() -> None:
    spec = make_spec(BASE)
    assert spec.data.name == "mnist"
    assert spec.seeds == (1,)
    assert spec.backdoor is not None
    assert spec.backdoor.trigger == Pattern()
    assert spec.backdoor.poison.rate == 0.1
    assert spec.recipe == RECIPES["g1-cnn"]
    assert make_spec(_with(data="path/to/folder")).data.name == "path/to/folder"
    assert make_spec(_with(seeds=3)).seeds == (1, 2, 3)
    assert make_spec(_with(seeds=[7, 2**80])).seeds == (7, 2**80)
    assert make_spec({"data": "mnist", "network": "resnet9:width=8"}).recipe == RECIPES["resnet9"]


def test_the_resolved_form_is_a_spec_again() -> None:
    table = _backdoor(rule={"kind": "clean-label", "target": "3"}, perturb={"epsilon": 0.1})
    spec = make_spec({**table, "jitter": {"size": 0.1}, "seeds": 2})
    assert make_spec(spec.to_json()) == spec


def test_changes() -> None:
    changes = [
        "recipe.epochs=3",
        "backdoor.trigger.place=top-left",
        "data.size=20",
        "backdoor.rule.target=4",
        "seeds=2",
        "backdoor.poison.count=7",
        "backdoor.poison.rate=0.2",
        'recipe.augment=["shift"]',
    ]
    spec = make_spec(BASE, [c for c in changes if "rate" not in c])
    assert (spec.recipe.epochs, spec.data.size, spec.seeds, spec.recipe.augment) == (3, 20, (1, 2), ("shift",))
    assert spec.backdoor is not None
    assert spec.backdoor.trigger == Pattern(place="top-left")
    assert (spec.backdoor.poison.count, spec.backdoor.poison.rate) == (7, None)
    with pytest.raises(BadInput, match="either a rate or a count"):
        make_spec(BASE, changes)


def test_changes_inside_short_forms_and_lists() -> None:
    table = _with(more_backdoors=[{"trigger": "pixel", "rule": "all-to-all"}])
    spec = make_spec(table, ["more_backdoors.0.trigger.place=center", "seeds=[4, 5]", "seeds.1=9"])
    assert spec.seeds == (4, 9)
    assert spec.more_backdoors[0].trigger == Pixel(place="center")
    placed = make_spec(BASE, ["backdoor.trigger.place=top-left", "backdoor.trigger.place.distance=3"])
    assert placed.backdoor is not None
    assert placed.backdoor.trigger == Pattern(place={"kind": "corner", "corner": "top-left", "distance": 3})
    with pytest.raises(BadInput, match="one of 1 entries"):
        make_spec(table, ["more_backdoors.1.trigger=pattern"])


def test_the_given_table_is_not_touched() -> None:
    table = _with(data={"name": "mnist"})
    make_spec(table, ["data.size=9", "backdoor.rule.target=2"])
    assert table == _with(data={"name": "mnist"})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (_with(netwrk="x"), "unknown key 'netwrk'; did you mean 'network'"),
        (_with(recipe={"epocs": 1}), "unknown key 'recipe.epocs'; did you mean 'epochs'"),
        (_with(data={"name": "mnist", "sise": 3}), "unknown key 'data.sise'; did you mean 'size'"),
        (_backdoor(triger="x"), "unknown key 'backdoor.triger'; did you mean 'trigger'"),
        (
            _backdoor(trigger={"kind": "pattern", "plac": 1}),
            "unknown key 'backdoor.trigger.plac'; did you mean 'place'",
        ),
        (_backdoor(trigger={"kind": "square", "sise": 1}), "unknown key 'backdoor.trigger.sise'; did you mean 'size'"),
        (_backdoor(rule={"kind": "all-to-one", "targt": 1}), "'backdoor.rule.targt'; did you mean 'target'"),
        (_backdoor(poison={"rte": 0.1}), "unknown key 'backdoor.poison.rte'; did you mean 'rate'"),
        (
            _backdoor(trigger={"kind": "pattern", "place": {"kind": "corner", "distanse": 1}}),
            "unknown key 'backdoor.trigger.place.distanse'; did you mean 'distance'",
        ),
        (
            _with(more_backdoors=[{**BASE["backdoor"], "poisn": {}}]),
            "unknown key 'more_backdoors.0.poisn'; did you mean 'poison'",
        ),
        (_with(jitter={"rotaton": 1}), "unknown key 'jitter.rotaton'; did you mean 'rotation'"),
        (_backdoor(perturb={"epsilo": 1}), "unknown key 'backdoor.perturb.epsilo'; did you mean 'epsilon'"),
        (_backdoor(trigger="patern"), "unknown kind 'patern' for 'backdoor.trigger'; did you mean 'pattern'"),
        (_backdoor(rule="all-to-on"), "unknown kind 'all-to-on' for 'backdoor.rule'; did you mean 'all-to-one'"),
        (_backdoor(trigger={"plce": 1}), "expected a value for 'backdoor.trigger.kind'"),
        (_backdoor(rule="source-to-target"), "expected a value for 'backdoor.rule.source'"),
        ({"data": "mnist"}, "expected a value for 'network'"),
        ({"network": "g1-cnn"}, "expected a value for 'data'"),
        (_with(data={}), "expected a value for 'data.name'"),
        (_with(backdoor={"rule": "all-to-one"}), "expected a value for 'backdoor.trigger'"),
        (_backdoor(poison={"rate": 0}), "expected a value above 0 for 'backdoor.poison.rate', got 0"),
        (_backdoor(poison={"rate": 1.5}), "expected a value of at most 1 for 'backdoor.poison.rate', got 1.5"),
        (_backdoor(poison={"rate": float("nan")}), "backdoor.poison.rate"),
        (_backdoor(poison={"rate": 0.1, "count": 3}), "backdoor.poison: expected either a rate or a count, got both"),
        (_backdoor(poison={"mode": "swap"}), "expected 'replace' or 'add' for 'backdoor.poison.mode', got 'swap'"),
        (_backdoor(poison={"cover": "x"}), "expected a number or a whole number for 'backdoor.poison.cover', got 'x'"),
        (_backdoor(trigger={"kind": "square", "size": 0}), "backdoor.trigger.size"),
        (_with(seeds=0), "seeds: expected at least 1 seed, got 0"),
        (_with(seeds=-2), "seeds: expected at least 1 seed, got -2"),
        (_with(seeds=[]), "seeds"),
        (_with(seeds=[1, 1]), "seeds: expected different seeds"),
        (_with(seeds="two"), "seeds"),
        (_with(recipe="fast"), "expected a table for 'recipe', got 'fast'"),
        (_with(recipe={"epochs": 0}), "expected a value of at least 1 for 'recipe.epochs', got 0"),
        (
            _with(recipe={"augment": ["shft"]}),
            "expected 'shift', 'flip', 'light', 'rotate' or 'zoom' for 'recipe.augment.0', got 'shft'",
        ),
        (_with(name="a b"), "expected at most 80 letters, digits, dots, hyphens and underscores"),
        (_with(network=3), "expected a text for 'network', got 3"),
        (_with(backdoor=7), "expected a table for 'backdoor', got 7"),
        (_with(data=7), "expected a table for 'data', got 7"),
        (_with(devices=0), "devices"),
        (_backdoor(perturb={}), "expected 'perturb' with a single clean-label rule"),
        (
            _backdoor(perturb={}, rule="clean-label", poison={"mode": "add"}),
            "expected poison mode 'replace' with 'perturb'",
        ),
        ({**BASE, "backdoor": None, "more_backdoors": [BASE["backdoor"]]}, "expected 'backdoor' before"),
        (
            _with(more_backdoors=[{**BASE["backdoor"], "poison": {"mode": "add"}}]),
            "one poison mode for all",
        ),
    ],
)
def test_mistakes(table: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        make_spec(table, where="x.toml")
    message = str(caught.value)
    assert message.startswith("x.toml: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize("change", ["recipe.epochs", "=3", ""])
def test_a_change_is_a_key_and_a_value(change: str) -> None:
    with pytest.raises(BadInput, match="--set key=value"):
        make_spec(BASE, [change])


def test_data_and_triggers_alone() -> None:
    assert make_data("digits", ["size=20", "options.style=eu"]).options == {"style": "eu"}
    assert make_trigger("pattern", ["place=top-left"]) == Pattern(place="top-left")
    with pytest.raises(BadInput, match=r"the data: unknown key 'data\.sise'; did you mean 'size'"):
        make_data("digits", ["sise=20"])
    with pytest.raises(BadInput, match=r"trigger pattern: unknown key 'plac'; did you mean 'place'"):
        make_trigger("pattern", ["plac=1"])
    with pytest.raises(BadInput, match="expected a trigger, got 'patern'; did you mean 'pattern'"):
        make_trigger("patern")


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "my spec (2).toml"
    path.write_text('\ufeffdata = "mnist"\nnetwork = "g1-cnn"\n', encoding="utf-8")
    file = read_spec(path, ["seeds=2"])
    assert file.spec.name == "my-spec-2"
    assert file.spec.seeds == (1, 2)
    assert file.given == {"data": "mnist", "network": "g1-cnn", "name": "my-spec-2", "seeds": 2}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"data = ", "expected TOML in"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"PK\x03\x04\x80", "not UTF-8"),
        (b'data = "mnist"\nnetwork = 2020-01-01', "expected texts, numbers, lists and tables"),
        (b"", "expected a value for 'data'"),
    ],
)
def test_files_that_are_no_specs(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        read_spec(path)
    assert "spec.toml" in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BadInput, match="expected a spec"):
            read_spec(path)


@pytest.mark.parametrize(
    ("text", "name"), [("a b/c", "a-b-c"), ("..", "run"), ("", "run"), ("ü", "run"), ("a" * 99, "a" * 80), ("-x-", "x")]
)
def test_names_of_runs(text: str, name: str) -> None:
    assert run_name(text) == name
    assert make_spec(_with(name=run_name(text))).name == name


def test_the_schema_knows_every_key() -> None:
    schema = Spec.model_json_schema()
    assert set(schema["properties"]) >= {"data", "network", "seeds", "recipe", "backdoor", "reference"}
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (Path(__file__).parents[2] / "runs").glob("*.toml") if path.stem not in NO_SPECS),
    ids=lambda path: path.stem,
)
def test_the_shipped_specs_are_right(path: Path) -> None:
    assert read_spec(path).spec.name == path.stem
