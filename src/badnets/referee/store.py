"""Where runs lie, and files that belong together: they appear whole or not at all, are found again, and are never half
overwritten; and what is kept beside results: versions, machine, commit, and how long it took."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from badnets.core import VERSION
from badnets.core.errors import BadInput, Busy
from badnets.core.files import (
    check_regular,
    discard,
    identity_of,
    publish_folder,
    read_json,
    settle,
    tidy,
    whole_file,
    write_json,
    write_text,
)
from badnets.core.progress import Watcher
from badnets.core.text import brief
from badnets.networks.device import card_of, find_device
from badnets.records.certificate import Certificate, GuardRecord
from badnets.records.model import Environment
from badnets.records.read import RECORD, read_run
from badnets.records.run import RunRecord

if TYPE_CHECKING:
    import torch

RUNS = Path("badnets-runs")
READY = "finished"
"""In a working folder: what is to get the final name."""
_LOCK, _THREADS, _MACHINES, _MOVES = ".lock", "threads", "machines", "moves.json"
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
        """Refuse a folder that holds anything but a run: it would be replaced, with ``--force`` too; and put right what
        a killed process left."""
        tidy(self.final)
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
    """``partial``, made if need be (and empty if ``fresh``), locked while the block runs: two processes at work on one
    folder would mix their results. ``name`` is what the error calls it."""
    made = [folder for folder in partial.parents if not folder.exists()]
    tidy(partial)
    lock = _locked(partial, name)
    if fresh and any(path.name != _LOCK for path in partial.iterdir()):
        discard(partial)
        lock.release()
        lock = _locked(partial, name)
    own = identity_of(partial.stat())[2]
    try:
        yield partial
    finally:
        # What failed before anything was kept, as with a bad rate, leaves nothing behind.
        if partial.exists() and identity_of(partial.stat())[2] == own and not _kept(partial):
            discard(partial)
        lock.release()
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _locked(partial: Path, name: str) -> FileLock:
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        lock = FileLock(partial / _LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise Busy(f"expected nobody else to run {name}, got another process at work on it; wait for it") from None
        except FileNotFoundError:  # put away by a process that ended just now
            continue
        if (partial / _LOCK).exists():
            return lock
        lock.release()


def _kept(partial: Path) -> bool:
    return any(path.is_file() and path.name not in (_LOCK, _THREADS, _MACHINES) for path in partial.rglob("*"))


def publish_working(partial: Path, final: Path, *, replace: bool) -> None:
    """Give what is ready in a locked working folder its name, and put the folder away."""
    publish_folder(partial / READY, final, replace=replace)
    discard(partial)


def put_away(partial: Path, name: str) -> None:
    """Remove the working folder of what is finished, unless somebody works in it."""
    tidy(partial)
    if partial.is_dir():
        with contextlib.suppress(BadInput, OSError), working_folder(partial, name, fresh=True):
            pass


@contextlib.contextmanager
def as_begun(folder: Path, watch: Watcher, device: str = "auto") -> Iterator[tuple[str, ...]]:
    """Inside, torch works with as many threads as when the work that ``folder`` keeps was begun: another number gives
    other bits. So do another processor, card (of ``device``) and torch, which cannot be brought back: all that had a
    part in the work are told, first to last."""
    import torch

    note, before = folder / _THREADS, torch.get_num_threads()
    kept = note.read_bytes() if note.is_file() else b""
    threads = int(kept) if kept.isdigit() and len(kept) < 6 else before
    if kept != str(threads).encode():
        if kept:  # nobody knows any more
            watch.say(f"the number of threads in {note} is damaged; trainings that were not finished start again")
        for checkpoint in folder.rglob("*.pt"):
            checkpoint.unlink()
        write_text(note, str(threads))
    if threads != before:
        plural = "s" * (threads != 1)
        watch.say(f"going on with {threads} thread{plural}, as this was begun, not {before}: so the bits are the same")
        torch.set_num_threads(threads)
    try:
        yield _machines(folder / _MACHINES, watch, device)
    finally:
        torch.set_num_threads(before)


def _machines(note: Path, watch: Watcher, device: str) -> tuple[str, ...]:
    """Those in the note, and this one, which is added to it."""
    import torch

    card = card_of(find_device(device))
    here = f"{f'{card} and ' if card else ''}{processor()} with torch {torch.__version__}"
    kept = note.read_text(errors="replace").splitlines() if note.is_file() else []
    if here in kept:
        return tuple(kept)
    if kept:
        watch.say(f"going on on {here}; this was begun on {brief(kept[0], 120)}: the bits will be those of neither")
    write_text(note, "\n".join([*kept, here]))
    return (*kept, here)


@contextlib.contextmanager
def whole_set(network: Path, *describing: Path, force: bool) -> Iterator[list[Path]]:
    """Paths to write a network and the files that describe it to; they get their names when the block ends well.

    They do so in this order, after old ones that describe an old network are removed: at any moment a description that
    is there is that of the network that is there. What a killed process had finished gets its names at the next start.
    Raises ``BadInput`` for what is there already unless ``force``, and with ``force`` too for a file in a certificate's
    place that is none.
    """
    network = network.absolute()
    places = [network, *(path.absolute() for path in describing)]
    if len({path.resolve() for path in places}) < len(places):
        names = ", ".join(path.name for path in places)
        raise BadInput(f"expected different names for the network and what describes it, got {names}")
    with working_folder(network.with_name(f".{network.name}.partial"), network.name, fresh=False) as shop:
        _move(shop, beside=network)
        for left in shop.iterdir():
            if left.name != _LOCK:
                discard(left)
        for place in places:
            _check_free(place, network, force=force)
        others = [path for path in _descriptions(network) if path not in places]
        was = {str(place): _identity(place) for place in (*places, *others)}
        staged = [shop / f"{number}-{place.name}" for number, place in enumerate(places)]
        try:
            yield staged
            for path in filter(Path.exists, staged):
                settle(path)
            moves = [(path.name, str(place)) for path, place in zip(staged, places, strict=True)]
            write_json(shop / _MOVES, {"moves": moves, "was": was})
            left_alone = _move(shop)
        except BaseException:
            if not (shop / _MOVES).exists():
                discard(shop)
            raise
        discard(shop)
    if left_alone:
        raise BadInput(f"expected nobody else to write {left_alone[0]}, got another file meanwhile; run it once more")


def _check_free(place: Path, network: Path, *, force: bool) -> None:
    check_regular(place, "a file to write")
    if not place.exists() or not place.stat().st_size:
        return
    if not force:
        raise BadInput(
            f"expected --out to be new, got {place}, which is there already; choose another one, or say --force to "
            "replace it and what describes it"
        )
    if place == network.with_suffix(".json") and not _is_certificate(place):
        raise BadInput(f"expected {place} to be a certificate or free, got another file; choose another --out")


def _move(shop: Path, *, beside: Path | None = None) -> list[Path]:
    """Give files that are written their names, where nothing else came in the meantime: those places are given back.
    What a killed process left may only write ``beside`` its network: a stranger may have made it."""
    if not (shop / _MOVES).exists():
        return []
    told = read_json(shop / _MOVES)
    was = {Path(place): identity for place, identity in told["was"].items()}
    moves = [(shop / Path(name).name, Path(place)) for name, place in told["moves"]]
    network, taken = moves[0][1], []
    allowed = [place for place in was if beside is None or place.parent == beside.parent]
    for place in allowed:
        if place != network and was[place] is not None and _identity(place) == was[place]:
            place.unlink()
            settle(place.parent)
    for path, place in moves:
        if path.exists() and place in allowed:
            if _identity(place) in (None, was[place]):
                _rename(path, place)
            else:
                taken.append(place)
    (shop / _MOVES).unlink()
    return taken


def _rename(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(place)
        settle(place.parent)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with whole_file(place) as partial:  # the page on another disk
            shutil.copyfile(path, partial)


def _identity(path: Path) -> list[int] | None:
    return list(identity_of(path.stat())) if path.exists() else None


def _descriptions(network: Path) -> list[Path]:
    """The certificate that lies beside a network, and its page."""
    certificate, page = network.with_suffix(".json"), network.with_suffix(".html")
    if not network.exists() or not _is_certificate(certificate):
        return []
    return [certificate, *([page] if page.exists() else [])]


def _is_certificate(path: Path) -> bool:
    try:
        value = read_json(path)
    except (BadInput, OSError):
        return False
    formats = [model.model_fields["format"].default for model in (Certificate, GuardRecord)]
    return isinstance(value, dict) and value.get("format") in formats


def environment(precision: str, device: str | torch.device = "auto") -> Environment:
    """Versions, machine and device: what determines the bits of a result."""
    import torch

    place = find_device(device)
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
        device=place.type,
        card=card_of(place),
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
