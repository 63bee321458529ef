"""The referee of a repair: opens the file, lets the method see what a defender sees, writes what came out, reopens it,
and measures it: what the repair cured, what it cost, and whether the backdoor only sleeps.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from badnets.backdoors.rules import RULES
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput, BadnetsError, CannotTell
from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.data.splits import draw
from badnets.defenses.repair import Repair, Repaired, repair
from badnets.defenses.view import DefenderView
from badnets.networks.classes import align_classes
from badnets.networks.files.foreign import ForeignOptions, open_any
from badnets.networks.files.header import PICKLED
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import check_classifier, check_input
from badnets.networks.network import ImageNetwork
from badnets.referee.reactivation import CLEAN, POISONED, reactivate
from badnets.referee.record import RunRecord, commit, environment
from badnets.referee.run import clean_reference, load_data
from badnets.referee.spec import DataSpec, Spec, make_data
from badnets.referee.store import read_record
from badnets.referee.truth import Answers, KnownTrigger, NothingKnown, TriggeredPictures, Truth, whole

FORMAT = "badnets/certificate/1"
PICTURES = 3000
"""How many clean pictures a defender has unless it is said: 5 % of MNIST."""


class Interrupted(BadnetsError):
    """Stopped by Ctrl-C; what there was is written."""

    exit_code = 130


@dataclass(frozen=True, kw_only=True)
class RepairCase:
    """What to repair, with what, and how to judge it: everything but the method.

    ``model`` (a file or a run's folder) is repaired on ``pictures`` clean pictures of ``data`` (a name or path; None:
    the data of ``trigger_from``), drawn stratified from its training part, and measured on its test part. With
    ``test`` (a name or path) all of ``data`` is the defender's and all of ``test`` is for measuring. The truth is the
    backdoor of the run ``trigger_from``, or ``triggered`` (a name or path): pictures with the trigger, labelled with
    the attacker's target. ``clean_network`` is a file of the clean network to compare with (default: the clean
    reference of ``trigger_from``). ``settings`` are changes of the data, ``["size=32"]``.
    """

    model: Path
    out: Path
    data: str | None = None
    test: str | None = None
    pictures: int | None = None
    trigger_from: Path | None = None
    triggered: str | None = None
    clean_network: Path | None = None
    foreign: ForeignOptions | None = None
    settings: tuple[str, ...] = ()
    budget_s: float | None = None
    seed: int = 1
    reactivation: bool = True
    command: str = ""

    def __post_init__(self) -> None:
        if self.trigger_from is not None and self.triggered is not None:
            raise BadInput("expected either --trigger-from or --triggered, got both; give the one you know more by")
        if self.data is None and self.trigger_from is None:
            raise BadInput("expected clean data (--data) to repair with and to measure on, got none")
        if self.pictures is not None and self.pictures < 1:
            raise BadInput(f"expected --pictures of at least 1, got {self.pictures}")
        _check_place(self.out, self.model)

    @property
    def shape_settings(self) -> list[str]:
        """Those settings that other pictures for the same network need too."""
        return [change for change in self.settings if change.partition("=")[0].strip() in ("size", "grey")]


def certify(case: RepairCase, method: Repair, *, watcher: Watcher | None = None) -> dict[str, Any]:
    """Repair ``case.model`` with ``method``, write ``case.out`` (whole or not at all), reopen it, measure it.

    Returns the certificate as JSON (docs/schemas/certificate.json). Raises ``BadInput`` for what is wrong with files,
    data or method, ``CannotTell`` when no network came out, and ``Interrupted`` on Ctrl-C, after writing what there is.
    """
    watch = watcher or Watcher()
    began = time.perf_counter()
    bench = Bench.of(case, watch)
    repaired = _repaired(bench.network, bench.defender, method, case, watch, method.kind)
    repaired.network.provenance = {**bench.network.provenance, "repaired": repaired.method}
    save_network(repaired.network, case.out)
    if repaired.stopped == "interrupted":
        steps = f"{len(repaired.trace)} step{'s' * (len(repaired.trace) != 1)}"
        raise Interrupted(f"interrupted after {steps}; the network as it was then is in {case.out}, not measured")
    try:
        return _certificate(bench, case, method, repaired, watch, began)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; the repaired network is in {case.out}, its certificate is not finished"
        ) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Bench:
    """What the referee has: the network, the defender's pictures, the test pictures, spare clean pictures for poison,
    the truth, and the clean network (made when it is asked for)."""

    spec: DataSpec
    network: ImageNetwork
    defender: ImageData
    spare: ImageData
    test: ImageData
    truth: Truth
    clean: Callable[[], ImageNetwork] | None

    @classmethod
    def of(cls, case: RepairCase, watch: Watcher) -> Bench:
        """Open and load all that ``case`` names."""
        # A file of ours needs no pictures to be opened, and what is wrong with it is told before any are read.
        own = open_any(case.model) if case.foreign is None else None
        if own is not None:
            check_classifier(own)
        record = None if case.trigger_from is None else _run_with_backdoor(case.trigger_from)
        if case.data is None and record is not None:
            spec = DataSpec.model_validate(record.resolved["data"])
        else:
            spec = make_data(case.data or "", list(case.settings))
        splits = load_data(spec, watch)
        if case.test is None:
            pool, test = splits.train, splits.test
        else:
            pool, test = whole(splits), whole(load_data(make_data(case.test, case.shape_settings), watch))
            if pool.digest == test.digest:
                raise BadInput(f"expected other pictures with --test than with --data, got the same in {test.name}")
        rows = draw(pool, case.pictures or PICTURES, Seed(case.seed).derive("defender"))
        network = own or open_any(case.model, case.foreign, clean=pool.take(rows))
        check_classifier(network)
        for part in (pool, test):
            check_input(network, part.shape, f"pictures of {part.name}")
        pool, test = align_classes(pool, network), align_classes(test, network)
        rest = np.setdiff1d(np.arange(len(pool)), rows)
        number = _seed_of(network, record)
        return cls(
            spec=spec,
            network=network,
            defender=pool.take(rows),
            spare=pool.take(rest if len(rest) else rows),
            test=test,
            truth=_truth(case, record, number, network, watch),
            clean=_clean_network(case, record, number, network, watch),
        )


def _run_with_backdoor(run: Path) -> RunRecord:
    record = read_record(run)
    if record.resolved.get("backdoor") is None:
        raise BadInput(f"expected a run with a backdoor at {run}, got one without")
    return record


def _seed_of(network: ImageNetwork, record: RunRecord | None) -> int:
    """The seed of the run from which the network is; the run's first, if it doesn't say."""
    if record is None:
        return 0
    named = network.provenance.get("seed")
    return int(named) if named in record.seeds else record.seeds[0]


def _truth(case: RepairCase, record: RunRecord | None, number: int, network: ImageNetwork, watch: Watcher) -> Truth:
    if record is not None:
        backdoor = Spec.model_validate(record.resolved).backdoor
        if backdoor is not None:
            return KnownTrigger(backdoor=backdoor.backdoor, seed=Seed(number).derive("measure"))
    if case.triggered is not None:
        pictures = whole(load_data(make_data(case.triggered, case.shape_settings), watch))
        check_input(network, pictures.shape, f"pictures of {pictures.name}")
        if len(pictures) < 4:
            raise BadInput(f"expected at least 4 triggered pictures in {case.triggered}, got {len(pictures)}")
        return TriggeredPictures(pictures=align_classes(pictures, network))
    return NothingKnown()


def _clean_network(
    case: RepairCase, record: RunRecord | None, number: int, network: ImageNetwork, watch: Watcher
) -> Callable[[], ImageNetwork] | None:
    """How to come by a clean network; None if there is no way."""
    if case.clean_network is not None:
        other = open_any(case.clean_network, case.foreign)
        if (other.class_names, other.input_size) != (network.class_names, network.input_size):
            raise BadInput(f"expected a clean network of the same classes and input size, got {case.clean_network}")
        return lambda: other
    if record is None:
        return None
    spec = Spec.model_validate(record.resolved)

    def reference() -> ImageNetwork:
        train = load_data(spec.data, watch).train
        if train.digest != record.data_digest:
            raise BadInput(
                f"expected the data that {case.trigger_from} was made with, got other pictures or labels in "
                f"{train.name!r}; bring it, or a clean network (--clean-network)"
            )
        return clean_reference(spec, train, Seed(number), watch=watch)[0]

    return reference


def _repaired(
    network: ImageNetwork, data: ImageData, method: Repair, case: RepairCase, watch: Watcher, what: str
) -> Repaired:
    """``method`` on what a defender sees."""
    view = DefenderView(network=network, data=data, seed=Seed(case.seed), budget_s=case.budget_s)
    return repair(view, method, on_row=lambda _, done, total, rate: watch.progress(what, done, total, rate))


def _certificate(
    bench: Bench, case: RepairCase, method: Repair, repaired: Repaired, watch: Watcher, began: float
) -> dict[str, Any]:
    measured = time.perf_counter()
    after_network = open_network(case.out)
    before, after = (bench.truth.measure(network, bench.test) for network in (bench.network, after_network))
    notes = _notes(bench, before)
    changed = _differ(bench.network, after_network)
    controlled = time.perf_counter()
    control, control_json = _control(bench, case, method, watch, notes)
    tuned = time.perf_counter()
    networks = {"repaired": after_network, "backdoored": bench.network}
    if control is not None:
        networks["clean_network"] = control
    reactivation = _reactivation(bench, case, networks, watch, notes)
    done = time.perf_counter()
    laps = {
        "data and repair": measured - began,
        "measure": controlled - measured,
        "clean network": tuned - controlled,
        "reactivation": done - tuned,
    }
    return {
        "format": FORMAT,
        "network": str(case.out),
        "model": str(case.model),
        "architecture": bench.network.architecture,
        "data": bench.spec.model_dump(mode="json"),
        "data_digest": bench.test.digest,
        "class_names": list(bench.test.class_names),
        "defender": {"pictures": len(bench.defender), "digest": bench.defender.digest, "seed": case.seed},
        "truth": {
            "trigger_from": case.trigger_from,
            "triggered": case.triggered,
            **_rule(bench.truth, bench.test.class_names),
        },
        **repaired.to_json(),
        "seconds": round(repaired.seconds, 3),
        "changed": changed,
        "before": before.to_json(),
        "after": after.to_json(),
        "after_minus_before": after.minus(before),
        "clean_network": control_json,
        "reactivation": reactivation,
        "notes": notes,
        "command": case.command,
        "environment": environment("fp32"),
        "commit": commit(),
        "timings_s": {name: round(seconds, 3) for name, seconds in laps.items()},
        "files": {case.out.name: file_digest(case.out)},
    }


def _rule(truth: Truth, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The backdoor of a run, or the one class that all triggered pictures should be read as."""
    if isinstance(truth, TriggeredPictures):
        wanted = np.unique(truth.pictures.labels)
        return {"backdoor": None, "target": int(wanted[0]) if len(wanted) == 1 else None}
    if not isinstance(truth, KnownTrigger):
        return {"backdoor": None, "target": None}
    trigger = TRIGGERS.to_json(truth.backdoor.trigger)
    rule = RULES.to_json(truth.backdoor.rule.resolve(class_names))
    return {"backdoor": {"trigger": trigger, "rule": rule}, "target": rule.get("target")}


def _notes(bench: Bench, before: Answers) -> list[str]:
    """What is not known beside what was asked for, and why."""
    notes = []
    if before.hits is not None and before.robust is None:
        notes.append("Robust accuracy is not known: the triggered pictures are labelled with the attacker's target.")
    if bench.clean is None:
        notes.append("What a clean network loses by the same repair is not known: none was given (--clean-network).")
    return notes


def _differ(a: ImageNetwork, b: ImageNetwork) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() != second.keys() or any(
        first[name].shape != second[name].shape or not torch.equal(first[name], second[name]) for name in first
    )


def _control(
    bench: Bench, case: RepairCase, method: Repair, watch: Watcher, notes: list[str]
) -> tuple[ImageNetwork | None, dict[str, Any] | None]:
    """A clean network through the same repair, with the same seed and data: the network, and what was measured."""
    if bench.clean is None:
        return None, None
    network = bench.clean()
    try:
        other = _repaired(network, bench.defender, method, case, watch, f"{method.kind}, on a clean network")
    except CannotTell as error:
        notes.append(f"On the clean network the repair came to nothing: {error}.")
        return None, None
    if other.stopped == "interrupted":
        raise KeyboardInterrupt
    before, after = (bench.truth.measure(n, bench.test) for n in (network, other.network))
    return other.network, {
        "before": before.to_json(),
        "after": after.to_json(),
        "after_minus_before": after.minus(before),
        "chosen": other.chosen,
        "stopped": other.stopped,
    }


def _reactivation(
    bench: Bench, case: RepairCase, networks: dict[str, ImageNetwork], watch: Watcher, notes: list[str]
) -> dict[str, Any] | None:
    if isinstance(bench.truth, NothingKnown) or not case.reactivation:
        return None
    seed = Seed(case.seed).derive("reactivation")
    poisons = bench.truth.poisons(bench.spare, POISONED, seed)
    if not len(poisons):
        notes.append("Reactivation was not measured: no picture at hand can be poisoned.")
        return None
    clean = bench.defender.take(draw(bench.defender, CLEAN, seed.derive("clean")))
    found = reactivate(networks, bench.truth, poisons, clean, bench.test, seed=seed, on_epoch=watch.progress)
    if found is None:
        notes.append("Reactivation was not measured: no gradient comes through the repaired network.")
    return found


def _check_place(out: Path, model: Path) -> None:
    """Refuse before any work a place that cannot be written afterwards."""
    if out.suffix.lower() in PICKLED:
        raise BadInput(f"expected --out to end in .safetensors, got {out.name}; there is no other format")
    if out.is_dir():
        raise BadInput(f"expected --out to be a file such as {out / 'repaired.safetensors'}, got a folder")
    source = model / "network.safetensors" if model.is_dir() else model
    if out.exists() and source.exists() and out.samefile(source):
        raise BadInput(f"expected --out to be another file than the network to repair, got {out}; choose another name")
    folder = out.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(f"expected --out in a folder that can be written, got {out}; choose another place")
