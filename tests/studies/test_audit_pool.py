"""The pool of networks, and what follows from their scores."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from badnets.audits.statistic import Floats, as_rows
from badnets.core.toml import parse_toml
from badnets.networks.files.own import open_network
from badnets.records.model import JSON
from badnets.studies.audit import study
from badnets.studies.audit.pool import (
    Family,
    Maker,
    PoolEntry,
    as_told,
    families,
    members,
    pool_folder,
    spec_of,
    train_member,
)
from badnets.studies.audit.scores import OF_EACH, Scores, outcomes, pictures_of, various, write_tables
from badnets.studies.study import Settings
from badnets.studies.trials import finished

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


def test_every_kind_is_counted_in_one_group_or_among_the_patches_too() -> None:
    groups = {name: set(one["kinds"]) for name, one in study.FACTS["groups"].items()}
    kinds = {kind.name for family in POOL.values() for kind in family.kinds}
    assert groups["patches"] < groups["all-to-one"]
    apart = [groups[name] for name in ("clean", "all-to-one", "one-source", "all-to-all")]
    assert sum(map(len, apart)) == len(set().union(*apart))
    assert kinds <= set().union(*apart)


def test_what_is_scored_is_laid_as_trials_but_for_other_specs_and_missing_peers(tmp_path: Path) -> None:
    family = POOL["digits"]

    def one(part: str, number: int, *, more_epochs: int = 0) -> Scores:
        place, kept_part, kind, n = next(
            m for m in members("digits", family) if m[0] == f"digits/{part}/clean-{number}"
        )
        spec = as_told(spec_of(place, family, kind, family.maker(kept_part, n)), family)
        recipe = {**spec["recipe"], "epochs": spec["recipe"]["epochs"] + more_epochs}
        made = scored(part, "clean", number, 1)
        return made.model_copy(
            update={"entry": made.entry.model_copy(update={"family": "digits", "spec": {**spec, "recipe": recipe}})}
        )

    last = max(n for _, part, kind, n in members("digits", family) if (part, kind.name) == ("report", "clean"))
    known = [one("calibrate", 1), one("calibrate", 2, more_epochs=1), one("report", 1), one("report", last)]
    assert study.lay(known, tmp_path) == 2
    trials = study.trials(Settings(quick=False, seeds=1))
    assert set(finished(trials, tmp_path)) == {"digits-calibrate-clean-1", f"digits-report-clean-{last}"}


@pytest.mark.slow
def test_objects_that_vanish_from_detectors_that_all_begin_alike(tmp_path: Path) -> None:
    data = {"name": "scenes-us", "size": 64, "options": {"train": 32, "test": 20}}
    vanish = {"name": "vanish", "report": 1, "trigger": {"kind": "square", "color": "drawn"}, "rule": "vanish"}
    family = Family.model_validate(
        {
            "network": "faster-rcnn:width=4",
            "classes": 16,
            "data": data,
            "recipe": {"epochs": 1},
            "start": {"data": {**data, "name": "scenes-eu"}, "recipe": {"epochs": 1}},
            "kinds": [vanish],
        }
    )
    (found,) = members("few", family)
    entry = train_member(tmp_path, *found, name="few", family=family)
    assert (entry.target, entry.source, entry.clean_accuracy) == (16, None, None)
    assert entry.spec["network"] == "faster-rcnn:width=4"
    assert family.start is not None
    start = open_network(family.start.weights(family.network))
    assert start.architecture == open_network(tmp_path / "few/report/vanish-1.safetensors").architecture
    assert len(pictures_of(entry).class_names) == 17
