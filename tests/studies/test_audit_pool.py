"""The pool of networks, and what follows from their scores."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from badnets.audits.statistic import Floats, as_rows
from badnets.core.toml import parse_toml
from badnets.records.model import JSON
from badnets.studies.audit.pool import Maker, PoolEntry, families, members, pool_folder, spec_of
from badnets.studies.audit.scores import OF_EACH, Scores, outcomes, various, write_tables

POOL = families(pool_folder())


@pytest.mark.parametrize("name", sorted(POOL))
def test_every_network_of_a_family_can_be_made(name: str) -> None:
    family = POOL[name]
    places = [place for place, *_ in members(name, family)]
    assert len(set(places)) == len(places)
    for place, part, kind, number in members(name, family):
        spec = spec_of(place, family, kind, family.maker(part, number))
        assert (spec.backdoor is None) == (kind.name == "clean")


@pytest.mark.parametrize("name", [name for name, family in sorted(POOL.items()) if family.makers])
def test_what_is_reported_was_made_otherwise_than_what_is_usual(name: str) -> None:
    def ways(part: str) -> set[str]:
        return {
            one.model_copy(update={"part": "report", "seen": False}).model_dump_json()
            for one in POOL[name].makers
            if one.part == part
        }

    assert ways("calibrate")
    assert ways("report")
    assert not ways("calibrate") & ways("report")


def test_makers_take_turns() -> None:
    family = POOL["digits-others"]
    count = sum(one.part == "report" for one in family.makers)
    assert family.maker("report", 1) == family.maker("report", count + 1) != family.maker("report", 2)
    assert POOL["digits"].maker("report", 5) == Maker(part="report", network="g1-cnn")


def scored(part: str, kind: str, number: int, recipe: int, target: int | None = None) -> Scores:
    """Sizes of ten classes; a backdoor makes those of its target smaller."""
    rng = np.random.default_rng(crc32(f"{part} {number} {recipe}".encode()))

    def sizes(rows: int, columns: Floats) -> Floats:
        values = -2 + columns + 0.1 * rng.normal(size=(rows, 10))
        if rows > 1:
            np.fill_diagonal(values, np.nan)
        return np.asarray(values)

    usual = 0.2 * np.random.default_rng(recipe).normal(size=10)
    planted = usual - (1.5 * (np.arange(10) == target) if target is not None else 0)
    both = {"perturbation": as_rows(sizes(10, planted)), "pixels": as_rows(sizes(1, planted))}
    copies = tuple({"perturbation": as_rows(sizes(10, usual)), "pixels": as_rows(sizes(1, usual))} for _ in range(2))
    drawn = {"perturbation": as_rows(sizes(1, planted)), "pixels": as_rows(sizes(1, planted))}
    entry = PoolEntry.model_validate(
        {
            "family": f"family {recipe}", "part": part, "kind": kind, "number": number,
            "spec": {"network": "g1-cnn", "recipe": {"epochs": recipe}, "data": {"name": "mnist"}},
            "clean_accuracy": None, "target": target,
        }
    )  # fmt: skip
    return Scores(entry=entry, sizes=both, drawn=drawn, students=copies, seconds={})


def table(path: Path, name: str) -> list[JSON]:
    """The rows of a written table."""
    rows: list[JSON] = parse_toml(path.read_text("utf-8"), path.name).get(name, [])
    return rows


def test_what_is_usual_is_of_several_ways_and_few_of_each(tmp_path: Path) -> None:
    usual = [scored("calibrate", "clean", number, recipe) for recipe in range(1, 9) for number in range(1, 6)]
    report = [scored("report", "square", 1, 1, target=4), scored("report", "clean", 2, 2)]
    assert len(various(usual)) == 8 * OF_EACH
    taught = {one.entry.kind: one for one in outcomes([*usual, *report]) if one.ground == "taught"}
    assert taught["square"].found
    assert taught["square"].named
    assert not taught["clean"].found
    write_tables([*usual, *report], tmp_path)
    nulls = table(tmp_path / "nulls.toml", "null")
    assert sum(len(one["numbers"]) for one in nulls if one["ground"] == "taught") == 8 * OF_EACH
    rows = table(tmp_path / "power.toml", "row")
    (row,) = [one for one in rows if one["ground"] == "taught" and one["kind"].startswith("square")]
    assert (row["found"], row["of"], row["named"], row["channels"]) == (1, 1, 1, 1)


def test_what_is_usual_of_one_way_is_not_published(tmp_path: Path) -> None:
    write_tables([scored("calibrate", "clean", number, 1) for number in range(1, 30)], tmp_path)
    assert table(tmp_path / "nulls.toml", "null") == []
