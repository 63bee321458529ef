"""``badnets scan`` on all that it is for: bounded time and memory, nothing started, one clear line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.scanned import ODD, RUNS

Run = Callable[..., dict[str, Any]]
FILES = {**RUNS, **ODD}


@pytest.mark.parametrize("name", FILES)
def test_scan(name: str, folder: Path, hostile: Run) -> None:
    file, make = FILES[name]
    (folder / file).write_bytes(make())
    hostile("scan", folder / file, code=1)
    hostile("scan", folder / file, "--json", code=1)
    hostile("scan", folder, code=1)


@pytest.mark.parametrize("seed", range(60))
def test_changed_bytes(seed: int, folder: Path, hostile: Run, mutated: Callable[[bytes, int], bytes]) -> None:
    name = list(FILES)[seed * 7 % len(FILES)]
    if name in ("a bomb", "a bomb in gzip", "100,001 members"):
        return
    file, make = FILES[name]
    (folder / file).write_bytes(mutated(make(), seed))
    hostile("scan", folder / file, code=(0, 1, 2))


@pytest.mark.parametrize("kind", ["nothing", "empty", "a pipe", "a dead link", "a device"])
def test_no_files(kind: str, folder: Path, hostile: Run) -> None:
    place = folder / "x.pt"
    made: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "empty": lambda: place.write_bytes(b""),
        "a pipe": lambda: os.mkfifo(place),
        "a dead link": lambda: place.symlink_to(folder / "none"),
        "a device": lambda: place.symlink_to("/dev/zero"),
    }
    made[kind]()
    hostile("scan", place)


def test_a_folder_of_links(folder: Path, hostile: Run) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "x\x1b[2J\n.pt").symlink_to("/dev/zero")
    (folder / "y.pt").symlink_to("y.pt")
    hostile("scan", folder, code=1)
