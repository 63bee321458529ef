"""Run an experiment: poison, train, write the file, reopen it, measure, record. Each finished seed is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from badnets.attacks.pgd import PGD, AdversarialTraining
from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.plan import Poisoned
from badnets.core.errors import BadInput
from badnets.core.files import digest, file_digest, read_json, write_json
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Splits
from badnets.data.load import load
from badnets.data.splits import draw
from badnets.networks.files.own import through_file
from badnets.networks.network import ImageNetwork
from badnets.referee.checks import check_data, check_training, initial_weights
from badnets.referee.detector_examples import choose_detector_examples
from badnets.referee.disturbances import disturbances
from badnets.referee.examples import choose_examples
from badnets.referee.measure import Measured, measure
from badnets.referee.measure_detector import DetectorMeasured, measure_detector
from badnets.referee.planted import describe, summary
from badnets.referee.pool import pool_results
from badnets.referee.record import RunRecord, commit, environment
from badnets.referee.spec import DataSpec, Spec, SpecFile
from badnets.referee.store import RUNS, Place
from badnets.training.loop import BatchHook, Trained


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder, its record, and whether it was found rather than run."""

    folder: Path
    record: RunRecord
    found: bool


def load_data(spec: DataSpec, watcher: Watcher | None = None) -> Splits:
    """The data of a spec."""
    report = (watcher or Watcher()).progress
    splits = load(
        spec.name,
        path=spec.path,
        size=spec.size,
        grey=spec.grey,
        seed=spec.seed,
        test_share=spec.test_share,
        options=spec.options,
        progress=lambda what, done, total: report(what, done, total, None),
    )
    if spec.train_count is None:
        return splits
    rows = draw(splits.train, spec.train_count, Seed(spec.seed).derive("train-count"))
    return replace(splits, train=splits.train.take(rows))


def run(
    file: SpecFile,
    *,
    out: Path | None = None,
    force: bool = False,
    command: str = "",
    watcher: Watcher | None = None,
) -> Finished:
    """Run ``file.spec`` into ``out`` (default: ``badnets-runs/<name>-<digest>``).

    A finished run of the same spec on the same data is found, not repeated, unless ``force``; an interrupted one goes
    on after its last finished epoch. Raises ``BadInput`` for what is wrong with spec, data or folder.
    """
    watch = watcher or Watcher()
    spec = file.spec
    check_training(spec)
    began = time.perf_counter()
    data = load_data(spec.data, watch)
    loaded = time.perf_counter() - began
    key = digest(
        {"spec": spec.to_json(), "train": data.train.digest, "test": data.test.digest, **initial_weights(spec)}
    )
    name = spec.name or "run"
    place = Place((out or RUNS / f"{name}-{key[:8]}").resolve(), key)
    place.check_free()
    if not force:
        record = place.finished()
        if record is not None:
            return Finished(place.final, record, True)
    check_data(spec, data.train)
    with place.working(fresh=force) as folder:
        seeds = [run_seed(spec, seed, data, folder, watch) for seed in spec.seeds]
        for index, seed in enumerate(spec.seeds):
            _name_network(folder, seed, first=index == 0)
        _gather_answers(folder, spec, data.test)
        record = _record(file, name, key, data, folder, seeds, command, loaded)
        write_json(folder / "record.json", record.model_dump(mode="json"))
        _write_page(folder)
        for leftover in folder.glob("seed-*"):
            _remove(leftover)
        place.publish()
    return Finished(place.final, record, False)


def run_seed(
    spec: Spec, number: int, data: Splits, folder: Path, watch: Watcher, *, pictures: bool = True
) -> dict[str, Any]:
    """One seed, from its own folder below ``folder`` if it is finished there already; ``pictures`` for the page."""
    own = folder / f"seed-{number}"
    done = own / "result.json"
    if done.exists():
        value: dict[str, Any] = read_json(done)
        return value
    own.mkdir(exist_ok=True)
    seed = Seed(number)
    many = f" (seed {number})" if len(spec.seeds) > 1 else ""
    clock = _Clock()
    poisoned = poison_data(spec, data.train, seed, own, watch)
    clock.lap("poison")
    subject = data.train if poisoned is None else poisoned.data
    if poisoned is not None:
        watch.say(f"{describe(poisoned)}{many}")
        poisoned.plan.save(own / "plan.npz")
    kind = "clean" if poisoned is None else "backdoored"
    hooks = tuple(hook for b in spec.backdoors for hook in b.hooks)
    what = f"training {spec.network}{many}"
    trained = train_network(spec, subject, seed, own / "checkpoint.pt", watch, what, hooks=hooks)
    clock.add("train", trained.seconds)
    trained.network.provenance.update(_provenance(spec, number, poisoned))
    network = through_file(trained.network, own / "network.safetensors")
    history = [{"seed": number, "network": kind, "epochs": trained.history}]
    clock.lap("between")
    reference = None
    if spec.reference and poisoned is not None:
        reference, reference_history = clean_reference(spec, data.train, seed, folder=own, watch=watch, note=many)
        history.append({"seed": number, "network": "clean reference", "epochs": reference_history})
    clock.lap("reference")
    measured = _measure(spec, network, reference, data.test, seed)
    clock.lap("measure")
    clock.laps.pop("between")
    results = _results(spec, measured, network, reference, data.test, seed)
    shown = None
    if pictures:
        _save_answers(own, spec, measured[0], data.test)
        if spec.backdoor and number == spec.seeds[0]:
            stream = seed.derive("measure")
            first, backdoor = measured[0], spec.backdoor.backdoor
            if isinstance(first, DetectorMeasured):
                shown = choose_detector_examples(network, reference, data.test, backdoor, first, stream)
            else:
                shown = choose_examples(network, reference, data.test, backdoor, first, stream)
            if shown is not None:
                np.savez_compressed(folder / "pictures.npz", **shown["arrays"])
    value = {
        "seed": number,
        "results": results,
        "training": history,
        "timings_s": clock.laps,
        "precision": trained.precision,
        "poisoned": None if poisoned is None else summary(poisoned),
        "examples": shown["examples"] if shown else [],
    }
    write_json(done, value)
    return value


class _Clock:
    """Seconds since the last lap."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now

    def add(self, name: str, seconds: float) -> None:
        self.laps[name] = round(seconds, 3)


def train_network(
    spec: Spec,
    data: ImageData,
    seed: Seed,
    checkpoint: Path | None,
    watch: Watcher,
    what: str,
    *,
    hooks: tuple[BatchHook, ...] = (),
    adversary: PGD | None = None,
) -> Trained:
    """A new network of the spec's architecture and recipe, weights and order from ``seed``; with ``adversary`` on
    pictures that it moved against the network."""
    from badnets.networks.registry import build_network, parse_network
    from badnets.training.loop import Job, fit

    name, arguments = parse_network(spec.network)
    h, w, c = data.shape
    network = build_network(
        name, class_names=data.class_names, input_size=(c, h, w), seed=seed.derive("weights"), arguments=arguments
    )
    if adversary is not None:
        hooks = (*hooks, AdversarialTraining(network=network, pgd=adversary))
    epochs = spec.recipe.epochs

    def on_step(epoch: int, step: int, steps: int, accuracy: float | None) -> None:
        watch.progress(what, epoch * steps + step, epochs * steps, accuracy)

    job = Job(
        data=data,
        recipe=spec.recipe,
        seed=seed.derive("train"),
        hooks=hooks,
        on_step=on_step if spec.devices == 1 else None,
        checkpoint=checkpoint,
        devices=spec.devices,
        accelerator=spec.device,
    )
    return fit(network, job)


def poison_data(spec: Spec, train: ImageData, seed: Seed, folder: Path, watch: Watcher) -> Poisoned | None:
    """The poisoned training set of a spec; None without a backdoor."""
    from badnets.backdoors.backdoor import poison

    if spec.backdoor is None:
        return None
    if spec.backdoor.perturb is not None:
        own, note = seed.derive("surrogate"), " (the attacker's own network)"
        against = spec.backdoor.perturb.adversarial
        surrogate, _ = clean_reference(spec, train, own, folder=folder, watch=watch, note=note, adversary=against)
        return spec.backdoor.perturb.poison(train, spec.backdoor.part, network=surrogate, seed=seed)
    return poison(train, [b.part for b in spec.backdoors], mode=spec.mode, seed=seed)


def clean_reference(
    spec: Spec,
    train: ImageData,
    seed: Seed,
    *,
    folder: Path | None = None,
    watch: Watcher | None = None,
    note: str = "",
    adversary: PGD | None = None,
) -> tuple[ImageNetwork, list[dict[str, float]]]:
    """A network trained by the same recipe and seed on the clean data, and its history; kept in the cache, for other
    runs want it too. In ``folder`` an interrupted training keeps its state; ``note`` is added to what is said of it.
    With ``adversary`` it is trained adversarially: the surrogate of a clean-label attack."""
    from badnets.referee.references import cached_reference

    def make() -> Trained:
        checkpoint = None if folder is None else folder / f"{'-'.join(('reference', *seed.path))}.pt"
        what = f"training the clean reference{note}"
        return train_network(spec, train, seed, checkpoint, watch or Watcher(), what, adversary=adversary)

    return cached_reference(spec, train, seed, make, adversary)


def _provenance(spec: Spec, seed: int, poisoned: Poisoned | None) -> dict[str, Any]:
    recipe = spec.to_json()["recipe"]
    made: dict[str, Any] = {"made_by": "badnets", "data": spec.data.name, "seed": seed, "recipe": recipe}
    if poisoned is not None:
        made["backdoor"] = {"warning": "this network carries a backdoor on purpose", "planted": describe(poisoned)}
    return made


def _measure(
    spec: Spec, network: ImageNetwork, reference: ImageNetwork | None, test: ImageData, seed: Seed
) -> list[Measured] | list[DetectorMeasured]:
    """One for each backdoor; without any, the network alone."""
    stream = seed.derive("measure")
    backdoors: list[Backdoor | None] = [b.backdoor for b in spec.backdoors] or [None]
    settings: dict[str, Any] = {"reference": reference, "jitter": spec.jitter, "seed": stream}
    if network.task == "detect":
        return [measure_detector(network, test, b, **settings) for b in backdoors]
    return [measure(network, test, b, **settings) for b in backdoors]


def _results(
    spec: Spec,
    measured: list[Measured] | list[DetectorMeasured],
    network: ImageNetwork,
    reference: ImageNetwork | None,
    test: ImageData,
    seed: Seed,
) -> dict[str, Any]:
    """The first backdoor's figures, and where there are several those of each; the table of disturbances if asked."""
    results = measured[0].to_json()
    if spec.jitter_table and spec.backdoor:
        stream = seed.derive("measure")
        rows = disturbances(network, test, spec.backdoor.backdoor, reference=reference, seed=stream)
        results["disturbances"] = [row.to_json() for row in rows]
    if len(measured) > 1:
        results["backdoors"] = [m.to_json() for m in measured]
    return results


def _save_answers(folder: Path, spec: Spec, measured: Measured | DetectorMeasured, test: ImageData) -> None:
    """Per test object whether it counted: 1 yes, 0 no, -1 not eligible. ``badnets compare`` pairs runs by it."""
    rule = None if spec.backdoor is None else spec.backdoor.rule.resolve(test.class_names)
    answers = measured.answers if isinstance(measured, DetectorMeasured) else measured.answers(rule, test.labels)
    np.savez_compressed(folder / "answers.npz", **answers)  # type: ignore[arg-type]  # takes the names for options


def _gather_answers(folder: Path, spec: Spec, test: ImageData) -> None:
    """All seeds' answers in one file, with the digest of the test pictures."""
    gathered: dict[str, np.ndarray] = {"digest": np.frombuffer(bytes.fromhex(test.digest), np.uint8)}
    for seed in spec.seeds:
        with np.load(folder / f"seed-{seed}" / "answers.npz") as file:
            gathered |= {f"{name}-{seed}": file[name] for name in file.files}
    # numpy's stub takes the names for options
    np.savez_compressed(folder / "answers.npz", **gathered)  # type: ignore[arg-type]


def _record(
    file: SpecFile,
    name: str,
    key: str,
    data: Splits,
    folder: Path,
    seeds: list[dict[str, Any]],
    command: str,
    loaded: float,
) -> RunRecord:
    numbers = list(file.spec.seeds)
    laps = {lap: round(sum(s["timings_s"].get(lap, 0.0) for s in seeds), 3) for lap in seeds[0]["timings_s"]}
    timings = {"data": round(loaded, 3), **laps}
    timings["total"] = round(sum(timings.values()), 3)
    files = {p.name: file_digest(p) for p in sorted(folder.iterdir()) if p.suffix in (".safetensors", ".npz")}
    env = environment(seeds[0]["precision"])
    return RunRecord(
        name=name,
        digest=key,
        spec=file.given,
        resolved=file.spec.to_json(),
        data_digest=data.train.digest,
        class_names=list(data.class_names),
        command=command,
        seeds=numbers,
        environment=env,
        commit=commit(),
        determinism="plan, triggers and digests: the same on every machine; weights and results: the same bits for the "
        f"same seed, machine, versions and thread count ({env['threads']} here)",
        timings_s=timings,
        poisoned=seeds[0]["poisoned"],
        results=pool_results(numbers, [s["results"] for s in seeds]),
        training=[entry for s in seeds for entry in s["training"]],
        examples=seeds[0]["examples"],
        network="network.safetensors",
        files=files,
    )


def _name_network(folder: Path, seed: int, *, first: bool) -> None:
    """Networks and plans get their final names: the first seed's are ``network.safetensors`` and ``plan.npz``."""
    for file, ending in (("network", "safetensors"), ("plan", "npz")):
        source = folder / f"seed-{seed}" / f"{file}.{ending}"
        if source.exists():
            source.rename(folder / (f"{file}.{ending}" if first else f"{file}-seed-{seed}.{ending}"))


def _write_page(folder: Path) -> None:
    from badnets.report.pages.page import write_page

    write_page(folder)


def _remove(folder: Path) -> None:
    import shutil

    if not folder.is_dir():
        raise BadInput(f"expected a folder at {folder}, got a file")
    shutil.rmtree(folder)
