"""What is measured on a network, its file, and two runs beside each other. Definitions: docs/definitions.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import AliasChoices, Field

from badnets.core.fields import Difference, Score, Share
from badnets.core.rate import Interval, over_seeds
from badnets.records.model import JSON, Backdoor, Model, Record

Matrix = tuple[tuple[int, ...], ...]
"""Counts: row true class, column predicted class."""


class Disturbance(Model):
    """Attack success under one physical disturbance of the trigger: its ``name``, and its ``amount`` as in ``Jitter``
    (None for the rows "none" and "all")."""

    name: str
    amount: float | None
    asr: Share
    clean_reference_rate: Share | None = None


class AttackFigures(Model):
    """What classifiers and detectors have in common: how well the backdoor works. All None without one."""

    omitted: ClassVar[frozenset[str]] = frozenset({"disturbances"})
    asr: Share | None = None
    robust_accuracy: Share | None = None
    leak: Share | None = None
    clean_reference_rate: Share | None = None
    asr_minus_reference: Difference | None = None
    asr_under_jitter: Share | None = None
    disturbances: tuple[Disturbance, ...] | None = None


class ClassFigures(Model):
    """One class of a classifier: ``recall`` of its ``n`` pictures (also called ``accuracy``), ``precision`` of what was
    predicted as it, their harmonic mean ``f1`` (None without such pictures and predictions)."""

    class_name: str = Field(validation_alias=AliasChoices("class", "class_name"), serialization_alias="class")
    n: int
    accuracy: Share
    recall: Share
    precision: Share
    f1: float | None
    asr: Share | None = None
    robust_accuracy: Share | None = None


class ClassifierFigures(AttackFigures):
    """Figures of a network that gives each picture a class; the ``refused`` ones only of a network that abstains."""

    omitted: ClassVar[frozenset[str]] = AttackFigures.omitted | {"refused", "refused_triggered", "refused_or_right"}
    clean_accuracy: Share
    clean_reference_accuracy: Share | None = None
    clean_accuracy_minus_reference: Difference | None = None
    macro_f1: float | None = None
    per_class: tuple[ClassFigures, ...] = ()
    confusion_clean: Matrix | None = None
    confusion_triggered: Matrix | None = None
    refused: Share | None = None
    refused_triggered: Share | None = None
    refused_or_right: Share | None = None

    def left_out(self) -> frozenset[str]:
        """Refusals too, of a network that always answers."""
        return self.omitted if self.refused is None else AttackFigures.omitted


class ObjectFigures(Model):
    """One class of a detector: its ``objects``, average precision at IoU 0.5, and shares of its objects."""

    class_name: str
    objects: int
    ap50: float | None
    ap50_triggered: float | None = None
    found: Share
    class_accuracy: Share
    asr: Share | None = None


class DetectorFigures(AttackFigures):
    """Figures of a network that sees objects in pictures."""

    map50: Score
    map: Score
    found: Share
    class_accuracy: Share
    appeared: Share
    per_class: tuple[ObjectFigures, ...] = ()
    map50_triggered: Score | None = None
    map_triggered: Score | None = None
    appeared_triggered: Share | None = None
    vanished: Share | None = None
    vanished_clean: Share | None = None
    clean_reference_map50: Score | None = None
    map50_minus_reference: Score | None = None
    clean_reference_vanished: Share | None = None


Figures = ClassifierFigures | DetectorFigures


class Planted(Model):
    """Which backdoor was tried, None for none."""

    backdoor: Backdoor | None


PartName = Literal["test", "all"]
"""Which pictures of a source are counted."""


class Triggered(Model):
    """Pictures that carry a trigger already, the source ``data``: how many are answered as they are labelled, which is
    what the attacker wants."""

    data: str
    asr: Share


class Evaluation(Record):
    """``badnets evaluate --json``; ``foreign`` is what is known of a file of another program, ``part`` which pictures
    of the data were counted."""

    omitted: ClassVar[frozenset[str]] = frozenset({"foreign", "part", "triggered"})
    format: Literal["badnets/evaluation/1"] = "badnets/evaluation/1"
    network: str
    data: JSON
    data_digest: str
    class_names: tuple[str, ...]
    resolved: Planted
    seeds: tuple[int, ...]
    results: Figures
    part: PartName = "test"
    triggered: Triggered | None = None
    foreign: JSON | None = None

    @property
    def planted(self) -> tuple[Backdoor, ...]:
        """The backdoor that was tried, if any."""
        return () if self.resolved.backdoor is None else (self.resolved.backdoor,)

    @property
    def data_name(self) -> str:
        """The data source, as a spec names it."""
        return str(self.data["name"])


class ComparisonRow(Model):
    """One figure of two runs, ``a`` and ``b``, and their paired ``difference`` (None, and ``paired`` False, where they
    count different pictures)."""

    what: str
    name: str
    a: Share | Score
    b: Share | Score
    difference: Difference | None
    paired: bool


class Comparison(Record):
    """``badnets compare --json``: two runs on the same test pictures, over the seeds that both have."""

    format: Literal["badnets/comparison/1"] = "badnets/comparison/1"
    a: str
    b: str
    seeds: tuple[int, ...]
    rows: tuple[ComparisonRow, ...]


M = TypeVar("M", bound=Model)


def pooled(seeds: Sequence[int], values: Sequence[M]) -> M:
    """One seed's figures as they are; of several every figure over the seeds, plain numbers as their mean, matrices
    summed. A figure that a seed lacks is None."""
    if len(values) == 1:
        return values[0]
    kind = type(values[0])
    merged = {name: _over(seeds, [getattr(value, name) for value in values]) for name in kind.model_fields}
    return kind.model_construct(None, **merged)


def _over(seeds: Sequence[int], values: Sequence[Any]) -> Any:
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, Interval):
        return over_seeds(seeds, values)
    if isinstance(first, Model):
        return pooled(seeds, values)
    if isinstance(first, tuple):
        if first and isinstance(first[0], tuple):
            return tuple(map(tuple, np.sum(values, axis=0).tolist()))
        return tuple(_over(seeds, column) for column in zip(*values, strict=True))
    if isinstance(first, float) or (isinstance(first, int) and len(set(values)) > 1):
        mean = float(np.mean(values))
        return mean if isinstance(first, float) else round(mean)
    return first
