"""What a method is tried on: a network's file, a defender's pictures, and what the referee alone knows; opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from badnets.backdoors.rules import RULES
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput, BadnetsError
from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.core.text import brief
from badnets.data.images import ImageData, Splits
from badnets.data.registry import SOURCES
from badnets.defenses.abstain import Guarded
from badnets.defenses.findings import check_same
from badnets.defenses.repair import Repaired
from badnets.networks.code import code_named
from badnets.networks.files.foreign import ForeignOptions, open_any, says_itself
from badnets.networks.files.header import PICKLED
from badnets.networks.inference import align_classes, check_classifier, check_input
from badnets.networks.network import ImageNetwork
from badnets.records.certificate import Certificate, Defender, GuardRecord
from badnets.records.certificate import Truth as TruthRecord
from badnets.records.model import Backdoor as BackdoorRecord
from badnets.records.read import network_file
from badnets.records.run import RunRecord
from badnets.referee.bench import Bench, defender_and_spare
from badnets.referee.data import load_data
from badnets.referee.reference import clean_reference
from badnets.referee.run import planted_in, run_with_backdoor, training_data
from badnets.referee.spec import DataSpec, Spec, make_data
from badnets.referee.store import commit, environment
from badnets.referee.truth import Answers, KnownTrigger, NothingKnown, TriggeredPictures, Truth, known_trigger, whole

R = TypeVar("R", Certificate, GuardRecord)
PICTURES = 3000
"""How many clean pictures a defender has unless it is said: 5 % of MNIST."""


class Interrupted(BadnetsError):
    """Stopped by Ctrl-C; what there was is written."""

    exit_code = 130


@dataclass(frozen=True, kw_only=True)
class RepairCase:
    """What to repair, with what, and how to judge it: everything but the method.

    The network is written to ``written`` (default: ``out``), from where somebody moves it to ``out``.
    ``model`` (a file or a run's folder) is repaired on ``pictures`` clean pictures of ``data`` (a name or path; None:
    the data of ``trigger_from``), drawn stratified from its training part, and measured on its test part. With
    ``test`` (a name or path) all of ``data`` is the defender's and all of ``test`` is for measuring. The truth is the
    backdoor of the run ``trigger_from``, or ``triggered`` (a name or path): pictures with the trigger, labelled with
    the attacker's target. ``clean_network`` is a file of the clean network to compare with (default: the clean
    reference of ``trigger_from``). ``seen`` gives, of ``data``, pictures that an audit has used, which are not measured
    on where at least half are left. ``settings`` are changes of the data, ``["size=32"]``. ``allowance``: the clean
    accuracy that a cure may cost, 0..1.
    """

    model: Path
    out: Path
    written: Path | None = None
    data: str | None = None
    test: str | None = None
    pictures: int | None = None
    trigger_from: Path | None = None
    triggered: str | None = None
    clean_network: Path | None = None
    seen: Callable[[Splits], ImageData] | None = None
    foreign: ForeignOptions | None = None
    settings: tuple[str, ...] = ()
    budget_s: float | None = None
    seed: int = 1
    allowance: float = 0.01
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
        _check_place(self.out, network_file(self.model))

    @property
    def into(self) -> Path:
        """Where the network is written to."""
        return self.written or self.out

    def others(self, name: str, spec: DataSpec, watch: Watcher) -> ImageData:
        """All pictures of another source, in the shape of ``data``'s, which ``spec`` says."""
        other = make_data(name).model_copy(update={"size": spec.size, "grey": spec.grey})
        return whole(load_data(other, watch))


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A ``case``, opened: the network, the data it was drawn from, the bench, and how to come by a clean network (None
    if there is no way)."""

    case: RepairCase
    spec: DataSpec
    network: ImageNetwork
    bench: Bench
    clean: Callable[[], ImageNetwork] | None = None

    def record(self, kind: type[R], done: Repaired | Guarded, before: Answers, after: Answers, **more: object) -> R:
        """A certificate or a guard record: what both say, and ``more``."""
        case, bench = self.case, self.bench
        return kind.model_validate(
            {
                "network": str(case.out),
                "model": str(case.model),
                "architecture": self.network.architecture,
                "data": self.spec.model_dump(mode="json"),
                "data_digest": bench.test.digest,
                "class_names": bench.test.class_names,
                "defender": Defender(pictures=len(bench.defender), digest=bench.defender.digest, seed=case.seed),
                "truth": self._truth(),
                **{name: getattr(done, name) for name in ("method", "trace", "chosen", "stopped")},
                "seconds": round(done.seconds, 3),
                "before": before.standing,
                "after": after.standing,
                "after_minus_before": after.minus(before),
                "command": case.command,
                "environment": environment("fp32", self.network.device),
                "commit": commit(),
                "files": {case.out.name: file_digest(case.into)},
                **more,
            }
        )

    def _truth(self) -> TruthRecord:
        """The backdoor of a run, or the one class that all triggered pictures should be read as."""
        case, truth = self.case, self.bench.truth
        trigger_from = None if case.trigger_from is None else case.trigger_from.as_posix()
        if isinstance(truth, KnownTrigger):
            rule = RULES.to_json(truth.backdoor.rule.resolve(self.bench.test.class_names))
            backdoor = BackdoorRecord(trigger=TRIGGERS.to_json(truth.backdoor.trigger), rule=rule)
            return TruthRecord(trigger_from=trigger_from, backdoor=backdoor, target=rule.get("target"))
        targets = np.unique(truth.pictures.labels).tolist() if isinstance(truth, TriggeredPictures) else []
        target = targets[0] if len(targets) == 1 else None
        return TruthRecord(trigger_from=trigger_from, triggered=case.triggered, target=target)


def check_findings(method: object, model: Path) -> None:
    """Refuse a ``method`` with findings of audits that are of another network than ``model``."""
    file = network_file(model)
    check_same(getattr(method, "finding", ()), file_digest(file) if file.is_file() else None)


def data_for(network: ImageNetwork | None, spec: DataSpec, watch: Watcher) -> tuple[DataSpec, Splits]:
    """The data of a spec; where that leaves size and channels open, they are those of the ``network``'s input. With
    None (a network that is not opened yet) they are as they lie there. Gives the spec with what was filled in, too."""
    if network is None or (spec.size is not None and spec.grey is not None):
        return spec, load_data(spec, watch)
    channels, *sides = network.input_size
    asked: dict[str, Any] = {"size": tuple(sides), "grey": channels == 1}
    asked = {name: value for name, value in asked.items() if getattr(spec, name) is None}
    named = spec.name in SOURCES and not SOURCES.find(spec.name).needs_path
    if named:  # it has a size of its own; what lies at a path may have many, and is read once
        splits = load_data(spec, watch)
        shape = splits.test.pixels.shape or (0, 0, channels)
        if ("size" not in asked or shape[:2] == tuple(sides)) and ("grey" not in asked or shape[2] == channels):
            return spec, splits
        wanted = "x".join(map(str, (*sides, channels)))
        watch.say(f"pictures of {spec.name} are made {wanted}, as the network takes them")
    spec = spec.model_copy(update=asked)
    return spec, load_data(spec, watch)


def open_case(case: RepairCase, watch: Watcher) -> Opened:
    """Open and load all that ``case`` names."""
    # A file of ours needs no pictures to be opened, and what is wrong with it is told before any are read.
    ours = open_any(case.model, case.foreign) if says_itself(case.model) else None
    if ours is not None:
        check_classifier(ours)
    record = None if case.trigger_from is None else run_with_backdoor(case.trigger_from)
    if case.data is None and record is not None:
        spec = DataSpec.model_validate(record.resolved["data"])
    else:
        spec = make_data(case.data or "", case.settings)
    spec, splits = data_for(ours, spec, watch)
    pool, test = splits.train, splits.test
    if case.test is not None:
        pool, test = whole(splits), case.others(case.test, spec, watch)
        if pool.digest == test.digest:
            raise BadInput(f"expected other pictures in 'test' than in 'data', got the same in {test.name}")
    if case.seen is not None:
        test = _without(test, case.seen(splits))
    seed = Seed(case.seed)
    defender, spare = defender_and_spare(pool, case.pictures or PICTURES, seed)
    network = ours or open_any(case.model, case.foreign, clean=defender)
    check_classifier(network)
    for part in (pool, test):
        check_input(network, part.shape, f"pictures of {part.name}")
    # Of a run's own networks each knows its seed.
    named = network.provenance.get("seed")
    number = 0 if record is None else int(named) if named in record.seeds else record.seeds[0]
    bench = Bench(
        defender=align_classes(defender, network),
        spare=align_classes(spare, network),
        test=align_classes(test, network),
        truth=_truth(case, spec, record, number, network, watch),
        seed=seed,
        budget_s=case.budget_s,
        watcher=watch,
    )
    clean = _clean_network(case, record, number, network, watch)
    return Opened(case=case, spec=spec, network=network, bench=bench, clean=clean)


def _without(test: ImageData, seen: ImageData) -> ImageData:
    """``test`` less the pictures that were ``seen``; all of it, where less than half would be left."""
    known = {image.tobytes() for image in seen.images()}
    new = [image.tobytes() not in known for _, images in test.batches(1000) for image in images]
    return test.take(np.flatnonzero(new)) if len(test) > sum(new) >= len(test) / 2 else test


def _truth(
    case: RepairCase, spec: DataSpec, record: RunRecord | None, number: int, network: ImageNetwork, watch: Watcher
) -> Truth:
    if record is not None:
        return known_trigger(planted_in(record, network.class_names), Seed(number))
    if case.triggered is None:
        return NothingKnown()
    pictures = case.others(case.triggered, spec, watch)
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
    if code_named(spec.network):
        got = f"{brief(spec.network)}, which no record makes run"
        raise BadInput(f"expected a clean network beside a run of your code, got {got}; name one (--clean-network)")

    def reference() -> ImageNetwork:
        train = training_data(record, case.trigger_from, watch, "; bring it, or a clean network ('clean_network')")
        return clean_reference(spec, train, Seed(number), watch=watch)[0]

    return reference


def _check_place(out: Path, source: Path) -> None:
    """Refuse before any work a place that cannot be written afterwards."""
    if out.suffix.lower() in PICKLED:
        raise BadInput(f"expected 'out' to end in .safetensors, got {out.name}; there is no other format")
    if out.is_dir():
        raise BadInput(f"expected 'out' to be a file such as {out / 'repaired.safetensors'}, got a folder")
    if out.exists() and source.exists() and out.samefile(source):
        raise BadInput(f"expected 'out' to be another file than the network to repair, got {out}; choose another name")
    folder = next(folder for folder in out.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadInput(f"expected 'out' in a folder that can be written, got {out}; choose another place")
