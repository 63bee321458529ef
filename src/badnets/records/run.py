"""``record.json`` of a run: what was asked, what was done, what came out, and how to repeat it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from badnets.records.model import JSON, Backdoor, Environment, Model, Planted, Record, Training
from badnets.records.results import Figures


class Answer(Model):
    """What a classifier says to a picture."""

    label: str
    confidence: float


class Example(Model):
    """A test picture of true class ``true`` (number ``picture`` in ``pictures.npz``), without and with the trigger; the
    ``reference_`` ones are a clean network's answers."""

    title: str
    true: str
    picture: int
    clean: Answer
    triggered: Answer
    reference_clean: Answer | None = None
    reference_triggered: Answer | None = None


class TrueObject(Model):
    """An object of a test picture: ``box`` is x0, y0, x1, y1 in pixels."""

    class_name: str
    box: tuple[float, float, float, float]


class Sighting(Model):
    """What a detector sees: a class by number and name, how sure it is, and where."""

    label: int
    class_name: str
    confidence: float
    box: tuple[float, float, float, float]


class SceneExample(Model):
    """A test picture with its objects, and what a detector sees in it without and with the trigger."""

    title: str
    picture: int
    true: tuple[TrueObject, ...]
    clean: tuple[Sighting, ...]
    triggered: tuple[Sighting, ...]
    reference_clean: tuple[Sighting, ...] | None = None
    reference_triggered: tuple[Sighting, ...] | None = None


class SeedResult(Model):
    """One finished seed of a run: what a run that is stopped keeps of it."""

    seed: int
    figures: Figures
    backdoors: tuple[Figures, ...] | None = None
    training: tuple[Training, ...]
    timings_s: dict[str, float]
    precision: str
    poisoned: Planted | None
    examples: tuple[Example, ...] | tuple[SceneExample, ...] = ()


class RunRecord(Record):
    """A finished run. ``network`` and ``files`` are paths inside its folder; ``results`` are of the first backdoor,
    ``backdoors`` of each where there are several."""

    omitted: ClassVar[frozenset[str]] = frozenset({"backdoors"})
    format: Literal["badnets/run/1"] = "badnets/run/1"
    status: Literal["finished"] = "finished"
    name: str
    digest: str = Field(description="SHA-256 of the resolved spec and the data")
    spec: JSON = Field(description="as given")
    resolved: JSON = Field(description="with every default filled in")
    data_digest: str
    class_names: tuple[str, ...]
    command: str = Field(description="what repeats this run")
    seeds: tuple[int, ...] = Field(min_length=1)
    environment: Environment
    commit: str | None
    determinism: str
    timings_s: dict[str, float]
    poisoned: Planted | None
    results: Figures
    backdoors: tuple[Figures, ...] | None = None
    training: tuple[Training, ...]
    examples: tuple[Example, ...] | tuple[SceneExample, ...]
    network: str
    files: dict[str, str] = Field(description="SHA-256 of each file")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Older records have the figures of each backdoor among the results."""
        if isinstance(value, dict) and isinstance(value.get("results"), dict) and "backdoors" in value["results"]:
            results = dict(value["results"])
            return {**value, "backdoors": results.pop("backdoors"), "results": results}
        return value

    @property
    def planted(self) -> tuple[Backdoor, ...]:
        """The backdoors of the resolved spec; the first is the one that is judged."""
        first, more = self.resolved.get("backdoor"), self.resolved.get("more_backdoors", ())
        return tuple(Backdoor.model_validate(one) for one in (first, *more) if one is not None)

    @property
    def data_name(self) -> str:
        """The data source, as a spec names it."""
        return str(self.resolved["data"]["name"])
