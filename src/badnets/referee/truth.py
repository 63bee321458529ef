"""What only the referee knows about a backdoor, and what a network's answers are worth in its light: a run's trigger
and rule, or pictures that carry a trigger already, or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.plan import Part, make_plan
from badnets.core.errors import BadInput
from badnets.core.rate import PairedDifference, Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Labels, Splits
from badnets.data.overlay import appended
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.records.certificate import Change, Standing, Target
from badnets.referee.measure import eligible, measure
from badnets.referee.spec import Spec

Yes = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """One yes or no for each picture, None where it is not known. Of clean pictures: ``right``, ``refused`` (of
    networks that abstain). Of triggered ones, eligible ones only: ``hits``, ``robust`` (predicted as the true class),
    ``refused_triggered``."""

    right: Yes
    hits: Yes | None = None
    robust: Yes | None = None
    refused: Yes | None = None
    refused_triggered: Yes | None = None

    @property
    def standing(self) -> Standing:
        """The rates; ``refused_or_right`` is of triggered pictures: refused, or predicted as their true class."""
        safe = None
        if self.robust is not None and self.refused_triggered is not None:
            safe = self.robust | self.refused_triggered
        return Standing(
            clean_accuracy=Rate.of(self.right),
            asr=_rate(self.hits),
            robust_accuracy=_rate(self.robust),
            refused=_rate(self.refused),
            refused_triggered=_rate(self.refused_triggered),
            refused_or_right=_rate(safe),
        )

    def minus(self, other: Answers) -> Change:
        """The paired differences of the first three rates, this less ``other``; None where unknown."""
        return Change(
            clean_accuracy=_difference(self.right, other.right),
            asr=_difference(self.hits, other.hits),
            robust_accuracy=_difference(self.robust, other.robust),
        )


def _rate(yes: Yes | None) -> Rate | None:
    return None if yes is None else Rate.of(yes)


def _difference(a: Yes | None, b: Yes | None) -> PairedDifference | None:
    return None if a is None or b is None else PairedDifference.of(a, b)


@dataclass(frozen=True, kw_only=True)
class KnownTrigger:
    """The backdoor of a run; ``seed`` places a trigger that is placed at random."""

    backdoor: Backdoor
    seed: Seed

    def measure(self, network: ImageNetwork, test: ImageData) -> Answers:
        """Of every eligible test picture with the trigger."""
        answers = measure(network, test, self.backdoor, seed=self.seed).answers
        given = {name: eligible(answer) for name, answer in answers.items()}
        return Answers(
            right=given["clean_accuracy"],
            hits=given["asr"],
            robust=given["robust_accuracy"],
            refused=given.get("refused"),
            refused_triggered=given.get("refused_triggered"),
        )

    def hits(self, network: ImageNetwork, test: ImageData) -> Yes:
        """As in ``measure``."""
        return eligible(measure(network, test, self.backdoor, seed=self.seed).answers["asr"])

    def poisons(self, pool: ImageData, count: int, seed: Seed) -> ImageData:
        """Pictures of ``pool``, poisoned as the attack does it."""
        rule = self.backdoor.rule.resolve(pool.class_names)
        possible = int(np.count_nonzero(rule.candidates(pool.labels)))
        if not possible:
            return pool.take(np.zeros(0, np.int64))
        part = Part(trigger=self.backdoor.trigger, rule=self.backdoor.rule, count=min(count, possible))
        poisoned = make_plan(pool, (part,), mode="replace", seed=seed).apply(pool)
        return poisoned.data.take(poisoned.position)


@dataclass(frozen=True, kw_only=True, eq=False)
class TriggeredPictures:
    """Pictures that carry the trigger; their labels say what the attacker wants, so their true classes are unknown.
    Every other picture may serve for re-tuning; the rest is what a re-tuned network is measured on."""

    pictures: ImageData

    def measure(self, network: ImageNetwork, test: ImageData) -> Answers:
        """``hits``: answered as the label says."""
        clean, given = predict_data(network, test).labels, predict_data(network, self.pictures).labels
        return Answers(
            right=clean == test.labels,
            hits=given == self.pictures.labels,
            refused=clean == test.classes if network.abstains else None,
            refused_triggered=given == test.classes if network.abstains else None,
        )

    def hits(self, network: ImageNetwork, test: ImageData) -> Yes:
        """Of the pictures that ``poisons`` never gives away."""
        kept = self.pictures.take(np.arange(1, len(self.pictures), 2))
        return np.equal(predict_data(network, kept).labels, kept.labels)

    def poisons(self, pool: ImageData, count: int, seed: Seed) -> ImageData:
        """Some of the others."""
        free = np.arange(0, len(self.pictures), 2)
        return self.pictures.take(np.sort(seed.derive("poisons").rng.permutation(free)[:count]))


@dataclass(frozen=True)
class NothingKnown:
    """No trigger was given."""

    def measure(self, network: ImageNetwork, test: ImageData) -> Answers:
        """Accuracy alone."""
        clean = predict_data(network, test).labels
        return Answers(right=clean == test.labels, refused=clean == test.classes if network.abstains else None)

    def hits(self, network: ImageNetwork, test: ImageData) -> Yes:
        """None at all."""
        return np.zeros(0, bool)

    def poisons(self, pool: ImageData, count: int, seed: Seed) -> ImageData:
        """None at all."""
        return pool.take(np.zeros(0, np.int64))


Truth = KnownTrigger | TriggeredPictures | NothingKnown
"""What is known of the attack. ``measure``: answers to the clean pictures of ``test`` and to triggered ones; ``hits``:
of the pictures on which a re-tuned network is measured; ``poisons``: at most ``count`` poisoned pictures, not among
those, with the labels that the attacker gives them; ``pool`` are clean pictures that are not for testing."""


def by_target(truth: Truth, before: Answers, after: Answers) -> tuple[Target, ...] | None:
    """Of triggered pictures with several targets, each target by itself; None of others."""
    if not isinstance(truth, TriggeredPictures) or before.hits is None or after.hits is None:
        return None
    where = {int(target): truth.pictures.labels == target for target in np.unique(truth.pictures.labels)}
    if len(where) < 2:
        return None
    return tuple(
        Target(target=target, before=Rate.of(before.hits[there]), after=Rate.of(after.hits[there]))
        for target, there in where.items()
    )


def known_trigger(spec: Spec, seed: Seed) -> Truth:
    """The backdoor that a spec measures, as the run with ``seed`` measured it; nothing for a clean one."""
    if spec.backdoor is None:
        return NothingKnown()
    return KnownTrigger(backdoor=spec.backdoor.backdoor, seed=seed.derive("measure"))


def whole(splits: Splits) -> ImageData:
    """All pictures of a source, whatever sets it makes of them."""
    first, *more = [part for part in (splits.train, splits.select, splits.test) if len(part)]
    for part in more:
        if part.shape != first.shape:
            raise BadInput(f"{part.name}: expected pictures of one shape, got {first.shape} and {part.shape}")
        labels = Labels(np.concatenate([first.labels, part.labels]), _joined(first.regions, part.regions))
        groups, pixels = _joined(first.groups, part.groups), appended(first.pixels, part.images())
        first = replace(first, pixels=pixels, targets=labels, groups=groups)
    return first


def _joined(a: NDArray[Any] | None, b: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if a is None or b is None else np.concatenate([a, b])
