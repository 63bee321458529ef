"""Where results lie: a folder, or any URL that fsspec knows. A task's folder is whole where it has a record, which is
written last; nothing else is shared between machines."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from badnets.core.errors import BadInput, first_line
from badnets.core.files import dumps, whole_file
from badnets.core.text import VALUE, brief
from badnets.records.model import JSON
from badnets.records.sweep import Brief
from badnets.records.verified import check_seal

FORMAT = "badnets/store/1"
MARK, RECORD, ERROR, LOG, BEGUN = "store.json", "record.json", "error.json", "log.txt", "begun"
DAMAGED = "record-damaged.json"


@dataclass(frozen=True)
class Work:
    """A task as an engine gets it: JSON alone, so that any process anywhere can do it, and the ``store`` (its URL) that
    the result goes to. ``spec`` has one seed; ``number`` counts the tries."""

    store: str
    task: str
    spec: JSON
    number: int = 1


class Store:
    """Results by task. ``url``: a folder's path, or ``s3://...`` and the like (with the package that fsspec asks for).

    Raises ``BadInput`` for a URL that fsspec does not know, and a store that a newer version wrote.
    """

    def __init__(self, url: str) -> None:
        try:
            self.fs, root = url_to_fs(url)
        except ImportError as error:
            raise BadInput(f"{brief(url, VALUE)}: {error} (for s3: pip install 'badnets[s3]')") from None
        except ValueError as error:
            raise BadInput(f"expected a folder or a URL for --store, got {brief(url, VALUE)}: {error}") from None
        self.root = root.rstrip("/") or "/"
        # a process elsewhere has another working folder
        self.url = self.root if self.local else url
        self.fs.invalidate_cache()
        self._check_mark()

    def _check_mark(self) -> None:
        """Refuse a store that a newer version wrote; where there is none yet, nothing is made."""
        mark = self._path(MARK)
        try:
            with self._reached():
                if not self.fs.exists(mark):
                    return
                told = json.loads(self.fs.cat_file(mark))
        except (OSError, ValueError) as error:
            raise BadInput(f"expected a store at {self.url}, got an error: {first_line(error)}") from None
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            got = brief(str(told.get("format") if isinstance(told, dict) else told), VALUE)
            raise BadInput(f"expected a store of format {FORMAT} at {self.url}, got {got}; a newer version wrote it")

    def check_writable(self) -> None:
        """Raise ``BadInput`` where nothing can be written."""
        try:
            self._put(MARK, dumps({"format": FORMAT}).encode())
        except OSError as error:
            raise BadInput(f"expected a store that can be written at {self.url}, got: {first_line(error)}") from None

    def states(self) -> tuple[set[str], set[str], set[str]]:
        """The ids of tasks that are finished, whose last try failed, and that somebody works on (or did, and was
        killed)."""
        self.fs.invalidate_cache()
        with self._reached():
            found = [path.rsplit("/", 2)[-2:] for path in self.fs.find(self.root, maxdepth=2)]
        done, failed, begun = ({task for task, name in found if name == one} for one in (RECORD, ERROR, BEGUN))
        return done, failed - done, begun - done

    def has(self, task: str) -> bool:
        """Whether it is finished, as far as its record is there."""
        self.fs.invalidate_cache()
        with self._reached():
            return bool(self.fs.exists(self._path(task, RECORD)))

    def set_aside(self, task: str) -> None:
        """Keep a damaged record under another name, so that the task is done again."""
        with self._reached():
            self.fs.mv(self._path(task, RECORD), self._path(task, DAMAGED))

    def names(self, sweep: str) -> tuple[str, str, str]:
        """What the page, the JSON and the CSV of a sweep are called: with its name, where another one's lie there."""
        try:
            other = json.loads(self.fs.cat_file(self._path("sweep.json")))["name"] != sweep
        except (OSError, ValueError, KeyError, TypeError):
            other = False
        page, table = (sweep, sweep) if other else ("report", "sweep")
        return f"{page}.html", f"{table}.json", f"{table}.csv"

    @property
    def begun(self) -> bool:
        """Whether anything was ever put there."""
        with self._reached():
            return bool(self.fs.exists(self._path(MARK)))

    def begin(self, task: str) -> None:
        """Say that somebody works on it; what an earlier try said is taken away."""
        self._remove(task, ERROR)
        self._put(posixpath.join(task, BEGUN), b"")

    def end(self, task: str) -> None:
        """Nobody does any more."""
        self._remove(task, BEGUN)

    def put(self, task: str, folder: Path) -> None:
        """The files of ``folder`` as those of a task, the record last. What a failed try said is taken away."""
        files = sorted((one for one in folder.rglob("*") if one.is_file()), key=lambda one: one.name == RECORD)
        for path in files:
            self._put(posixpath.join(task, path.relative_to(folder).as_posix()), path.read_bytes())
        self._remove(task, ERROR)

    def _remove(self, *parts: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self._path(*parts))

    def fail(self, task: str, error: str, log: str = "") -> None:
        """Keep why a task failed, and its log, as far as its process could give one."""
        self._put(posixpath.join(task, LOG), log.encode())
        self._put(posixpath.join(task, ERROR), dumps({"error": error}).encode())

    def run(self, task: str) -> Brief:
        """What a sweep needs of the record of a finished task."""
        place = self._path(task, RECORD)
        try:
            value = json.loads(self.fs.cat_file(place))
            run = Brief.model_validate(value)
            check_seal(Path(self.place(task, RECORD)), value, run.environment.versions.get("badnets"))
        except (OSError, ValueError) as error:
            raise BadInput(f"expected a run's record at {self.place(task)}, got {brief(first_line(error))}") from None
        return run

    def error(self, task: str) -> str | None:
        """Why its last try failed."""
        try:
            return str(json.loads(self.fs.cat_file(self._path(task, ERROR)))["error"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def place(self, *parts: str) -> str:
        """As a person writes it: a path of a folder, else a URL."""
        return str(Path(self._path(*parts))) if self.local else posixpath.join(self.url.rstrip("/"), *parts)

    @property
    def local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self.fs, fsspec.implementations.local.LocalFileSystem)

    def write(self, name: str, content: bytes) -> str:
        """A file beside the tasks: the page, the table. Gives its place."""
        self._put(name, content)
        return self.place(name)

    def _put(self, name: str, content: bytes) -> None:
        """Whole or not at all: object stores do so; in a folder it gets its name when it is written."""
        path = self._path(name)
        if self.local:
            with whole_file(Path(path)) as partial:
                partial.write_bytes(content)
            return
        with self._reached():
            try:
                self.fs.pipe_file(path, content)
            except FileNotFoundError:  # a bucket has no folders; elsewhere they are made
                if not self.fs.exists(path[: path.find("/", 1)]):
                    raise
                self.fs.makedirs(posixpath.dirname(path), exist_ok=True)
                self.fs.pipe_file(path, content)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Inside, what somebody else's client raises is an ``OSError`` like any other."""
        try:
            yield
        except (OSError, ValueError):
            raise
        except Exception as error:
            raise OSError(first_line(error)) from error

    def _path(self, *parts: str) -> str:
        return posixpath.join(self.root, *parts)
