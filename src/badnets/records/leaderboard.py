"""What became of a leaderboard: every repair of every attacked network, before and after; and its file of lines."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationError

from badnets.core.errors import BadInput
from badnets.core.files import dumps, parse_json, read_bytes
from badnets.core.limits import TEXT
from badnets.core.validation import explain
from badnets.records.certificate import Change, Defender, Standing
from badnets.records.model import JSON, Environment, Model, Record
from badnets.records.sweep import State
from badnets.records.verified import check_seal


class RepairedCell(Record):
    """One repair of one attacked network. ``attack``, ``rate`` and ``seed`` say which network (``network`` is its
    task, ``network_file`` the SHA-256 of its file), ``repair`` what the table calls the ``method``. ``before`` and
    ``after`` are of the test pictures of ``data`` (``data_digest`` is theirs); of a repair that does not fit, ``after``
    is null and ``refused`` says why. ``seconds`` are those of the repair alone."""

    omitted: ClassVar[frozenset[str]] = frozenset({"refused"})
    format: Literal["badnets/leaderboard-cell/1"] = "badnets/leaderboard-cell/1"
    attack: str
    rate: float
    seed: int
    repair: str
    method: JSON = Field(description="its kind and settings")
    network: str
    network_file: str
    architecture: str
    data: str
    data_digest: str
    defender: Defender
    before: Standing
    after: Standing | None = None
    after_minus_before: Change | None = None
    refused: str | None = None
    chosen: str = ""
    steps: int = 0
    seconds: float = 0.0
    environment: Environment
    commit: str | None = None


class Form(Model):
    """What a leaderboard compares: ``spec`` is what all its networks share, ``attacks`` what is planted, by name,
    ``repairs`` the methods by the name that the table has for them, ``defender`` the share of the training pictures
    that a repair sees."""

    format: Literal["badnets/leaderboard/1"] = "badnets/leaderboard/1"
    name: str
    small: bool
    spec: JSON
    attacks: dict[str, JSON]
    rates: tuple[float, ...]
    repairs: dict[str, JSON]
    seeds: tuple[int, ...]
    defender: float


class Failed(Model):
    """A task that failed in its last try, and why."""

    task: str
    what: str
    error: str


class Leaderboard(Form):
    """A leaderboard as it stands: how many ``networks`` and repairs (``counts``) are in which state, and every
    finished repair. ``seconds`` of the command that wrote it."""

    networks: dict[State, int]
    counts: dict[State, int]
    failed: tuple[Failed, ...] = ()
    cells: tuple[RepairedCell, ...] = ()
    seconds: float = 0.0

    @property
    def form(self) -> Form:
        """What it compares, without what became of it."""
        return Form.model_validate({name: getattr(self, name) for name in Form.model_fields})


def board_lines(board: Leaderboard) -> str:
    """A line of JSON for the leaderboard, and one for each finished repair: the form in which it is committed."""
    head = {**board.to_json(), "cells": [], "failed": [], "seconds": 0.0}
    return "".join(dumps(line, indent=None) + "\n" for line in (head, *(cell.to_json() for cell in board.cells)))


def read_board_lines(path: Path) -> Leaderboard:
    """Back from such a file; what is not one, or was changed since, is refused in a sentence."""
    lines = read_bytes(path, TEXT, "a leaderboard (JSON lines)").splitlines()
    values = [parse_json(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    given: JSON = {**values[0], "cells": values[1:]} if values and isinstance(values[0], dict) else {}
    try:
        board = Leaderboard.model_validate(given)
    except ValidationError as error:
        raise BadInput(f"{path}: {explain(error, Leaderboard.model_json_schema, given)}") from None
    for number, (cell, value) in enumerate(zip(board.cells, values[1:], strict=True), 2):
        check_seal(Path(f"{path}, line {number}"), value, cell.environment.versions.get("badnets"))
    return board
