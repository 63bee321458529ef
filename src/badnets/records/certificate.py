"""What a repair cured and what it cost; what an abstainer refuses."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from badnets.core.fields import Difference, Share
from badnets.records.model import JSON, Backdoor, Environment, Model, Record


class Standing(Model):
    """What a network does: clean pictures right, triggered ones as the attacker wants (``asr``) or as their true class
    (``robust_accuracy``); None where it is not known. The ``refused`` ones only of networks that abstain."""

    omitted: ClassVar[frozenset[str]] = frozenset({"refused", "refused_triggered", "refused_or_right"})
    clean_accuracy: Share
    asr: Share | None = None
    robust_accuracy: Share | None = None
    refused: Share | None = None
    refused_triggered: Share | None = None
    refused_or_right: Share | None = None

    def left_out(self) -> frozenset[str]:
        """Refusals, of a network that always answers."""
        return self.omitted if self.refused is None else frozenset()


class Change(Model):
    """Paired differences of two standings, after minus before."""

    clean_accuracy: Difference | None = None
    asr: Difference | None = None
    robust_accuracy: Difference | None = None


class Control(Model):
    """A clean network that went through the same repair."""

    before: Standing
    after: Standing
    after_minus_before: Change
    chosen: str = ""
    stopped: Literal["budget", "interrupted"] | None = None


class Reactivation(Model):
    """Attack success after re-tuning on a few poisoned pictures: of the ``repaired`` network (``before``: as it was),
    of a ``clean_network`` after the same repair, of the ``backdoored`` one without it (``backdoored_before``: as it
    was). ``difference`` is repaired less clean network. ``void`` says why it proves nothing, None where it does."""

    omitted: ClassVar[frozenset[str]] = frozenset({"backdoored_before", "void"})
    before: Share
    repaired: Share
    clean_network: Share | None = None
    backdoored: Share | None = None
    backdoored_before: Share | None = None
    difference: Difference | None = None
    poisoned_pictures: int
    clean_pictures: int
    epochs: int
    learning_rate: float = 0.01
    batch: int = 64
    void: str | None = None


class Target(Model):
    """Where triggered pictures have several targets: one of them, by number, before and after."""

    target: int
    before: Share
    after: Share


class Defender(Model):
    """How many clean pictures the defender had, and which."""

    pictures: int
    digest: str
    seed: int


class Truth(Model):
    """What the referee knew: the backdoor of a run, or pictures with the trigger, or nothing."""

    trigger_from: str | None = None
    triggered: str | None = None
    backdoor: Backdoor | None = None
    target: int | None = None


class _OfAMethod(Record):
    """What certificates and guard records have in common."""

    network: str
    model: str
    architecture: str
    data: JSON
    data_digest: str
    class_names: tuple[str, ...]
    defender: Defender
    truth: Truth
    method: JSON = Field(description="its kind and settings")
    trace: tuple[JSON, ...] = Field(description="one row for each step")
    chosen: str = Field(description="what was chosen on which data")
    stopped: Literal["budget", "interrupted"] | None
    seconds: float
    before: Standing
    after: Standing
    after_minus_before: Change
    command: str
    environment: Environment
    commit: str | None
    files: dict[str, str] = Field(description="SHA-256 of each file")

    @property
    def planted(self) -> tuple[Backdoor, ...]:
        """The backdoor that the referee knew, if any."""
        return () if self.truth.backdoor is None else (self.truth.backdoor,)

    @property
    def data_name(self) -> str:
        """The data source, as a spec names it."""
        return str(self.data["name"])


class Certificate(_OfAMethod):
    """``badnets repair --json``. ``pictures``: how many clean ones the method used; ``changed``: whether a weight is
    another one; ``allowance``: the clean accuracy that a cure may cost, 0..1."""

    omitted: ClassVar[frozenset[str]] = frozenset({"targets", "allowance"})
    format: Literal["badnets/certificate/1"] = "badnets/certificate/1"
    pictures: int
    changed: bool
    clean_network: Control | None
    reactivation: Reactivation | None
    targets: tuple[Target, ...] | None = None
    allowance: float | None = None
    notes: tuple[str, ...]
    timings_s: dict[str, float]


class GuardRecord(_OfAMethod):
    """``badnets guard --json``: ``refuse`` is the share of clean pictures that may be refused, ``calibration`` the
    share of those that the threshold was found on."""

    format: Literal["badnets/guard/1"] = "badnets/guard/1"
    threshold: float
    refuse: float | None
    calibration: Share
    warning: str | None
