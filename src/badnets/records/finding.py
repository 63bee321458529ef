"""What an audit found: a verdict with its p-value and ground, the class, the reconstructed trigger, and its power."""

from __future__ import annotations

import base64
from typing import ClassVar, Literal

from pydantic import Field

from badnets.core.fields import Share
from badnets.records.model import JSON, Environment, Model, Record

Verdict = Literal["backdoored", "nothing-found", "cannot-tell"]
Ground = Literal["matched", "taught", "within"]
Form = Literal["one-source", "all-to-one", "all-to-all"]


PNG = "data:image/png;base64,"


def png_content(uri: str) -> bytes:
    """The bytes of a picture in a data URI. Raises ``ValueError`` for anything else."""
    if not uri.startswith(PNG):
        raise ValueError("expected a PNG as a data URI, got something else")
    return base64.b64decode(uri.removeprefix(PNG), validate=True)


class ClassOf(Model):
    """A class by number and name."""

    label: int
    class_name: str


class AuditedClass(ClassOf):
    """One class: what each detector says of it, larger for what is more suspicious, and as a size."""

    scores: dict[str, float | None] = Field(
        description="by detector: how much smaller its smallest trigger is than expected; NAME_size: its size"
    )


class FoundTrigger(Model):
    """A trigger worked out from the network: ``(1 - mask) x + mask * pattern``, judged on pictures that had no part in
    the search."""

    picture: str = Field(description="PNG as a data URI; its alpha is the mask")
    mask_pixels: float = Field(description="sum of the mask, pixels")
    success: Share
    before: str | None = Field(default=None, description="a clean picture, PNG as a data URI")
    after: str | None = Field(default=None, description="the same with the trigger")
    answers: tuple[str, str] | None = Field(default=None, description="what the network says to both, by class name")


class CleanSearch(Model):
    """What the same search reaches on a clean network."""

    network: str
    picture: str
    mask_pixels: float
    success: Share


HARDLY_WORKS = "hardly works"
"""How the kind of a planted backdoor ends whose trigger works on less than 90 % of pictures."""


class Power(Model):
    """Of planted backdoors of one kind in networks like this one, how many the same audit finds at this p."""

    networks: str
    kind: str
    found: Share
    named: Share | None = Field(default=None, description="of those found, with the right class")


class Finding(Record):
    """``badnets audit --json``."""

    omitted: ClassVar[frozenset[str]] = frozenset({"stopped", "date"})
    format: Literal["badnets/finding/1"] = "badnets/finding/1"
    date: str | None = Field(
        default=None, pattern=r"^\d{4}-\d{2}-\d{2}$", description="the day of the audit, UTC; older ones have none"
    )
    verdict: Verdict
    reason: str = Field(description="why it could not be told, or what the verdict stands on")
    p: float | None
    alpha: float = 0.05
    ground: Ground
    n_references: int
    target: ClassOf | None
    source: ClassOf | None
    kind: Form | None
    trigger: FoundTrigger | None
    clean_searches: tuple[CleanSearch, ...] = ()
    classes: tuple[AuditedClass, ...]
    statistic: float | None = None
    reference_statistics: tuple[float, ...] = ()
    power: tuple[Power, ...] = ()
    false_alarms: tuple[Power, ...] = ()
    accuracy: Share | None = None
    pictures: int
    notes: tuple[str, ...] = ()
    stopped: Literal["budget", "interrupted"] | None = None
    model: str
    network_sha256: str | None
    architecture: str
    class_names: tuple[str, ...]
    input_size: tuple[int, int, int]
    data: JSON | None
    data_digest: str | None
    detectors: tuple[JSON, ...]
    seed: int
    seconds: float
    command: str
    environment: Environment
    commit: str | None
