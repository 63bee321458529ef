"""What the audit sees of each network of the pool, and what follows from that: what is usual of clean networks, false
alarms, power.

    python -m badnets.studies.audit.scores POOL RESULTS [--family NAME] [--part PART] [--jobs N]
    python -m badnets.studies.audit.scores POOL RESULTS --students 2 ...
    python -m badnets.studies.audit.scores POOL RESULTS --published ...
    python -m badnets.studies.audit.scores --pack RESULTS results/audit-pool
    python -m badnets.studies.audit.scores --tables results/audit-pool

The first trains what is missing in POOL and searches in what is missing in RESULTS; the second searches in copies that
these networks teach, too; the third runs Neural Cleanse and MM-BD, as published, in what was searched; the fourth makes
a file for each family; the last writes the nulls and the power that come with the package.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import tomli_w

from badnets.audits.audit import STUDENT_STEPS, UNLIKE, Audit
from badnets.audits.detector import Detector, Suspect
from badnets.audits.grounds import Judged, alike, matched, numbers_of, taught, within
from badnets.audits.pictures import Pictures
from badnets.audits.statistic import Floats, Rows, as_rows, from_rows
from badnets.audits.teaching import teach
from badnets.core.files import dumps, read_json, write_json
from badnets.core.seed import Seed
from badnets.core.text import listed
from badnets.data.images import ImageData
from badnets.data.splits import draw
from badnets.defenses.repair import DefenderView
from badnets.engines.on import On
from badnets.engines.work import each
from badnets.networks.files.own import open_network
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.objects import as_classifier, as_labelled
from badnets.records.finding import HARDLY_WORKS, Ground
from badnets.records.model import Model
from badnets.referee.data import load_data
from badnets.referee.spec import DataSpec
from badnets.studies.audit.pool import (
    PARTS,
    Family,
    Kind,
    Part,
    PoolEntry,
    families,
    found,
    members,
    pool_folder,
    train_member,
)
from badnets.studies.audit.published import Published

PICTURES = 300
ALPHA, FEWEST = 0.05, 19
WAYS, OF_EACH = 8, 3
"""Ways of making networks (architecture, recipe, range) that are alike, at least, for what is usual of them to be
published, and how many networks of one way count. By a null of one way alone, a clean network that others trained was
called backdoored."""
OTHERS = "-others"
"""How families end whose networks were made in different ways: no references for each other."""
WORKS = 0.9
"""Attack success from which on a backdoor is said to work."""


class Scores(Model):
    """One network: what it is, and by detector the logarithms of its sizes (source, target): with clean pictures, with
    drawn ones (none where it is judged beside references alone), and those of the copies that it taught, if any."""

    omitted: ClassVar[frozenset[str]] = frozenset({"published"})
    entry: PoolEntry
    sizes: dict[str, Rows]
    drawn: dict[str, Rows]
    students: tuple[dict[str, Rows], ...]
    seconds: dict[str, float]
    published: Published | None = None


def score(network_file: Path, entry: PoolEntry, data: ImageData, *, students: int = 0) -> Scores:
    """Search in one network, in ``students`` copies that it teaches, and, where it is judged without references, with
    drawn pictures."""
    network = as_classifier(open_network(network_file)).requires_grad_(requires_grad=False)
    seed, seconds, usual = Seed(1), {}, Audit()
    copied = [one for one in usual.detectors if one.kind in usual.copied]

    def sizes(of: ImageNetwork, shown: ImageData | None, detectors: Sequence[Detector]) -> dict[str, Rows]:
        suspect = Suspect(DefenderView(network=of, data=shown, seed=seed))
        return {one.kind: as_rows(one.sizes(suspect)) for one in detectors}

    began = time.perf_counter()
    own = sizes(network, data, usual.detectors)
    seconds["search"] = round(time.perf_counter() - began, 2)
    drawn = sizes(network, None, usual.alone) if is_alone(entry) else {}
    began = time.perf_counter()
    pictures = Pictures.of(network, data, seed)
    copies = [
        sizes(teach(network, pictures, seed.derive("student", number), steps=STUDENT_STEPS), data, copied)
        for number in range(students)
    ]
    seconds["copies"] = round(time.perf_counter() - began, 2)
    return Scores(entry=entry, sizes=own, drawn=drawn, students=tuple(copies), seconds=seconds)


def with_peers(known: Scores, network_file: Path) -> Scores:
    """The same with what Neural Cleanse and MM-BD measure, with the same pictures."""
    network = as_classifier(open_network(network_file)).requires_grad_(requires_grad=False)
    return known.model_copy(update={"published": Published.of(network, pictures_of(known.entry), Seed(1))})


def read(rows: Mapping[str, Rows]) -> dict[str, Floats]:
    """Back from JSON."""
    return {kind: from_rows(one) for kind, one in rows.items()}


def pictures_of(entry: PoolEntry) -> ImageData:
    """The clean pictures, or objects: some of the test part, the same for all networks of a family."""
    test = as_labelled(load_data(DataSpec.model_validate(found(entry.spec["data"]))).test)
    return test.take(draw(test, PICTURES, Seed(5)))


def is_alone(entry: PoolEntry) -> bool:
    """Whether a network is judged without references, or is one of those that such are compared with."""
    few = entry.part == "calibrate" and entry.number <= OF_EACH
    return few or entry.family.endswith(OTHERS)


@dataclass(frozen=True)
class _Task:
    pool: Path
    out: Path
    place: str
    name: str
    part: Part
    kind: Kind
    number: int
    family: Family
    students: int
    known: Scores | None
    """What is there already, where the peers are asked for."""


def _score(task: _Task) -> None:
    if task.known is not None:
        train_member(task.pool, task.place, task.part, task.kind, task.number, name=task.name, family=task.family)
        write_json(task.out, with_peers(task.known, task.pool / f"{task.place}.safetensors").to_json())
        return
    entry = train_member(task.pool, task.place, task.part, task.kind, task.number, name=task.name, family=task.family)
    made = score(
        task.pool / f"{task.place}.safetensors",
        entry,
        pictures_of(entry),
        students=task.students if is_alone(entry) else 0,
    )
    task.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(task.out, made.to_json())


def read_scores(folder: Path) -> list[Scores]:
    """All that is there, in files of one network or packed; the former count."""
    singles = [read_json(path) for path in sorted(folder.rglob("*.json"))]
    packed = [
        json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()
    ]
    return list({place_of(one.entry): one for one in map(Scores.model_validate, (*packed, *singles))}.values())


def place_of(entry: PoolEntry) -> str:
    """Its name in the pool."""
    return f"{entry.family}/{entry.part}/{entry.kind}-{entry.number}"


def pack(scores: Sequence[Scores], folder: Path) -> None:
    """A file for each family, with a line for each network."""
    folder.mkdir(parents=True, exist_ok=True)
    for family in sorted({one.entry.family for one in scores}):
        lines = [dumps(one.to_json(), indent=None) for one in scores if one.entry.family == family]
        (folder / f"{family}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """What is said of one network on one ground, with pictures or without, or by a peer as published: ``found``, that
    it is backdoored, and ``named``, whether the class, or that all are moved, is what was planted."""

    entry: PoolEntry
    ground: str
    pictures: bool
    found: bool
    named: bool

    @classmethod
    def of(cls, entry: PoolEntry, judged: Judged, *, pictures: bool = True) -> Outcome:
        """The audit's. One that is unlike its references everywhere is judged without them, and not found here."""
        stands = judged.named
        named = stands.form == "all-to-all" if entry.target is None else stands.target == entry.target
        return cls(entry, judged.ground, pictures, found=judged.p <= ALPHA and judged.spread <= UNLIKE, named=named)


def outcomes(scores: Sequence[Scores]) -> list[Outcome]:
    """Of the report part, on every ground and by peers as published: references are the clean networks of the family in
    the calibrate part; nulls those of all families that are ``alike``."""
    usual = [one for one in scores if one.entry.part == "calibrate" and one.entry.kind == "clean"]
    made = []
    varied, known = various(usual), families(pool_folder())
    numbers = {
        place_of(one.entry): {basis: basis.numbers(one) for basis in ALONE if basis.applies(one)} for one in varied
    }
    for one in scores:
        family = known.get(one.entry.family)
        if one.entry.part != "report" or (family and family.maker(one.entry.part, one.entry.number).seen):
            continue
        references = [read(other.sizes) for other in usual if other.entry.family == one.entry.family]
        if len(references) >= FEWEST and not one.entry.family.endswith(OTHERS):
            made.append(Outcome.of(one.entry, matched(read(one.sizes), references)))
        like = [other for other in varied if alike(channels_and_classes(other), channels_and_classes(one))]
        for basis in ALONE:
            null = [seen[basis] for other in like if basis in (seen := numbers[place_of(other.entry)])]
            if basis.applies(one) and len(null) >= FEWEST:
                made.append(Outcome.of(one.entry, basis.judged(one, np.stack(null)), pictures=basis.pictures))
        for peer, target in one.published.targets.items() if one.published else ():
            made.append(Outcome(one.entry, peer, True, found=target is not None, named=target == one.entry.target))
    return made


def way(entry: PoolEntry) -> str:
    """How a network was made, as text."""
    return dumps([entry.family, entry.spec["network"], entry.spec["recipe"], entry.input_range], indent=None)


@dataclass(frozen=True)
class Alone:
    """How a network without references is judged: on a ``ground``, with clean ``pictures`` or without."""

    ground: Ground
    pictures: bool

    def applies(self, one: Scores) -> bool:
        """Whether what it needs was searched."""
        return bool(one.students if self.ground == "taught" else one.drawn)

    def numbers(self, one: Scores) -> Floats:
        """What is compared with other kinds of networks."""
        return numbers_of(*self._seen(one))

    def judged(self, one: Scores, null: Floats) -> Judged:
        """The verdict's p, and what it names."""
        sizes, copies = self._seen(one)
        return taught(sizes, copies, null) if copies else within(sizes, null)

    def _seen(self, one: Scores) -> tuple[dict[str, Floats], list[dict[str, Floats]]]:
        """Its sizes, and those of its copies; what needs no pictures is the same with them."""
        sizes, drawn = read(one.sizes), read(one.drawn)
        if self.ground == "taught":
            return sizes, [read(student) for student in one.students]
        return (drawn if not self.pictures else drawn | sizes), []


ALONE = (Alone("taught", pictures=True), Alone("within", pictures=True), Alone("within", pictures=False))


def various(scores: Sequence[Scores]) -> list[Scores]:
    """``OF_EACH`` networks of each way."""
    seen: Counter[str] = Counter()
    kept = []
    for one in sorted(scores, key=lambda one: (one.entry.family, one.entry.number)):
        seen[way(one.entry)] += 1
        if seen[way(one.entry)] <= OF_EACH:
            kept.append(one)
    return kept


def group_of(entry: PoolEntry) -> str:
    """What is counted together: clean, a kind that works, or one that hardly works."""
    if entry.kind == "clean":
        return "clean"
    works = entry.asr is not None and float(entry.asr) >= WORKS
    return entry.kind if works else f"{entry.kind}, {HARDLY_WORKS}"


def write_tables(scores: Sequence[Scores], package: Path) -> None:
    """``nulls.toml`` and ``power.toml`` of the audits."""
    usual = various([one for one in scores if one.entry.part == "calibrate" and one.entry.kind == "clean"])
    nulls = []
    for family in sorted({one.entry.family for one in usual}):
        own = next(channels_and_classes(one) for one in usual if one.entry.family == family)
        if len({way(one.entry) for one in usual if alike(channels_and_classes(one), own)}) < WAYS:
            continue
        some = [one for one in usual if one.entry.family == family]
        channels, classes = channels_and_classes(some[0])
        about = {"networks": family, "channels": channels, "classes": classes}
        for basis in ALONE:
            numbers = [_rounded(basis.numbers(one)) for one in some if basis.applies(one)]
            nulls.append({"ground": basis.ground, "pictures": basis.pictures, **about, "numbers": numbers})
    (package / "nulls.toml").write_text(
        "# Numbers of clean networks on the grounds that compare with other kinds, one network a row (made by\n"
        "# badnets.studies.audit.scores of results/audit-pool): of a detector that tells sources apart how far the\n"
        "# pair and the target stand out most, and all classes at once; of another one the target's alone.\n"
        + tomli_w.dumps({"null": [one for one in nulls if one["numbers"]]}),
        encoding="utf-8",
    )
    rows = []
    usable = {(one["ground"], one["networks"]) for one in nulls if one["numbers"]}
    known = [o for o in outcomes(scores) if o.ground == "matched" or (o.ground, o.entry.family) in usable]
    for key in sorted({(o.ground, o.pictures, o.entry.family, group_of(o.entry)) for o in known}):
        those = [o for o in known if (o.ground, o.pictures, o.entry.family, group_of(o.entry)) == key]
        caught = [o for o in those if o.found]
        shape = next(channels_and_classes(one) for one in scores if one.entry.family == key[2])
        rows.append(
            {
                "ground": key[0],
                "pictures": key[1],
                "networks": key[2],
                "architecture": listed(sorted({str(o.entry.spec["network"]).split(":")[0] for o in those})),
                "channels": shape[0],
                "classes": shape[1],
                "kind": key[3],
                "found": len(caught),
                "of": len(those),
                "named": sum(o.named for o in caught),
            }
        )
    (package / "power.toml").write_text(
        "# What the audit found in the report part of the pool at p <= 0.05 (made by badnets.studies.audit.scores of\n"
        "# results/audit-pool).\n" + tomli_w.dumps({"row": rows}),
        encoding="utf-8",
    )


def channels_and_classes(scores: Scores) -> tuple[int, int]:
    """(channels, classes) of a network of the pool."""
    grey = scores.entry.spec["data"]["name"] == "mnist"
    return 1 if grey else 3, len(scores.sizes["pixels"][0])


def _rounded(numbers: Floats) -> list[float]:
    return [round(float(one), 4) for one in numbers]


def main(given: Sequence[str] | None = None) -> None:
    """Train and search in what is missing, or make the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--pack", action="store_true")
    parser.add_argument("--family", dest="families", action="append")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--kind", action="append")
    parser.add_argument("--first", type=int, help="networks of a kind, at most")
    parser.add_argument("--students", type=int, default=0, help="copies that each teaches")
    parser.add_argument("--published", action="store_true", help="the peers, in networks that are searched already")
    parser.add_argument("--jobs", type=int)
    asked = parser.parse_args(given)
    if asked.tables:
        write_tables(read_scores(asked.folders[0]), Path(__file__).resolve().parents[2] / "audits")
        return
    pool, out = asked.folders
    if asked.pack:
        pack(read_scores(pool), out)
        return
    known, done = families(pool_folder()), {place_of(one.entry): one for one in read_scores(out)}
    todo = [
        _Task(
            pool, out / f"{place}.json", place, name, part, kind, number, known[name], asked.students, done.get(place)
        )
        for name in asked.families or known
        for place, part, kind, number in members(name, known[name], asked.part or ("calibrate", "report"))
        if (place in done and done[place].published is None if asked.published else place not in done)
        and (not asked.kind or kind.name in asked.kind)
        and (asked.first is None or number <= asked.first)
    ]
    for task, _ in each(On(jobs=asked.jobs), _score, todo, folder=out):
        sys.stderr.write(f"{task.place}\n")


if __name__ == "__main__":
    main()
