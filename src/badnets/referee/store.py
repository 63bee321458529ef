"""Where runs lie, a folder that appears whole or not at all, is found again, and is never half overwritten; and what is
kept beside results: versions, machine, commit, and how long it took."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout

from badnets.core import VERSION
from badnets.core.errors import BadInput
from badnets.core.files import publish_folder, read_json
from badnets.records.model import Environment
from badnets.records.read import RECORD, read_run
from badnets.records.run import RunRecord

RUNS = Path("badnets-runs")
_LOCK = ".lock"
_PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pillow", "scikit-learn", "safetensors")


@dataclass(frozen=True)
class Place:
    """``final`` is the run's folder, ``partial`` the hidden one beside it where an unfinished run keeps its state."""

    final: Path
    digest: str

    @property
    def partial(self) -> Path:
        """Beside the final one, so that giving it its name is one rename."""
        return self.final.parent / f".{self.final.name}.{self.digest[:12]}.partial"

    def check_free(self) -> None:
        """Refuse a folder that holds anything but a run: it would be replaced, with ``--force`` too."""
        if (self.final / RECORD).exists():
            read_json(self.final / RECORD, format=RunRecord.model_fields["format"].default)
        elif self.final.exists() and (not self.final.is_dir() or any(self.final.iterdir())):
            raise BadInput(f"expected --out to be a new folder or a run, got {self.final} with other files in it")

    def finished(self) -> RunRecord | None:
        """The record of a finished run of the same spec on the same data; None if there is none."""
        if not (self.final / RECORD).exists():
            return None
        record = read_run(self.final)
        if record.digest == self.digest:
            return record
        raise BadInput(
            f"expected {self.final} to be a run of this spec, got a run of another one ({record.name}); "
            "choose another --out, or say --force to replace it"
        )


@contextlib.contextmanager
def working_folder(partial: Path, name: str, *, fresh: bool) -> Iterator[Path]:
    """``partial``, made if need be (and emptied if ``fresh``), locked while the block runs: two processes at work on
    one folder would mix their results. ``name`` is what the error calls it."""
    partial.mkdir(parents=True, exist_ok=True)
    lock = FileLock(partial / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BadInput(f"expected nobody else to run {name}, got another process at work on it; wait for it") from None
    try:
        for leftover in partial.iterdir() if fresh else ():
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover.name != _LOCK:
                leftover.unlink()
        yield partial
    finally:
        # What failed before anything was kept, as with a bad rate, leaves nothing behind.
        if not any(path.is_file() and path.name != _LOCK for path in partial.rglob("*")):
            shutil.rmtree(partial, ignore_errors=True)
        lock.release()


def publish_working(partial: Path, final: Path) -> None:
    """Give a finished working folder its name."""
    (partial / _LOCK).unlink(missing_ok=True)
    publish_folder(partial, final)


def environment(precision: str) -> Environment:
    """Versions and machine: what determines the bits of a result."""
    import torch

    versions = {"python": platform.python_version(), "badnets": VERSION}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return Environment(
        versions=versions,
        platform=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        threads=torch.get_num_threads(),
        precision=precision,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def commit() -> str | None:
    """The commit of the checkout that this code runs from, with ``-dirty`` when files were changed; None elsewhere."""
    here = Path(__file__).resolve().parent
    git = shutil.which("git")
    if git is None or not any((parent / ".git").exists() for parent in here.parents):
        return None
    command = [git, "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--match", "no-tags"]
    unlocked = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.check_output(  # noqa: S603  # a fixed command, no shell
            command, stderr=subprocess.DEVNULL, text=True, timeout=10, env=unlocked
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return None


class Clock:
    """Seconds since the last lap, by the laps' names."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str, seconds: float | None = None) -> None:
        """The end of a lap; ``seconds`` where something else kept its time."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last if seconds is None else seconds, 3)
        self._last = now
