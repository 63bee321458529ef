"""Run an experiment: poison, train, write the file, reopen it, measure, record. Each finished seed is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from badnets.backdoors.backdoor import Backdoor, poison
from badnets.backdoors.plan import Plan, Poisoned
from badnets.backdoors.rules import RULES, LabelRule, named
from badnets.core.cache import cache_dir
from badnets.core.errors import BadInput
from badnets.core.files import (
    check_place,
    digest,
    discard,
    file_digest,
    link,
    read_json,
    settle,
    write_json,
)
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Splits
from badnets.networks.files.own import through_file
from badnets.records.model import JSON, Environment, Epoch, Planted, Training
from badnets.records.read import RECORD, read_run, write_record
from badnets.records.results import pooled
from badnets.records.run import Example, RunRecord, SceneExample, SeedResult
from badnets.referee.data import load_data
from badnets.referee.examples import choose_examples
from badnets.referee.measure import disturbances, measure
from badnets.referee.reference import check_data, check_training, clean_reference, network_files, train_network
from badnets.referee.spec import DataSpec, Spec, SpecFile, recorded_spec
from badnets.referee.store import (
    READY,
    RUNS,
    Clock,
    Place,
    as_begun,
    commit,
    environment,
    publish_working,
    put_away,
    working_folder,
)
from badnets.report.pages import page


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder, its record, and whether it was found rather than run."""

    folder: Path
    record: RunRecord
    found: bool


def run(
    file: SpecFile, *, out: Path | None = None, force: bool = False, command: str = "", watcher: Watcher | None = None
) -> Finished:
    """Run ``file.spec`` into ``out`` (default: ``badnets-runs/<name>-<digest>``).

    A finished run of the same spec on the same data is found, not repeated, unless ``force``; an interrupted one goes
    on after its last finished epoch, with as many threads as it was begun with. Raises ``BadInput`` for what is wrong
    with spec, data or folder.
    """
    watch = watcher or Watcher()
    spec = file.spec
    check_training(spec)
    if out is not None:
        check_place(out)
    cache_dir()  # what is wrong with its name is told before the training
    began = time.perf_counter()
    data = load_data(spec.data, watch)
    loaded = time.perf_counter() - began
    key = digest({"spec": spec.to_json(), "train": data.train.digest, "test": data.test.digest, **network_files(spec)})
    place = Place((out or RUNS / f"{spec.name or 'run'}-{key[:8]}").resolve(), key)
    place.check_free()
    if not force and (record := place.finished()) is not None:
        put_away(place.partial, place.final.name)  # what a killed process could not
        return Finished(place.final, record, True)
    check_data(spec, data.train)
    with (
        working_folder(place.partial, place.final.name, fresh=force) as folder,
        as_begun(folder, watch, spec.device) as machines,
    ):
        if not force and (record := place.finished()) is not None:  # by a process that ended just now
            return Finished(place.final, record, True)
        record = _ready(folder / READY, key)
        if record is None:
            seeds = [run_seed(spec, seed, data, folder, watch) for seed in spec.seeds]
            discard(folder / READY)
            (folder / READY).mkdir()
            for index, seed in enumerate(spec.seeds):
                _name_network(folder, seed, first=index == 0)
            _gather_answers(folder, spec, data.test)
            record = _record(file, key, data, folder / READY, seeds, command, loaded, machines)
            write_record(folder / READY / RECORD, record)
            page.write_page(folder / READY)
        publish_working(place.partial, place.final, replace=force)
    return Finished(place.final, record, False)


def _ready(folder: Path, key: str) -> RunRecord | None:
    """The record of the whole run ``key`` that a killed process could not give its name any more; None without one."""
    try:
        record = read_run(folder)
    except (BadInput, OSError):
        return None
    there = {path.name for path in folder.iterdir()} == {RECORD, "report.html", *record.files}
    return record if there and record.digest == key else None


def run_seed(
    spec: Spec, number: int, data: Splits, folder: Path, watch: Watcher, *, pictures: bool = True
) -> SeedResult:
    """One seed, from its own folder below ``folder`` if it is finished there already; ``pictures`` for the page."""
    own = folder / f"seed-{number}"
    if (own / "result.json").exists():
        if (kept := _finished_seed(own)) is not None:
            return kept
        watch.say(f"seed {number} was finished, but files of it are missing or were changed; it is run again")
        discard(own)
    own.mkdir(exist_ok=True)
    seed, note = Seed(number), f" (seed {number})" if len(spec.seeds) > 1 else ""
    clock = Clock()
    poisoned = poison_data(spec, data.train, seed, own, watch)
    clock.lap("poison")
    about = {"made_by": "badnets", "data": spec.data.name, "seed": number, "recipe": spec.to_json()["recipe"]}
    if poisoned is not None:
        watch.say(f"{describe(poisoned)}{note}")
        poisoned.plan.save(own / "plan.npz")
        about["backdoor"] = {"warning": "this network carries a backdoor on purpose", "planted": describe(poisoned)}
    hooks = tuple(hook for b in spec.backdoors for hook in b.hooks)
    subject, what = data.train if poisoned is None else poisoned.data, f"training {spec.network}{note}"
    trained = train_network(spec, subject, seed, own / "checkpoint.pt", watch, what, hooks=hooks)
    trained.network.provenance |= about
    network = through_file(trained.network, own / "network.safetensors")
    clock.lap("train", trained.seconds)
    epochs = tuple(Epoch.model_validate(epoch) for epoch in trained.history)
    history = [Training(seed=number, network="clean" if poisoned is None else "backdoored", epochs=epochs)]
    reference = None
    if spec.reference and poisoned is not None:
        reference, epochs = clean_reference(spec, data.train, seed, folder=own, watch=watch, note=note)
        history.append(Training(seed=number, network="clean reference", epochs=epochs))
    clock.lap("reference")
    backdoors: Sequence[Backdoor | None] = [b.backdoor for b in spec.backdoors] or [None]
    stream, test = seed.derive("measure"), data.test
    watch.mark(f"measuring on {len(test):,} test pictures{note}")
    measured = [measure(network, test, b, reference=reference, jitter=spec.jitter, seed=stream) for b in backdoors]
    figures = measured[0].figures
    if spec.jitter_table and backdoors[0] is not None:
        rows = disturbances(network, test, backdoors[0], reference=reference, seed=stream)
        figures = figures.model_copy(update={"disturbances": rows})
    clock.lap("measure")
    examples: tuple[Example, ...] | tuple[SceneExample, ...] = ()
    if pictures:
        # numpy's stub takes the names for options
        np.savez_compressed(own / "answers.npz", **measured[0].answers)  # type: ignore[arg-type]
        shown = None
        if backdoors[0] is not None and number == spec.seeds[0]:
            shown = choose_examples(network, reference, test, backdoors[0], measured[0], stream)
        if shown is not None:
            np.savez_compressed(own / "pictures.npz", **shown.arrays)  # type: ignore[arg-type]
            examples = shown.examples
    result = SeedResult(
        seed=number,
        figures=figures,
        backdoors=tuple(one.figures for one in measured) if len(measured) > 1 else None,
        training=tuple(history),
        timings_s=clock.laps,
        precision=trained.precision,
        poisoned=None if poisoned is None else summary(poisoned),
        examples=examples,
    )
    _keep(result, own)
    return result


def _keep(result: SeedResult, own: Path) -> None:
    """The seed is finished as soon as its result is there, with the SHA-256 of its files and of itself."""
    content = {"result": result.to_json(), "files": {path.name: file_digest(path) for path in _outcome(own)}}
    for path in _outcome(own):
        settle(path)
    write_json(own / "result.json", {**content, "sha256": digest(content)})


def _outcome(own: Path) -> list[Path]:
    """The files that a finished seed leaves to its run."""
    names = ("network.safetensors", "plan.npz", "answers.npz", "pictures.npz")
    return [own / name for name in names if (own / name).is_file()]


def _finished_seed(own: Path) -> SeedResult | None:
    """What a finished seed's folder holds; None where anything in it is not what was written."""
    try:
        content = read_json(own / "result.json")
        told = content.pop("sha256")
        files = {path.name: file_digest(path) for path in _outcome(own)}
        if told != digest(content) or files != content["files"]:
            return None
        return SeedResult.model_validate(content["result"])
    except (BadInput, OSError, AttributeError, KeyError, TypeError, ValidationError):
        return None


def poison_data(spec: Spec, train: ImageData, seed: Seed, folder: Path, watch: Watcher) -> Poisoned | None:
    """The poisoned training set of a spec; None without a backdoor."""
    if spec.backdoor is None:
        return None
    if spec.backdoor.perturb is not None:
        own, note = seed.derive("surrogate"), " (the attacker's own network)"
        against = spec.backdoor.perturb.adversarial
        surrogate, _ = clean_reference(spec, train, own, folder=folder, watch=watch, note=note, adversary=against)
        return spec.backdoor.perturb.poison(train, spec.backdoor.part, network=surrogate, seed=seed)
    return poison(train, [b.part for b in spec.backdoors], mode=spec.mode, seed=seed)


def poisoned_of(folder: Path, *, seed: int | None = None, watcher: Watcher | None = None) -> Poisoned:
    """What the network of the run in ``folder`` was trained on, bit for bit, from its plan and its data; ``seed`` is
    one of the run's (default: its first).

    Raises ``BadInput`` for a run without a backdoor, an unknown seed, and data that is no longer what it was.
    """
    record = run_with_backdoor(folder)
    number = record.seeds[0] if seed is None else seed
    if number not in record.seeds:
        raise BadInput(f"expected a seed of {folder} ({', '.join(map(str, record.seeds))}), got {number}")
    plan = Plan.load(folder / ("plan.npz" if number == record.seeds[0] else f"plan-seed-{number}.npz"))
    return plan.apply(training_data(record, folder, watcher))


def run_with_backdoor(folder: Path) -> RunRecord:
    """The record of a run that has a backdoor to try."""
    record = read_run(folder)
    if record.resolved.get("backdoor") is None:
        raise BadInput(f"expected a run with a backdoor at {folder}, got one without")
    recorded_spec(record.resolved, folder)  # what is wrong with it is told here, before data is read by it
    return record


def training_data(record: RunRecord, folder: Path | None, watcher: Watcher | None, otherwise: str = "") -> ImageData:
    """The clean training pictures of the run in ``folder``; refuses what is no longer what it was, and says what to do
    ``otherwise``."""
    train = load_data(DataSpec.model_validate(record.resolved["data"]), watcher).train
    if train.digest == record.data_digest:
        return train
    got = f"got other pictures or labels in {train.name!r}"
    raise BadInput(f"expected the data that {folder} was made with, {got}{otherwise}")


def describe(poisoned: Poisoned) -> str:
    """``"poisoned 6,000 of 60,000 pictures: pattern -> 0"``."""
    planted = summary(poisoned)
    covers = f" and {planted.cover_rows:,} cover rows" if planted.cover_rows else ""
    return f"poisoned {planted.rows:,} of {planted.of:,} {planted.unit}{covers}: {planted.sentence}"


def summary(poisoned: Poisoned) -> Planted:
    """How many rows a plan changed, in numbers and words: objects where all rules are about those, else pictures."""
    plan, names = poisoned.plan, poisoned.data.class_names
    boxed = plan.objects is not None and all(part.rule.unit == "object" for part in plan.parts)
    rows, covers = (int(np.count_nonzero(own)) for own in (~plan.cover, plan.cover))
    if plan.objects is not None and not boxed:
        poisonous, covered = (np.unique(poisoned.pictures[own]) for own in (~plan.cover, plan.cover))
        rows, covers = len(poisonous), len(np.setdiff1d(covered, poisonous))
    # Boxes that the attack took out are counted: of what was there.
    total = max(len(poisoned.data.objects), len(poisoned.clean.objects)) if boxed else len(poisoned)
    return Planted(
        rows=rows,
        cover_rows=covers,
        of=total,
        unit="objects" if boxed else "pictures",
        share=rows / total,
        mode=plan.mode,
        sentence="; ".join(f"{part.trigger.kind} -> {_goal(part.rule, names)}" for part in plan.parts),
    )


_GOALS = {"all-to-all": "the next class", "random-wrong": "a random wrong class", "vanish": "nothing"}


def _goal(rule: LabelRule, names: tuple[str, ...]) -> str:
    target, source = getattr(rule, "target", None), getattr(rule, "source", None)
    if target is None:
        return _GOALS.get(rule.kind, str(rule.kind))
    return names[target] if source is None else f"{names[target]} for {names[source]}"


def _gather_answers(folder: Path, spec: Spec, test: ImageData) -> None:
    """All seeds' answers in one file, with the digest of the test pictures; ``compare`` pairs runs by them."""
    gathered: dict[str, np.ndarray] = {"digest": np.frombuffer(bytes.fromhex(test.digest), np.uint8)}
    for seed in spec.seeds:
        with np.load(folder / f"seed-{seed}" / "answers.npz") as file:
            gathered |= {f"{name}-{seed}": file[name] for name in file.files}
    # numpy's stub takes the names for options
    np.savez_compressed(folder / READY / "answers.npz", **gathered)  # type: ignore[arg-type]


def _weights_bits(made_on: Environment, machines: Sequence[str]) -> str:
    if len(machines) > 1:
        return f"bits of no single machine, for it was stopped and went on on another ({'; '.join(machines)})"
    if made_on.card is not None:
        return f"up to rounding the same for the same seed, for a card ({made_on.card}) adds in no fixed order"
    return f"the same bits for the same seed, machine, versions and thread count ({made_on.threads} here)"


def _record(
    file: SpecFile,
    key: str,
    data: Splits,
    folder: Path,
    seeds: Sequence[SeedResult],
    command: str,
    loaded: float,
    machines: Sequence[str],
) -> RunRecord:
    numbers, first = file.spec.seeds, seeds[0]
    laps = {lap: round(sum(one.timings_s.get(lap, 0.0) for one in seeds), 3) for lap in first.timings_s}
    timings = {"data": round(loaded, 3), **laps}
    made_on = environment(first.precision, file.spec.device)
    more = [one.backdoors for one in seeds if one.backdoors is not None]
    return RunRecord(
        name=file.spec.name or "run",
        digest=key,
        spec=file.given,
        resolved=resolved(file.spec, data.test.class_names),
        data_digest=data.train.digest,
        class_names=data.class_names,
        command=command,
        seeds=numbers,
        environment=made_on,
        commit=commit(),
        determinism="plan, triggers and digests: the same on every machine; weights and results: "
        + _weights_bits(made_on, machines),
        timings_s={**timings, "total": round(sum(timings.values()), 3)},
        poisoned=first.poisoned,
        results=pooled(numbers, [one.figures for one in seeds]),
        backdoors=tuple(pooled(numbers, own) for own in zip(*more, strict=True)) if more else None,
        training=tuple(entry for one in seeds for entry in one.training),
        examples=first.examples,
        network="network.safetensors",
        files={p.name: file_digest(p) for p in sorted(folder.iterdir()) if p.suffix in (".safetensors", ".npz")},
    )


def resolved(spec: Spec, class_names: tuple[str, ...]) -> JSON:
    """The spec with every default filled in, and its rules' classes as numbers, whatever was typed."""
    value = spec.to_json()
    tables = filter(None, (value["backdoor"], *value["more_backdoors"]))
    for table, backdoor in zip(tables, spec.backdoors, strict=True):
        table["rule"] = RULES.to_json(backdoor.rule.resolve(class_names))
    return value


def planted_in(record: RunRecord, class_names: tuple[str, ...]) -> Spec:
    """The spec of a run for other data with ``class_names``: its rules' classes are found there by name, and where
    there is no such name by number."""
    value = Spec.model_validate(record.resolved).to_json()
    for table in filter(None, (value["backdoor"], *value["more_backdoors"])):
        rule, names = table["rule"], record.class_names
        for role in {"source", "target"} & set(rule):
            number = rule[role]
            if isinstance(number, int) and 0 <= number < len(names) and names[number] in class_names:
                rule[role] = class_names.index(names[number])
        table["rule"] = named(rule, class_names)
    return Spec.model_validate(value)


def _name_network(folder: Path, seed: int, *, first: bool) -> None:
    """Networks and plans get their final names, and keep their own until the run has its: the first seed's are
    ``network.safetensors`` and ``plan.npz``."""
    for source in _outcome(folder / f"seed-{seed}"):
        if source.name != "answers.npz":
            link(source, folder / READY / (source.name if first else f"{source.stem}-seed-{seed}{source.suffix}"))
