"""Killed at every rename, removal, fsync and exchange: whole or absent; then the same bits, and nothing left over.

In the usual tests at some of them, beginning elsewhere for each command; the slow ones take them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badnets.core.files import file_digest

Everywhere = Callable[..., int]
OFTEN = [pytest.param(17, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]
REPAIR = ["--data", "PICTURES", "--method", "fine-tune", "--set", "epochs=1", "--out", "r.safetensors"]
GUARD = ["--data", "PICTURES", "--method", "strip", "--refuse", "0.3", "--out", "r.safetensors"]


def _whole_run(folder: Path) -> bool:
    """A run is there with all that its record names and nothing else, or not at all."""
    if folder.exists() and any(folder.iterdir()):
        record = json.loads((folder / "record.json").read_text())
        assert {path.name for path in folder.iterdir()} == {"record.json", "report.html", *record["files"]}
        assert all(file_digest(folder / name) == told for name, told in record["files"].items())
    return folder.exists()


def _whole_repair(here: Path) -> bool:
    """A certificate that is there describes the network that is there."""
    if (here / "r.json").exists():
        files = json.loads((here / "r.json").read_text())["files"]
        assert files == {"r.safetensors": file_digest(here / "r.safetensors")}
    return (here / "r.safetensors").exists()


def _there(something: bool) -> bool:
    assert something, "neither the old one nor the new one"
    return something


@pytest.mark.parametrize("every", OFTEN)
def test_a_run(place: Any, killed_everywhere: Everywhere, every: int) -> None:
    steps = killed_everywhere(
        place.attack("run", epochs=2),
        whole=lambda: _whole_run(place.here / "run"),
        result=lambda: place.contents("run"),
        every=every,
    )
    assert steps > 60


@pytest.mark.parametrize("every", OFTEN)
@pytest.mark.parametrize("again", ["with --force", "without"])
@pytest.mark.parametrize("no_exchange", [False, True], ids=["exchange", "two renames"])
def test_an_old_run_is_replaced(
    place: Any, killed_everywhere: Everywhere, every: int, again: str, no_exchange: bool
) -> None:
    """The old one stands or the new one; where names cannot be exchanged, at the latest after the next start."""
    if no_exchange and again == "without" and every > 1:
        every = 17
    place(place.attack("run"))
    killed_everywhere(
        place.attack("run", "--force"),
        again=place.attack("run", *(["--force"] if again == "with --force" else [])),
        whole=lambda: no_exchange or _there(_whole_run(place.here / "run")),
        result=lambda: place.contents("run"),
        every=every,
        no_exchange=no_exchange,
    )


@pytest.mark.parametrize("every", OFTEN)
def test_a_run_of_another_spec_is_replaced(place: Any, killed_everywhere: Everywhere, every: int) -> None:
    place(place.attack("run"))
    other = place.attack("run", "--force", "--set", "backdoor.trigger.size=4")
    killed_everywhere(
        other,
        whole=lambda: _there(_whole_run(place.here / "run")),
        result=lambda: place.contents("run"),
        every=every,
    )


@pytest.fixture
def repairs(place: Any) -> Callable[..., list[str]]:
    """``repairs("repair", ...)``: a command on a run that is there."""
    assert place(place.attack("run"))["code"] == 0

    def words(command: str, *more: str) -> list[str]:
        told = REPAIR if command == "repair" else GUARD
        return [command, "run", *(word.replace("PICTURES", str(place.pictures)) for word in told), *more]

    return words


def _what(place: Any) -> Any:
    return {name: content for name, content in place.contents(".").items() if not name.startswith("run/")}


@pytest.mark.parametrize("every", OFTEN)
@pytest.mark.parametrize("command", ["repair", "guard"])
def test_a_repair(
    place: Any, killed_everywhere: Everywhere, every: int, command: str, repairs: Callable[..., list[str]]
) -> None:
    """Killed between its names, what is finished gets them at the next start, which is then refused."""
    killed_everywhere(
        repairs(command), whole=lambda: _whole_repair(place.here), result=lambda: _what(place), codes=(0, 2),
        every=every,
    )  # fmt: skip


@pytest.mark.parametrize("every", OFTEN)
@pytest.mark.parametrize("command", ["repair", "guard"])
def test_a_repair_that_replaces_another(
    place: Any, killed_everywhere: Everywhere, every: int, command: str, repairs: Callable[..., list[str]]
) -> None:
    assert place(repairs("repair", "--seed", "5"))["code"] == 0
    assert place(repairs(command))["code"] == 2
    killed_everywhere(
        repairs(command, "--force"),
        whole=lambda: _there(_whole_repair(place.here)),
        result=lambda: _what(place),
        every=every,
    )


@pytest.mark.parametrize("every", OFTEN)
def test_an_export(place: Any, killed_everywhere: Everywhere, every: int) -> None:
    place(place.attack("run"))
    there = place.here / "export"

    def whole() -> None:
        assert not there.exists() or len(list(there.rglob("*.png"))) == len(list(there.rglob("*"))) - 4

    killed_everywhere(
        ["export", "run", "--out", "export"],
        whole=whole,
        result=lambda: place.contents("export"),
        codes=(0, 2),
        every=every,
    )


@pytest.mark.parametrize("every", OFTEN)
def test_a_study_of_two_trials(place: Any, killed_everywhere: Everywhere, every: int) -> None:
    there = place.here / "study"
    killed_everywhere(
        ["reproduce", "two-trials", "--out", "study"],
        whole=lambda: (
            not there.exists()
            or {path.name for path in there.iterdir()} == {"record.json", "report.html", "drawn.png"}
            or pytest.fail("half a study")
        ),
        result=lambda: place.contents("study"),
        every=every * 2 - 1,
    )


def test_pages(place: Any, killed_everywhere: Everywhere) -> None:
    place(place.attack("run"))
    killed_everywhere(["report", "run", "--out", "p.html"], whole=list, result=lambda: place.contents("run"))
