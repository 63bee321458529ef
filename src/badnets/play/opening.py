"""What lies on the table when the page opens: networks, test pictures, the run's trigger, and what an audit found."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, equal

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import RULES, LabelRule
from badnets.backdoors.triggers.picture import Picture
from badnets.core.errors import BadInput, BadnetsError
from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.core.text import brief
from badnets.data.images import ImageData
from badnets.data.targets import Boxes
from badnets.defenses.findings import check_same, read_finding
from badnets.networks.architecture import GUARD
from badnets.networks.code import code_named
from badnets.networks.files.foreign import ForeignOptions, open_any, says_itself
from badnets.networks.files.header import read_header
from badnets.networks.guards.guard import Guard
from badnets.networks.inference import align_classes, check_input
from badnets.networks.network import ImageNetwork
from badnets.play.stickers import found_trigger
from badnets.records.certificate import Certificate
from badnets.records.finding import Finding
from badnets.records.read import RECORD, network_file, read_record, read_run
from badnets.records.run import RunRecord
from badnets.referee.case import data_for
from badnets.referee.reference import reference_at_hand
from badnets.referee.run import planted_in
from badnets.referee.spec import DataSpec, Spec, make_data
from badnets.referee.store import RUNS

MOST = 4
"""Networks that answer side by side, at most."""
_BESIDE = 200
"""Files that are looked at for repaired and guarded networks."""


@dataclass(frozen=True, eq=False)
class Player:
    """One network that answers: what it is called, and what it is (``asked``, ``clean``, ``repaired``, ``guarded``)."""

    name: str
    role: str
    network: ImageNetwork


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """``players``, the first of which is the one that is asked; ``test`` pictures in its classes, from ``data``; the
    ``record`` and the ``backdoor`` of the run, and the ``found`` trigger with its ``finding``. ``seed`` is that of
    measurements."""

    players: tuple[Player, ...]
    test: ImageData | None = None
    data: DataSpec | None = None
    record: RunRecord | None = None
    backdoor: Backdoor | None = None
    finding: Finding | None = None
    found: Picture | None = None
    seed: Seed = field(default_factory=lambda: Seed(1).derive("measure"))

    @property
    def network(self) -> ImageNetwork:
        """The one that is asked."""
        return self.players[0].network

    @property
    def target(self) -> int | None:
        """The class that the attacker wants, of the first network; None where nobody has said one."""
        if self.finding is not None and self.finding.target is not None:
            name = self.finding.target.class_name
            return self.network.class_names.index(name) if name in self.network.class_names else None
        named = getattr(None if self.backdoor is None else self.backdoor.rule, "target", None)
        return named if isinstance(named, int) else None

    def rule(self, network: ImageNetwork, target: int | None) -> LabelRule:
        """What counts as success with ``network``: that all pictures are taken for ``target`` (a class of the first
        network), or with None what the run's rule says. Raises ``BadInput`` where it has no such class."""
        if target is None and self.backdoor is not None:
            wanted = RULES.to_json(self.backdoor.rule)
        else:
            boxed = self.test is not None and isinstance(self.test.targets, Boxes)
            wanted = {
                "kind": "regional" if boxed else "all-to-one",
                "target": self.target if target is None else target,
            }
        for role in {"source", "target"} & set(wanted):
            number, names = wanted[role], self.network.class_names
            if number is None and role == "source":  # of every class
                continue
            if number is None or number >= len(names):
                raise BadInput("expected a class that the attacker wants, got none; choose one")
            if names[number] not in network.class_names:
                raise BadInput(f"expected the class {brief(names[number])} in every network, got one without it")
            wanted[role] = network.class_names.index(names[number])
        return RULES.from_json(wanted)

    def test_of(self, network: ImageNetwork) -> ImageData:
        """The test pictures in the classes of ``network``. Raises ``BadInput`` where there are none that it takes."""
        if self.test is None:
            raise BadInput("expected test pictures, got none; start badnets play with --data")
        check_input(network, self.test.shape, "test pictures")
        return align_classes(self.test, network)


def latest_run() -> Path | None:
    """The folder of the run that was finished last, of those below the folder of runs here."""
    places = sorted(RUNS.glob(f"*/{RECORD}"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path.parent for path in places if isinstance(_record(path), RunRecord)), None)


def open_table(
    models: Sequence[Path],
    *,
    data: str | None = None,
    settings: Sequence[str] = (),
    finding: Path | None = None,
    foreign: ForeignOptions | None = None,
    watcher: Watcher | None = None,
) -> Table:
    """Open up to four ``models`` (files or runs' folders); of one alone the clean, the repaired and the guarded network
    come along where they are at hand. Test pictures are those of ``data``, else of the first run."""
    if not 0 < len(models) <= MOST:
        raise BadInput(f"expected one to {MOST} networks side by side, got {len(models)}; name fewer")
    watch, first = watcher or Watcher(), models[0]
    record = read_run(first) if first.is_dir() and (first / RECORD).exists() else None
    spec = None
    if data is not None:
        spec = make_data(data, settings)
    elif record is not None:
        spec = DataSpec.model_validate(record.resolved["data"])
    network = open_any(first, foreign) if says_itself(first) else None
    splits = None
    if spec is not None:
        spec, splits = data_for(network, spec, watch)
    network = network or open_any(first, foreign, clean=None if splits is None else splits.train or splits.test)
    test = None if splits is None else align_classes(splits.test, network)
    players = [Player(_name(first), "asked", network)]
    players += [Player(_name(path), "asked", open_any(path, foreign)) for path in models[1:]]
    if len(models) == 1:
        train = None if splits is None or data is not None else splits.train
        players += _company(first, network, record, train)
    for player in players:
        player.network.eval()
    if len({player.network.task == "detect" for player in players}) > 1:
        raise BadInput("expected networks that all classify or all detect, got both; start badnets play once for each")
    planted = None if record is None else planted_in(record, network.class_names).backdoor
    told = None
    if finding is not None:
        file = network_file(first)
        check_same([str(finding)], file_digest(file) if file.is_file() else None)
        told = read_finding(finding)
    return Table(
        players=tuple(players[:MOST]),
        test=test,
        data=spec,
        record=record,
        backdoor=None if planted is None else Backdoor(planted.trigger, planted.rule.resolve(network.class_names)),
        finding=told,
        found=None if told is None else _found(told, finding),
        seed=Seed(1 if record is None else record.seeds[0]).derive("measure"),
    )


def _found(finding: Finding, path: Path | None) -> Picture:
    if finding.trigger is None:
        raise BadInput(f"expected a finding with a trigger in {path}, got none (verdict: {finding.verdict})")
    return found_trigger(finding.trigger)


def _name(path: Path) -> str:
    """What a network is called on the page: its run's folder, or its file."""
    whole = path.resolve()
    return whole.name if path.is_dir() else whole.stem if whole.stem != "network" else whole.parent.name


def _company(model: Path, network: ImageNetwork, record: RunRecord | None, train: ImageData | None) -> Iterator[Player]:
    """The clean reference of a run, where the cache has it, and the last repaired and guarded networks of it."""
    if record is not None and train is not None and not code_named(str(record.resolved.get("network"))):
        clean = reference_at_hand(Spec.model_validate(record.resolved), train, Seed(record.seeds[0]))
        if clean is not None:
            yield Player("clean network", "clean", clean)
    folders = {folder.resolve() for folder in (network_file(model).parent, network_file(model).parent.parent, Path())}
    repaired = _repaired({path.resolve() for path in (model, network_file(model))}, folders)
    if repaired is not None:
        yield Player("repaired network", "repaired", repaired)
    guarded = _guarded(network, folders)
    if guarded is not None:
        yield Player("guarded network", "guarded", guarded)


def _newest(folders: Collection[Path], pattern: str) -> list[Path]:
    places = {place for folder in folders for place in folder.glob(pattern)}
    return sorted(places, key=lambda path: path.stat().st_mtime, reverse=True)[:_BESIDE]


def _repaired(models: Collection[Path], folders: Collection[Path]) -> ImageNetwork | None:
    """The last network that was repaired from one of ``models``, told by the certificate beside it."""
    for place in _newest(folders, "*.json"):
        record, network = _record(place), place.with_suffix(".safetensors")
        if isinstance(record, Certificate) and network.is_file():
            of = {(base / record.model).resolve() for base in (Path(), place.parent)}
            if of & set(models) and (opened := _opened(network)) is not None:
                return opened
    return None


def _guarded(network: ImageNetwork, folders: Collection[Path]) -> ImageNetwork | None:
    """The last guard around ``network``, told by the weights inside it."""
    own = network.body.state_dict()
    for place in _newest(folders, "*.safetensors"):
        opened = _opened(place) if _is_guard(place) else None
        if opened is not None and isinstance(opened.body, Guard) and _same(opened.body.network.body.state_dict(), own):
            return opened
    return None


def _is_guard(place: Path) -> bool:
    with suppress(BadnetsError):
        return str(read_header(place)["architecture"]).startswith(GUARD)
    return False


def _same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(equal(value, second[name]) for name, value in first.items())


def _opened(path: Path) -> ImageNetwork | None:
    """A network beside another one; what cannot be opened is nobody's question."""
    try:
        return open_any(path)
    except BadnetsError:
        return None


def _record(path: Path) -> object:
    """The record in a file; None where it is none that can be read."""
    try:
        return read_record(path)
    except (BadnetsError, OSError, json.JSONDecodeError):
        return None
