"""Our own study: what audits find in networks of the pool that had no part in making or calibrating them, and what
Neural Cleanse and MM-BD, as published, find in the same (but in the quick form)."""

from __future__ import annotations

from pathlib import Path

from badnets.core.rate import Rate
from badnets.core.text import listed
from badnets.records.blocks import Bar, Bars
from badnets.records.study import StudyRow
from badnets.studies.audit.pool import PoolEntry, families, members, pool_folder, train_member
from badnets.studies.audit.scores import (
    Outcome,
    Scores,
    group_of,
    outcomes,
    pictures_of,
    score,
    with_peers,
)
from badnets.studies.figures import row
from badnets.studies.study import Done, Results, Settings, Study, Trial, facts
from badnets.studies.study import Outcome as Page

FACTS = facts(__package__)
QUICK, QUICK_CLEAN, QUICK_REPORT = "digits", 19, 1
"""The one family of the quick form, and how many clean networks and networks of each kind."""


def trials(settings: Settings) -> list[Trial]:
    """One for each network of the parts calibrate and report: it is trained, and looked at."""
    made = []
    for name, family in families(pool_folder()).items():
        if settings.quick and name != QUICK:
            continue
        for place, part, kind, number in members(name, family, ("calibrate", "report")):
            most = QUICK_CLEAN if part == "calibrate" else QUICK_REPORT
            if settings.quick and number > most:
                continue
            maker = family.maker(part, number)
            spec = {
                "data": family.data,
                "place": place,
                "kind": kind.model_dump(mode="json"),
                "maker": maker.model_dump(mode="json"),
                "peers": part == "report" and not settings.quick,
            }
            made.append(Trial(name=place.replace("/", "-"), spec=spec, seed=number, work=_one, result=Scores))
    return made


def _one(trial: Trial, folder: Path) -> Done[Scores]:
    """Train one network, and search in it."""
    place = str(trial.spec["place"])
    name, _, _ = place.split("/")
    family = families(pool_folder())[name]
    found = next(one for one in members(name, family) if one[0] == place)
    entry: PoolEntry = train_member(folder, *found, name=name, family=family)
    file = folder / f"{place}.safetensors"
    made = score(file, entry, pictures_of(entry))
    return Done(with_peers(made, file) if trial.spec["peers"] else made)


def assemble(settings: Settings, results: Results, _folder: Path) -> Page:
    """A row for each ground, family and kind, and bars of them."""
    variant = settings.variant()
    known = outcomes([one.results for one in results.values()])
    rows: list[StudyRow] = []
    bars: list[Bar] = []
    for basis in FACTS["grounds"]:
        asked = basis["asked"]
        for group in sorted({group_of(one.entry) for one in known}, key=lambda group: (group != "clean", group)):
            some = [
                one
                for one in known
                if (one.ground, one.pictures) == (basis["ground"], basis["pictures"]) and group_of(one.entry) == group
            ]
            if not some:
                continue
            rate = Rate(sum(one.found for one in some), len(some))
            what = f"{basis['words']}: {FACTS['words'].get(group, f'{group} found')}"
            limit = asked.get(group, None if group.endswith("works") else asked.get("other"))
            bound = None if limit is None else ("at most" if group == "clean" else "at least", limit)
            rows.append(row(what, rate, variant=variant, bound=bound, why=_why(some)))  # type: ignore[arg-type]
            role = "clean" if group == "clean" else "triggered"
            bars.append(Bar(name=group, what=basis["words"], figure=rate, role=role))  # type: ignore[arg-type]
    return Page(rows=rows, blocks=[Bars(title="Called backdoored", bars=tuple(bars))])


def _why(some: list[Outcome]) -> str:
    """Families, and how many of those found are named rightly."""
    names = listed(sorted({one.entry.family for one in some}))
    found = [one for one in some if one.found and one.entry.kind != "clean"]
    right = f"; {sum(one.named for one in found)} of {len(found)} found with the right class" if found else ""
    return f"networks of {names}{right}"


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
