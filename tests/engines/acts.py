"""What tests let an engine's processes do."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.engines.work import received
from badnets.records.results import ClassifierFigures
from badnets.studies.study import Done, Trained, Trial


def double(number: int) -> int:
    """What is usual."""
    return 2 * number


def threads(_: int) -> int:
    """How many torch has."""
    return torch.get_num_threads()


def become(what: Any) -> Any:
    """Whatever may become of a process."""
    if what == "refused":
        raise BadInput("expected something else, got this")
    if what == "odd":
        raise OddError(1, 2)
    if what == "exits":
        sys.exit(3)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hangs":
        time.sleep(600)
    return what


class OddError(Exception):
    """One that cannot be unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"odd {first} {second}")


def add(given: tuple[Path, int]) -> int:
    """A number, and the sum of what all were handed."""
    path, number = given
    numbers, more = received(path)
    return number + int(numbers.sum()) + int(more)


def write(given: tuple[Path, str]) -> None:
    """A file of this name; "bad" is refused at once, others take a moment."""
    folder, name = given
    if name == "bad":
        raise BadInput("expected a good name, got a bad one")
    time.sleep(1.0)
    (folder / name).touch()


def trial(one: Trial, own: Path) -> Done[Trained]:
    """A study's trial, which leaves a file in its folder."""
    (own / "network.safetensors").write_text(str(one.seed))
    return Done(Trained(figures=ClassifierFigures(clean_accuracy=Rate(one.seed, 10))))
