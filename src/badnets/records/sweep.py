"""What became of a sweep: each task, where it stands on the axes, and its state; and the figures of finished ones."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from badnets.core.fields import Difference, Figure, Score, Share
from badnets.records.model import Model

State = Literal["done", "failed", "running", "waiting"]
STATES: tuple[State, ...] = ("done", "failed", "running", "waiting")


class _Figures(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    clean_accuracy: Share | None = None
    map50: Score | None = None
    asr: Share | None = None
    asr_minus_reference: Difference | None = None
    robust_accuracy: Share | None = None


class _Made(BaseModel):
    versions: dict[str, str]


class Brief(BaseModel):
    """Of a run's record what a sweep shows of it: to read the whole of thousands would take long."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal["badnets/run/1"]
    results: _Figures
    timings_s: dict[str, float]
    environment: _Made
    data_digest: str | None = None


FIGURES = tuple(_Figures.model_fields)
"""What a sweep shows of a run, as far as it has it."""


class SweptTask(Model):
    """One task. ``record``: the place of its record, if it is done; ``error``: why its last try failed."""

    id: str
    state: State
    axes: dict[str, Any]
    record: str | None = None
    error: str | None = None
    figures: dict[str, Figure] = Field(default_factory=dict)


class Cell(Model):
    """Tasks that differ in their seed alone: how many of them are done, and the figures over those seeds."""

    axes: dict[str, Any]
    done: int
    of: int
    figures: dict[str, Figure]


class SweepRecord(Model):
    """A sweep as it stands. ``spec``: what all its tasks have in common. ``counts`` by state, ``seconds`` of the
    command that wrote it, ``seconds_left`` by the mean of the finished tasks, one after the other."""

    format: Literal["badnets/sweep/1"] = "badnets/sweep/1"
    name: str
    store: str
    spec: dict[str, Any] = Field(default_factory=dict)
    tasks: tuple[SweptTask, ...]
    cells: tuple[Cell, ...]
    counts: dict[State, int]
    seconds: float
    seconds_left: float | None = None
