"""Run the trials of a study: several at once, one thread each, every result kept as soon as it is there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import digest, read_json, write_json
from badnets.core.progress import Watcher
from badnets.studies.old_study import Trial

_DROPPED = ("confusion_clean", "confusion_triggered")


def run_trials(trials: Sequence[Trial], folder: Path, watcher: Watcher, *, jobs: int | None = None) -> dict[str, Any]:
    """Results by trial name; those that ``folder`` holds already are not run again.

    ``jobs`` processes (default: one for each core, at most 8) with one thread each: for networks this small that is
    faster than one process with all threads, and the results do not depend on it.
    """
    done = finished(trials, folder)
    todo = [trial for trial in trials if trial.name not in done]
    total = len(trials)
    watcher.progress("trials", len(done), total, None)
    if not todo:
        return done
    workers = min(jobs or min(os.cpu_count() or 1, 8), len(todo))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin_worker) as pool:
        waiting: dict[Future[dict[str, Any]], Trial] = {}
        queue = list(todo)
        try:
            while queue or waiting:
                while queue and len(waiting) < workers:
                    trial = queue.pop(0)
                    waiting[pool.submit(run_trial, trial, folder)] = trial
                ended, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ended:
                    trial = waiting.pop(future)
                    done[trial.name] = future.result()
                    watcher.progress("trials", len(done), total, None)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done


def finished(trials: Sequence[Trial], folder: Path) -> dict[str, Any]:
    """Results by trial name of those trials that ``folder`` holds."""
    return {trial.name: read_json(_path(folder, trial)) for trial in trials if _path(folder, trial).exists()}


def run_trial(trial: Trial, folder: Path) -> dict[str, Any]:
    """One trial; its result is written to ``folder`` before it is given back."""
    own = folder / "work" / trial.name
    own.mkdir(parents=True, exist_ok=True)
    value = (trial.work or train_and_measure)(trial, own)
    if trial.keep:
        (own / "network.safetensors").replace(network_file(folder, trial.name))
    done: dict[str, Any] = {"spec": trial.spec, "seed": trial.seed, **value}
    write_json(_path(folder, trial), done)
    _clear(own)
    return done


def kept(path: Path, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``act`` gives, from ``path`` if it was done before the study was stopped.

    A method that does not fit a network is a result as well: ``{"refused": why}``.
    """
    if path.exists():
        found: dict[str, Any] = read_json(path)
        return found
    try:
        value = act()
    except (BadInput, CannotTell) as error:
        value = {"refused": str(error)}
    write_json(path, value)
    return value


def train_and_measure(trial: Trial, own: Path) -> dict[str, Any]:
    """The usual trial: what ``badnets run`` does with one seed of a spec."""
    from badnets.referee.run import load_data, run_seed
    from badnets.referee.spec import make_spec

    spec = make_spec({**trial.spec, "seeds": [trial.seed]}, where=f"trial {trial.name}")
    value = run_seed(spec, trial.seed, load_data(spec.data), own, Watcher(), pictures=False)
    (own / f"seed-{trial.seed}" / "network.safetensors").replace(own / "network.safetensors")
    return {
        "results": {name: entry for name, entry in value["results"].items() if name not in _DROPPED},
        "timings_s": value["timings_s"],
        "poisoned": value["poisoned"],
    }


def network_file(folder: Path, name: str) -> Path:
    """Where a kept network lies."""
    return folder / f"{name}.safetensors"


def _path(folder: Path, trial: Trial) -> Path:
    key = digest({"spec": trial.spec, "seed": trial.seed})[:10]
    return folder / "trials" / f"{trial.name}-{key}.json"


def _begin_worker() -> None:
    """One thread, deaf to Ctrl-C (the parent stops the pool and workers should not print tracebacks), and gone when the
    parent is, however it ended."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _clear(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def by_prefix(results: Mapping[str, Any], prefix: str) -> list[Any]:
    """The ``results`` of the trials whose name begins with ``prefix``, in order of name."""
    return [results[name]["results"] for name in sorted(results) if name.startswith(prefix)]
