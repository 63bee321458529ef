"""Run the trials of a study: several at once, one thread each, every result kept as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from badnets.backdoors.backdoor import Backdoor
from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import digest, discard, file_digest, link, read_json, settle, write_json
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.engines.engine import Start
from badnets.engines.on import On
from badnets.engines.work import each
from badnets.networks.files.own import open_network
from badnets.networks.network import ImageNetwork
from badnets.records.model import Model
from badnets.referee.data import load_data
from badnets.referee.reference import clean_reference
from badnets.referee.run import run_seed
from badnets.referee.spec import Spec, make_spec
from badnets.referee.store import as_begun
from badnets.studies.study import Done, Refused, Trained, Trial, TrialResult

M = TypeVar("M", bound=Model)
Who = Literal["badnet", "clean"]


def run_trials(
    trials: Sequence[Trial], folder: Path, watcher: Watcher, *, start: Start | None = None
) -> dict[str, TrialResult[Any]]:
    """Results by trial name; those that ``folder`` holds already are not run again.

    Each is done by the engine that ``start`` gives (default: processes of this machine) with one thread; the results do
    not depend on which, nor on how many run at once.
    """
    done = finished(trials, folder)
    todo = [trial for trial in trials if trial.name not in done]
    if outdated := [trial.name for trial in todo if _path(folder, trial).exists()]:
        watcher.say(f"trials that are damaged, or of an older version, are run again: {', '.join(outdated)}")
    total = len(trials)
    watcher.progress("trials", len(done), total, None)
    if not todo:
        return done
    for trial, result in each(start or On(), partial(run_trial, folder=folder), todo, folder=folder):
        done[trial.name] = result
        watcher.progress("trials", len(done), total, None)
    return done


def finished(trials: Sequence[Trial], folder: Path) -> dict[str, TrialResult[Any]]:
    """Results by trial name of those trials that ``folder`` holds in a form that can be read."""
    results = ((trial.name, read_trial(_path(folder, trial), trial.result)) for trial in trials)
    return {name: result for name, result in results if result is not None}


def read_trial(path: Path, kind: type[M]) -> TrialResult[M] | None:
    """A finished trial from its file; None without one, for one that an older version wrote in another form, and where
    it or the network that was kept of it is missing or another."""
    if not path.exists():
        return None
    try:
        value = read_json(path)
        told, files = value.pop("sha256", None), value.pop("files", {})
        here = {name: file_digest(path.parents[1] / name) for name in files if (path.parents[1] / name).is_file()}
        if files != here or told not in (None, digest({**value, "files": files})):
            return None
        results = kind.model_validate(value["results"])
        return TrialResult(spec=value["spec"], seed=value["seed"], results=results, timings_s=value["timings_s"])
    except (BadInput, AttributeError, KeyError, TypeError, ValidationError):
        return None


def run_trial(trial: Trial, folder: Path) -> TrialResult[Any]:
    """One trial; its result is written to ``folder`` before it is given back."""
    work = folder / "work" / trial.name
    work.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with as_begun(work, Watcher()):
        done = (trial.work or train_and_measure)(trial, work)
    timings = {"total": round(time.perf_counter() - began, 1), **done.timings_s}
    files: dict[str, str] = {}
    if trial.keep:
        network = folder / f"{trial.name}.safetensors"
        link(work / "network.safetensors", network)
        settle(network)
        files = {network.name: file_digest(network)}
    result = TrialResult(spec=trial.spec, seed=trial.seed, results=done.results, timings_s=timings)
    write_trial(folder, trial, result, files)
    discard(work)
    return result


def write_trial(folder: Path, trial: Trial, result: TrialResult[Any], files: dict[str, str] | None = None) -> None:
    """What ``finished`` finds; ``files`` of ``folder`` by name with their digests."""
    value = {**vars(result), "results": result.results.to_json(), "files": files or {}}
    write_json(_path(folder, trial), {**value, "sha256": digest(value)})


def once(path: Path, kind: type[M], act: Callable[[], M]) -> M:
    """What ``act`` gives, from ``path`` if it was done before the study was stopped."""
    if not _readable(path):
        write_json(path, act().to_json())
    return kind.model_validate(read_json(path))


def kept(path: Path, kind: type[M], act: Callable[[], M]) -> M | Refused:
    """The same of a method that may refuse."""
    if not _readable(path):
        try:
            made: M | Refused = act()
        except (BadInput, CannotTell) as error:
            made = Refused(refused=str(error))
        write_json(path, made.to_json())
    value = read_json(path)
    return (Refused if set(value) == {"refused"} else kind).model_validate(value)


def _readable(path: Path) -> bool:
    """Whether there is JSON; what a disk has lost is made again."""
    try:
        read_json(path)
    except BadInput:
        return False
    return True


def spec_of(trial: Trial) -> Spec:
    """The spec of a trial, with its seed."""
    return make_spec({**trial.spec, "seeds": [trial.seed]}, where=f"trial {trial.name}")


class Planted:
    """What ``badnets run`` does with one seed of a spec, and what is needed to look at it closely: ``spec``, ``data``,
    ``seed`` and ``backdoor`` of the trial, and what is ``done`` (figures without confusion matrices)."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self.spec, self.seed = spec_of(trial), Seed(trial.seed)
        self.data = load_data(self.spec.data)
        self.file = folder / f"seed-{trial.seed}" / "network.safetensors"
        result = run_seed(self.spec, trial.seed, self.data, folder, Watcher(), pictures=False)
        matrices = {name: None for name in type(result.figures).model_fields if name.startswith("confusion")}
        figures = result.figures.model_copy(update=matrices)
        self.done = Done(Trained(figures=figures, poisoned=result.poisoned), result.timings_s)

    def networks(self) -> dict[Who, ImageNetwork]:
        """The network with the backdoor, from its file, and the clean one of this seed."""
        return {"badnet": open_network(self.file), "clean": clean_reference(self.spec, self.data.train, self.seed)[0]}

    @property
    def backdoor(self) -> Backdoor:
        """What is planted."""
        return self.spec.backdoor.backdoor  # type: ignore[union-attr]  # every such trial has one


def train_and_measure(trial: Trial, folder: Path) -> Done[Trained]:
    """The usual trial, whose network is left in ``folder``."""
    planted = Planted(trial, folder)
    link(planted.file, folder / "network.safetensors")
    return planted.done


def partial_of(final: Path) -> Path:
    """The folder of the trials of a study that isn't finished."""
    return final.parent / f".{final.name}.partial"


def _path(folder: Path, trial: Trial) -> Path:
    key = digest({"spec": trial.spec, "seed": trial.seed})[:10]
    return folder / "trials" / f"{trial.name}-{key}.json"
