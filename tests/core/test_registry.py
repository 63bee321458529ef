"""What there is by name: ours, other packages', and what is said when one of theirs cannot be used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from badnets.cli.listing import FAMILIES, family
from badnets.core.errors import BadInput
from badnets.core.registry import Kinds, Registry

Plugins = Callable[..., None]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Coat:
    """A layer of paint."""

    kind: Literal["coat"] = "coat"
    color: str = "red"
    layers: Annotated[int, Field(ge=1, description="how many")] = 1


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Dots:
    """Dots all over."""

    kind: Literal["dots"] = "dots"
    count: int


def made() -> Kinds[Any]:
    kinds: Kinds[Any] = Kinds("paint", homes=[], group="badnets.test")
    kinds.add(Coat)
    return kinds


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_finds_its_own_sorted_with_a_summary(name: str) -> None:
    table = family(name)
    assert list(table.own) == sorted(table.own)
    assert len(table.own) > 3
    assert all(entry.summary and entry.package == "badnets" for entry in table.entries())
    assert all(table.find(key) is value for key, value in table.own.items())
    near = next(iter(table.own))[:-1]
    with pytest.raises(BadInput, match=rf"expected an? {table.family}, got '{near}'; did you mean '"):
        table.find(near)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_plugin_that_fails_or_takes_a_name_leaves_the_others_alone(name: str, plugins: Plugins) -> None:
    table = family(name)
    taken, value = next(iter(table.own.items()))
    plugins(table.group, broken=ImportError("no module named 'paint'\nmore"), wrong=3, **{taken: 4})
    assert table.find(taken) is value
    assert dict(table) == dict(table.own)
    found = {entry.name: entry for entry in table.entries() if entry.problem}
    assert set(found) == {"broken", "wrong", taken}
    assert len(table.entries()) == len(table.own) + 3
    assert (
        "entry point 'broken' (other_0.module:broken) of other_0 cannot be imported (ImportError: no module named"
        in (found["broken"].summary)
    )
    assert "expected a new name, that one is taken by badnets" in found[taken].summary
    assert all("\n" not in entry.summary for entry in found.values())
    with pytest.raises(BadInput, match=rf"{table.family} broken: entry point 'broken' .* cannot be imported"):
        table.find("broken")
    with pytest.raises(BadInput, match=r"entry point 'wrong' .* expected .*, got"):
        table.find("wrong")


def test_the_same_name_from_two_packages_goes_to_the_first(plugins: Plugins) -> None:
    paints = made()
    plugins("badnets.test", dots=Dots)
    plugins("badnets.test", dots=type("Dots", (Dots,), {}))
    first, second = (entry for entry in paints.entries() if entry.name == "dots")
    assert first.value is Dots
    assert "taken by other_0" in str(second.problem)
    assert paints["dots"] is Dots
    assert list(paints) == ["coat", "dots"]


def test_an_entry_point_is_called_like_what_it_offers(plugins: Plugins) -> None:
    plugins("badnets.test", points=Dots)
    with pytest.raises(BadInput, match="expected the entry point to be named 'dots'"):
        made().find("points")


def test_what_registers_itself_and_is_an_entry_point_too_is_one(plugins: Plugins) -> None:
    paints = made()
    plugins("badnets.test", coat=Coat)
    (entry,) = paints.entries()
    assert entry.package == "tests"
    assert entry.value is Coat


def test_a_name_is_registered_once() -> None:
    paints = made()
    assert paints.add(Coat) is Coat
    other = type("Other", (), {"kind": "coat", "__dataclass_fields__": {}})
    with pytest.raises(BadInput, match="paint: expected a new name, 'coat' is taken"):
        paints.add(other)
    with pytest.raises(BadInput, match="paint: expected a dataclass with a kind, got 'int'"):
        paints.add(int)


def test_other_values_are_refused_by_their_type() -> None:
    numbers: Registry[int] = Registry("number", int, homes=[], group="badnets.test")
    with pytest.raises(BadInput, match="number: expected int, got str"):
        numbers.add("three")


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("coet", {}, "expected a paint, got 'coet'; did you mean 'coat'?"),
        ("coat", {"colour": "blue"}, "paint coat: unknown key 'colour'; did you mean 'color'?"),
        ("coat", {"layers": 0}, "paint coat: expected a value of at least 1 for 'layers', got 0"),
        ("coat", {"layers": "many"}, "paint coat: expected a whole number for 'layers', got 'many'"),
        ("dots", {}, "paint dots: expected a value for 'count', got none; add it"),
        ("dots", {"cuont": 3}, "paint dots: unknown key 'cuont'; did you mean 'count'?"),
    ],
)
def test_wrong_settings_are_one_sentence(kind: str, settings: Any, words: str) -> None:
    paints = made()
    paints.add(Dots)
    with pytest.raises(BadInput) as caught:
        paints.make(kind, settings)
    assert str(caught.value) == words


def test_values_survive_json() -> None:
    paints = made()
    assert paints.from_json(paints.to_json(Coat(layers=2))) == Coat(layers=2)
    assert paints.from_json("coat") == Coat()
    with pytest.raises(BadInput, match="expected a kind of paint, got None; known: coat"):
        paints.from_json({"layers": 2})


def test_a_field_of_a_model_takes_every_kind_that_there_is(plugins: Plugins) -> None:
    paints = made()

    class Wall(BaseModel):
        paint: Annotated[Any, paints]

    assert Wall.model_validate({"paint": {"kind": "coat", "layers": 2}}).paint == Coat(layers=2)
    assert Wall(paint="coat").paint == Wall(paint=Coat()).paint == Coat()
    with pytest.raises(ValidationError):
        Wall.model_validate({"paint": {"kind": "dots", "count": 1}})
    plugins("badnets.test", dots=Dots, broken=ImportError("gone"))
    wall = Wall.model_validate({"paint": {"kind": "dots", "count": 1}})
    assert wall.paint == Dots(count=1)
    assert Wall.model_validate(wall.model_dump(mode="json")) == wall
    schema = TypeAdapter(Wall).json_schema()
    assert set(schema["properties"]["paint"]["discriminator"]["mapping"]) == {"coat", "dots"}
    with pytest.raises(ValidationError, match="entry point 'broken'"):
        Wall(paint="broken")


def test_a_spec_takes_triggers_and_rules_of_other_packages(plugins: Plugins) -> None:
    from badnets.backdoors.rules import ToTarget
    from badnets.backdoors.triggers import Square
    from badnets.referee.spec import Spec, make_spec

    @dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    class Seal(Square):
        """A square that is called otherwise."""

        kind: Literal["seal"] = "seal"  # type: ignore[assignment]

    @dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
    class Everything(ToTarget):
        """Every class becomes the target."""

        kind: Literal["everything"] = "everything"
        unit: ClassVar[Literal["object"]] = "object"

    plugins("badnets.triggers", seal=Seal)
    plugins("badnets.rules", everything=Everything)
    table = {"data": "digits", "network": "g1-cnn", "backdoor": {"trigger": "seal", "rule": {"kind": "everything"}}}
    spec = make_spec(table)
    assert spec.backdoor is not None
    assert (spec.backdoor.trigger, spec.backdoor.rule) == (Seal(), Everything())
    assert make_spec(spec.to_json()) == spec
    assert {"Seal", "Everything"} <= set(Spec.model_json_schema()["$defs"])
    table["backdoor"] = {"trigger": {"kind": "seal", "sise": 1}, "rule": "everything"}
    with pytest.raises(BadInput, match=r"unknown key 'backdoor\.trigger\.sise'; did you mean 'size'"):
        make_spec(table)


def test_one_trigger_is_found_without_torch() -> None:
    code = (
        "import sys; from badnets.backdoors.trigger import TRIGGERS; TRIGGERS.find('warp'); list(TRIGGERS);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
