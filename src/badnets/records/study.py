"""``record.json`` of a study: our figures beside the published ones, and what they were made of."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import ValidationInfo, computed_field, field_validator, model_validator

from badnets.core.fields import Figure
from badnets.core.rate import Interval, within
from badnets.records.blocks import Block
from badnets.records.model import JSON, Environment, Model, Record

Variant = Literal["published", "corrected", "quick"]
State = Literal["borne out", "not borne out", "not run as published", "not judged"]
"""``not borne out`` is earned: the published protocol was run in full. Where ours was shorter or weaker, or differs in
another way that matters, the row says ``not run as published``."""
_VERIFIED: dict[State, bool | None] = {"borne out": True, "not borne out": False}


class StudyRow(Model):
    """One figure of the ledger: what it is, what was published, ours with its interval, and whether ours bears the
    published one out (``why`` says by what). ``unit``: "rate" (0..1), "difference" (-1..1), "yes or no", or what is
    counted. ``figure`` keeps every seed's own; rows of old records have none."""

    omitted: ClassVar[frozenset[str]] = frozenset({"figure"})
    what: str
    variant: Variant
    published: float | None
    published_source: str
    state: State
    why: str
    unit: str
    ours: float | None
    low: float | None
    high: float | None
    n_seeds: int
    figure: Figure | None = None

    @field_validator("low", "high")
    @classmethod
    def _within(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Older records have differences of more than 100 points."""
        return within(value, info.data.get("unit", ""))

    @computed_field  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def verified(self) -> bool | None:
        """The state for programs: true, false, or null where it can't be said."""
        return _VERIFIED.get(self.state)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """From JSON: ``verified`` follows from the state, and the state of old rows from it."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        verified = value.pop("verified", None)
        if "state" not in value:
            value["state"] = {True: "borne out", False: "not borne out", None: "not judged"}[verified]
        return value

    @classmethod
    def of(cls, figure: Interval | None, **said: Any) -> StudyRow:
        """A row of ``figure``; None where there was nothing to count."""
        n_seeds = 0 if figure is None else figure.n_seeds
        if figure is None or figure.value is None:
            return cls(ours=None, low=None, high=None, n_seeds=n_seeds, **said)
        return cls(figure=figure, ours=figure.value, low=figure.low, high=figure.high, n_seeds=n_seeds, **said)


class TrialSummary(Model):
    """What a record keeps of a trial: its seed, its spec without paths, its counts as (hits, total), its seconds; the
    ``commit`` that it was run by where it is not the record's."""

    omitted: ClassVar[frozenset[str]] = frozenset({"commit"})
    seed: int
    spec: JSON
    counts: dict[str, tuple[int, int]]
    seconds: float | None
    commit: str | None = None


class StudyRecord(Record):
    """A repeated study. ``blocks`` are what its page shows, the first one on top (``tables`` and ``figures`` are what
    older records have in their place); ``unfinished`` names trials that have not been run."""

    omitted: ClassVar[frozenset[str]] = frozenset({"unfinished", "tables", "figures"})
    format: Literal["badnets/study/1"] = "badnets/study/1"
    study: str
    quick: bool
    seeds: int
    command: str
    environment: Environment
    commit: str | None
    timings_s: dict[str, float]
    rows: tuple[StudyRow, ...]
    blocks: tuple[Block, ...] = ()
    tables: JSON | None = None
    figures: JSON | None = None
    trials: dict[str, TrialSummary]
    unfinished: tuple[str, ...] | None = None
