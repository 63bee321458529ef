"""The referee of a repair, and of an abstainer: opens the file, lets the method see what a defender sees, writes what
came out, reopens it, and measures it: what was cured or is refused, what it cost, whether the backdoor only sleeps.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from badnets.backdoors.rules import RULES
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput, BadnetsError, CannotTell
from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.defenses.abstain import Abstainer, Guarded
from badnets.defenses.repair import Repair, Repaired
from badnets.defenses.view import FEWEST
from badnets.networks.files.foreign import ForeignOptions, open_any
from badnets.networks.files.header import PICKLED
from badnets.networks.inference import align_classes, check_classifier, check_input
from badnets.networks.network import ImageNetwork
from badnets.records.certificate import Certificate, Control, Defender, GuardRecord, Reactivation
from badnets.records.certificate import Truth as ToldTruth
from badnets.records.model import Backdoor as ToldBackdoor
from badnets.records.run import RunRecord
from badnets.referee.bench import Bench, Role, defender_and_spare
from badnets.referee.environment import Clock, commit, environment
from badnets.referee.evaluate import network_file, run_with_backdoor
from badnets.referee.reference import clean_reference
from badnets.referee.run import load_data, planted_in, training_data
from badnets.referee.spec import DataSpec, Spec, make_data
from badnets.referee.truth import (
    Answers,
    KnownTrigger,
    NothingKnown,
    TriggeredPictures,
    Truth,
    by_target,
    known_trigger,
    whole,
)

R = TypeVar("R", Certificate, GuardRecord)
PICTURES = 3000
"""How many clean pictures a defender has unless it is said: 5 % of MNIST."""
ALLOWANCE = 0.01
"""The clean accuracy that a cure may cost unless it is said: one point."""
WIDE = 0.10
"""An interval of more than so much to either side is warned of."""


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
    reference of ``trigger_from``). ``settings`` are changes of the data, ``["size=32"]``. ``allowance``: the clean
    accuracy that a cure may cost, 0..1.
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
    allowance: float = ALLOWANCE
    reactivation: bool = True
    command: str = ""

    def __post_init__(self) -> None:
        if self.trigger_from is not None and self.triggered is not None:
            raise BadInput("expected either 'trigger_from' or 'triggered', got both; give the one you know more by")
        if self.data is None and self.trigger_from is None:
            raise BadInput("expected clean pictures in 'data' to repair with and to measure on, got none")
        if self.pictures is not None and self.pictures < 1:
            raise BadInput(f"expected 'pictures' of at least 1, got {self.pictures}")
        if not 0 <= self.allowance <= 1:
            raise BadInput(f"expected 'allowance' as a share from 0 to 1, got {self.allowance:g}; 0.01 is one point")
        _check_place(self.out, self.model)

    @property
    def shape_settings(self) -> list[str]:
        """Those settings that other pictures for the same network need too."""
        return [change for change in self.settings if change.partition("=")[0].strip() in ("size", "grey")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """What a case names, opened: the network, the data it was drawn from, the bench, and how to come by a clean network
    (None if there is no way)."""

    spec: DataSpec
    network: ImageNetwork
    bench: Bench
    clean: Callable[[], ImageNetwork] | None

    def record(
        self, kind: type[R], case: RepairCase, done: Repaired | Guarded, before: Answers, after: Answers, **own: object
    ) -> R:
        """A certificate or a guard record: what both say, and what is its ``own``."""
        bench, names = self.bench, self.bench.test.class_names
        return kind.model_validate(
            {
                "network": str(case.out),
                "model": str(case.model),
                "architecture": self.network.architecture,
                "data": self.spec.model_dump(mode="json"),
                "data_digest": bench.test.digest,
                "class_names": names,
                "defender": Defender(pictures=len(bench.defender), digest=bench.defender.digest, seed=case.seed),
                "truth": _told_truth(case, bench.truth, names),
                "method": done.method,
                "trace": done.trace,
                "chosen": done.chosen,
                "stopped": done.stopped,
                "seconds": round(done.seconds, 3),
                "before": before.standing,
                "after": after.standing,
                "after_minus_before": after.minus(before),
                "command": case.command,
                "environment": environment("fp32"),
                "commit": commit(),
                "files": {case.out.name: file_digest(case.out)},
                **own,
            }
        )


def open_case(case: RepairCase, watch: Watcher) -> Opened:
    """Open and load all that ``case`` names."""
    # A file of ours needs no pictures to be opened, and what is wrong with it is told before any are read.
    own = open_any(case.model) if case.foreign is None else None
    if own is not None:
        check_classifier(own)
    record = None if case.trigger_from is None else run_with_backdoor(case.trigger_from)
    if case.data is None and record is not None:
        spec = DataSpec.model_validate(record.resolved["data"])
    else:
        spec = make_data(case.data or "", case.settings)
    splits = load_data(spec, watch)
    if case.test is None:
        pool, test = splits.train, splits.test
    else:
        pool, test = whole(splits), whole(load_data(make_data(case.test, case.shape_settings), watch))
        if pool.digest == test.digest:
            raise BadInput(f"expected other pictures in 'test' than in 'data', got the same in {test.name}")
    seed = Seed(case.seed)
    defender, spare = defender_and_spare(pool, case.pictures or PICTURES, seed)
    network = own or open_any(case.model, case.foreign, clean=defender)
    check_classifier(network)
    for part in (pool, test):
        check_input(network, part.shape, f"pictures of {part.name}")
    number = _seed_of(network, record)
    bench = Bench(
        defender=align_classes(defender, network),
        spare=align_classes(spare, network),
        test=align_classes(test, network),
        truth=_truth(case, record, number, network, watch),
        seed=seed,
        budget_s=case.budget_s,
        watcher=watch,
    )
    return Opened(spec=spec, network=network, bench=bench, clean=_clean_network(case, record, number, network, watch))


def certify(case: RepairCase, method: Repair, *, watcher: Watcher | None = None) -> Certificate:
    """Repair ``case.model`` with ``method``, write ``case.out`` (whole or not at all), reopen it, measure it.

    Raises ``BadInput`` for what is wrong with files, data or method, ``CannotTell`` when no network came out, and
    ``Interrupted`` on Ctrl-C, after writing what there is.
    """
    clock = Clock()
    opened = open_case(case, watcher or Watcher())
    done, network = opened.bench.repaired(method, opened.network, into=case.out)
    if done.stopped == "interrupted":
        steps = f"{len(done.trace)} step{'s' * (len(done.trace) != 1)}"
        raise Interrupted(f"interrupted after {steps}; the network as it was then is in {case.out}, not measured")
    try:
        return certificate(opened, case, method, done, network, clock)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; the repaired network is in {case.out}, its certificate is not finished"
        ) from None


def guard(case: RepairCase, method: Abstainer, *, refuse: float = 0.01, watcher: Watcher | None = None) -> GuardRecord:
    """Guard ``case.model`` with ``method``, write ``case.out`` (whole or not at all), reopen it, measure it.

    ``refuse``: share of clean pictures that may be refused. What is not known of triggered pictures is None. Raises
    ``BadInput`` and ``CannotTell`` as ``abstain`` does, and ``Interrupted`` on Ctrl-C, after writing what there is.
    """
    opened = open_case(case, watcher or Watcher())
    bench = opened.bench
    done, network = bench.guarded(method, opened.network, refuse=refuse, into=case.out)
    if done.stopped == "interrupted":
        raise Interrupted(f"interrupted; the network as it was then, guarded, is in {case.out}, not measured")
    try:
        before, after = bench.answers(opened.network), bench.answers(network)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the guarded network is in {case.out}, it is not measured") from None
    return opened.record(
        GuardRecord,
        case,
        done,
        before,
        after,
        threshold=done.threshold,
        refuse=done.refuse,
        calibration=done.calibration,
        warning=done.warning,
    )


def _seed_of(network: ImageNetwork, record: RunRecord | None) -> int:
    """The seed of the run from which the network is; the run's first, if it doesn't say."""
    if record is None:
        return 0
    named = network.provenance.get("seed")
    return int(named) if named in record.seeds else record.seeds[0]


def _truth(case: RepairCase, record: RunRecord | None, number: int, network: ImageNetwork, watch: Watcher) -> Truth:
    if record is not None:
        return known_trigger(planted_in(record, network.class_names), Seed(number))
    if case.triggered is None:
        return NothingKnown()
    pictures = whole(load_data(make_data(case.triggered, case.shape_settings), watch))
    check_input(network, pictures.shape, f"pictures of {pictures.name}")
    if len(pictures) < 4:
        raise BadInput(f"expected at least 4 triggered pictures in {case.triggered}, got {len(pictures)}")
    return TriggeredPictures(pictures=align_classes(pictures, network))


def _clean_network(
    case: RepairCase, record: RunRecord | None, number: int, network: ImageNetwork, watch: Watcher
) -> Callable[[], ImageNetwork] | None:
    if case.clean_network is not None:
        other = open_any(case.clean_network, case.foreign)
        if (other.class_names, other.input_size) != (network.class_names, network.input_size):
            raise BadInput(f"expected a clean network of the same classes and input size, got {case.clean_network}")
        return lambda: other
    if record is None:
        return None
    spec = Spec.model_validate(record.resolved)

    def reference() -> ImageNetwork:
        train = training_data(record, case.trigger_from, watch, "; bring it, or a clean network ('clean_network')")
        return clean_reference(spec, train, Seed(number), watch=watch)[0]

    return reference


def certificate(
    opened: Opened, case: RepairCase, method: Repair, done: Repaired, network: ImageNetwork, clock: Clock
) -> Certificate:
    """The certificate of ``network``, what a repair that is ``done`` made of ``opened.network`` by the ``clock``."""
    clock.lap("data and repair")
    bench = opened.bench
    before, after = bench.answers(opened.network), bench.answers(network)
    notes = _notes(opened, done, before, after)
    clock.lap("measure")
    networks: dict[Role, ImageNetwork] = {"repaired": network, "backdoored": opened.network}
    control = None
    if opened.clean is not None:
        clean = opened.clean()
        try:
            control, networks["clean_network"] = _control(bench, clean, method)
        except CannotTell as error:
            notes.append(f"On the clean network the repair came to nothing: {error}.")
    clock.lap("clean network")
    again = None
    if case.reactivation and not isinstance(bench.truth, NothingKnown):
        again = _reactivation(bench, networks, notes)
    clock.lap("reactivation")
    return opened.record(
        Certificate,
        case,
        done,
        before,
        after,
        pictures=done.pictures,
        changed=_differ(opened.network, network),
        clean_network=control,
        reactivation=again,
        targets=by_target(bench.truth, before, after),
        allowance=case.allowance,
        notes=notes,
        timings_s=clock.laps,
    )


def _told_truth(case: RepairCase, truth: Truth, class_names: tuple[str, ...]) -> ToldTruth:
    """The backdoor of a run, or the one class that all triggered pictures should be read as."""
    trigger_from = None if case.trigger_from is None else case.trigger_from.as_posix()
    if isinstance(truth, KnownTrigger):
        rule = RULES.to_json(truth.backdoor.rule.resolve(class_names))
        backdoor = ToldBackdoor(trigger=TRIGGERS.to_json(truth.backdoor.trigger), rule=rule)
        return ToldTruth(trigger_from=trigger_from, backdoor=backdoor, target=rule.get("target"))
    targets = np.unique(truth.pictures.labels) if isinstance(truth, TriggeredPictures) else np.zeros(0, np.int64)
    target = int(targets[0]) if len(targets) == 1 else None
    return ToldTruth(trigger_from=trigger_from, triggered=case.triggered, target=target)


def _notes(opened: Opened, done: Repaired, before: Answers, after: Answers) -> list[str]:
    """What is not known, or hardly, beside what was asked for, and why."""
    notes = []
    if before.hits is not None and before.robust is None:
        notes.append("Robust accuracy is not known: the triggered pictures are labelled with the attacker's target.")
    if opened.clean is None:
        notes.append("What a clean network loses by the same repair is not known: none was given.")
    held_out: int | None = getattr(done, "held_out", None)
    if held_out is not None and held_out < FEWEST:
        pictures = f"{held_out} clean picture{'s' * (held_out != 1)}"
        notes.append(
            f"The repair chose on {pictures} that it had held out, and by fewer than {FEWEST} nothing can be chosen "
            "well; give the defender more."
        )
    for what, yes, kind in (
        ("Clean accuracy", after.right, "test pictures"),
        ("Attack success", after.hits, "triggered pictures"),
    ):
        if yes is not None and (width := _longer_side(Rate.of(yes))) > WIDE:
            notes.append(
                f"{what} after the repair is known to \N{PLUS-MINUS SIGN}{100 * width:.0f} points only: there are "
                f"{len(yes):,} {kind}."
            )
    return notes


def _longer_side(rate: Rate) -> float:
    """How far its interval reaches, to the side where that is further; 0 without pictures."""
    return max(float(rate) - rate.ends[0], rate.ends[1] - float(rate)) if rate.total else 0.0


def _differ(a: ImageNetwork, b: ImageNetwork) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() != second.keys() or not all(torch.equal(first[name], second[name]) for name in first)


def _control(bench: Bench, network: ImageNetwork, method: Repair) -> tuple[Control, ImageNetwork]:
    """A clean network through the same repair, with the same seed and data: what was measured, and what came out."""
    done, repaired = bench.repaired(method, network, what=f"{method.kind}, on a clean network")
    if done.stopped == "interrupted":
        raise KeyboardInterrupt
    before, after = bench.answers(network), bench.answers(repaired)
    control = Control(
        before=before.standing,
        after=after.standing,
        after_minus_before=after.minus(before),
        chosen=done.chosen,
        stopped="budget" if done.stopped else None,
    )
    return control, repaired


def _reactivation(bench: Bench, networks: dict[Role, ImageNetwork], notes: list[str]) -> Reactivation | None:
    again = bench.reactivation(networks)
    if again is None:
        none = "no gradient comes through the repaired network"
        why = none if len(bench.poisons) else "no picture at hand can be poisoned"
        notes.append(f"Reactivation was not measured: {why}.")
    return again


def _check_place(out: Path, model: Path) -> None:
    """Refuse before any work a place that cannot be written afterwards."""
    if out.suffix.lower() in PICKLED:
        raise BadInput(f"expected 'out' to end in .safetensors, got {out.name}; there is no other format")
    if out.is_dir():
        raise BadInput(f"expected 'out' to be a file such as {out / 'repaired.safetensors'}, got a folder")
    source = network_file(model)
    if out.exists() and source.exists() and out.samefile(source):
        raise BadInput(f"expected 'out' to be another file than the network to repair, got {out}; choose another name")
    folder = out.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(f"expected 'out' in a folder that can be written, got {out}; choose another place")
