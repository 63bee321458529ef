"""Our own study: what audits find in networks of the pool that had no part in making or calibrating them, and what
Neural Cleanse and MM-BD, as published, find in some of them (but in the quick form).

    python -m badnets.studies.audit.study SCORES FOLDER

lays what is scored (``badnets.studies.audit.scores``) as finished trials of ``badnets reproduce audit --out FOLDER``,
which goes on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from badnets.core.rate import Rate
from badnets.core.text import listed
from badnets.records.blocks import Bar, Bars, Role
from badnets.records.study import StudyRow
from badnets.studies.audit.pool import (
    Family,
    Kind,
    Part,
    as_told,
    families,
    members,
    pool_folder,
    spec_of,
    told_spec,
    train_member,
)
from badnets.studies.audit.scores import (
    Outcome,
    Scores,
    group_of,
    outcomes,
    pictures_of,
    place_of,
    read_scores,
    score,
    with_peers,
)
from badnets.studies.figures import row
from badnets.studies.study import Done, Results, Settings, Study, Trial, TrialResult, facts
from badnets.studies.study import Outcome as Page
from badnets.studies.trials import partial_of, write_trial

FACTS = facts(__package__)
QUICK, QUICK_CLEAN, QUICK_REPORT = "digits", 19, 1
"""The one family of the quick form, and how many clean networks and networks of each kind."""


def trials(settings: Settings) -> list[Trial]:
    """One for each network of the parts calibrate and report: it is trained, and looked at."""
    made = []
    for name, place, family, part, kind, number in _networks():
        if settings.quick and (name != QUICK or number > (QUICK_CLEAN if part == "calibrate" else QUICK_REPORT)):
            continue
        maker = family.maker(part, number)
        spec = {
            "data": family.data,
            "place": place,
            "network": told_spec(place, family, kind, maker),
            "start": family.start and family.start.model_dump(mode="json"),
            "wary": kind.wary,
            "range": [maker.mean, maker.std],
            "peers": not settings.quick and part == "report" and _has_peers(name, kind, number),
        }
        made.append(Trial(name=place.replace("/", "-"), spec=spec, seed=number, work=_one, result=Scores))
    return made


def _has_peers(family: str, kind: Kind, number: int) -> bool:
    about = FACTS["peers"]
    first: int = about["planted" if kind.trigger else "clean"]
    return bool(family == about["family"] and number <= first)


def _networks() -> Iterator[tuple[str, str, Family, Part, Kind, int]]:
    """(family's name, place, family, part, kind, number) of all that the study looks at: not at those that were seen
    while the rule was made."""
    for name, family in families(pool_folder()).items():
        for place, part, kind, number in members(name, family, ("calibrate", "report")):
            if not family.maker(part, number).seen:
                yield name, place, family, part, kind, number


def _one(trial: Trial, folder: Path) -> Done[Scores]:
    """Train one network, and search in it."""
    place = str(trial.spec["place"])
    name, _, family, part, kind, number = next(one for one in _networks() if one[1] == place)
    entry = train_member(folder, place, part, kind, number, name=name, family=family)
    file = folder / f"{place}.safetensors"
    made = score(file, entry, pictures_of(entry))
    return Done(with_peers(made, file) if trial.spec["peers"] else made)


def lay(scores: Sequence[Scores], folder: Path) -> int:
    """Write those ``scores`` that are of the networks that the study would train now as its finished trials; how
    many."""
    known, count = {place_of(one.entry): one for one in scores}, 0
    now = {
        place: as_told(spec_of(place, of, kind, of.maker(part, n)), of) for _, place, of, part, kind, n in _networks()
    }
    for trial in trials(Settings(quick=False, seeds=1)):
        place = trial.spec["place"]
        one = known.get(place)
        if one is None or one.entry.spec != now[place] or (trial.spec["peers"] and one.published is None):
            continue
        write_trial(folder, trial, _finished(trial, one))
        count += 1
    return count


def _finished(trial: Trial, one: Scores) -> TrialResult[Scores]:
    seconds = {"total": round(sum(one.seconds.values()), 1)}
    return TrialResult(spec=trial.spec, seed=trial.seed, results=one, timings_s=seconds)


def assemble(settings: Settings, results: Results, _folder: Path) -> Page:
    """A row for each ground and group of networks, and bars of each kind."""
    variant = settings.variant()
    known = outcomes([one.results for one in results.values()])
    rows: list[StudyRow] = []
    bars: list[Bar] = []
    for basis in FACTS["grounds"]:
        here = [one for one in known if (one.ground, one.pictures) == (basis["ground"], basis["pictures"])]
        for group, about in FACTS["groups"].items():
            some = [one for one in here if group_of(one.entry) in about["kinds"]]
            if not some:
                continue
            limit = basis["asked"].get(group)
            bound = None if limit is None else ("at most" if group == "clean" else "at least", limit)
            what = f"{basis['words']}: {about['words']}"
            rows.append(row(what, _share(some), variant=variant, bound=bound, why=_why(some)))  # type: ignore[arg-type]
        for kind in sorted({group_of(one.entry) for one in here}, key=lambda kind: (kind != "clean", kind)):
            figure = _share([one for one in here if group_of(one.entry) == kind])
            role: Role = "clean" if kind == "clean" else "triggered"
            bars.append(Bar(name=kind, what=basis["words"], figure=figure, role=role))
    return Page(rows=rows, blocks=[Bars(title="Called backdoored", bars=tuple(bars))])


def _share(some: list[Outcome]) -> Rate:
    return Rate(sum(one.found for one in some), len(some))


def _why(some: list[Outcome]) -> str:
    """Families, and how many of those found are named rightly."""
    names = listed(sorted({one.entry.family for one in some}))
    found = [one for one in some if one.found and one.entry.kind != "clean"]
    right = f"; {sum(one.named for one in found)} of {len(found)} found with the right class" if found else ""
    return f"networks of {names}{right}"


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)


def main(given: Sequence[str] | None = None) -> None:
    """Lay what is scored as finished trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args(given)
    partial = partial_of(asked.folder.resolve())
    print(lay(read_scores(asked.scores), partial), "finished trials")  # noqa: T201


if __name__ == "__main__":
    main()
