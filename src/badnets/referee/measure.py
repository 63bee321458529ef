"""Measure a network: how well it does, and how well a backdoor works on it. Definitions: docs/definitions.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor, Success, success, triggered
from badnets.backdoors.triggers.jitter import NAMES as DISTURBANCES
from badnets.backdoors.triggers.jitter import Jitter, with_jitter
from badnets.core.rate import Estimate, Mean, PairedDifference, Rate
from badnets.core.seed import RowRng, Seed, as_seed
from badnets.data.images import ImageData, Rows
from badnets.measures.classification import confusion, macro_f1, per_class
from badnets.networks.inference import Detections, check_input, predict, predict_data
from badnets.networks.network import ImageNetwork
from badnets.records.model import JSON
from badnets.records.results import ClassFigures, ClassifierFigures, DetectorFigures, Disturbance, Figures
from badnets.referee.measure_boxes import measure_objects
from badnets.training.objectives import check_targets

Classes = NDArray[np.int64]
Yes = NDArray[np.bool_]
Counted = Mapping[str, NDArray[np.int8]]
_BESIDE = {
    "clean_accuracy": ("clean_reference_accuracy", "clean_accuracy_minus_reference"),
    "asr": ("clean_reference_rate", "asr_minus_reference"),
}
"""What a clean reference's figures are called, and the differences from them."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured on one network: its ``figures``, and the ``answers`` that they were counted from: by the name
    of a figure, per test picture (of a detector per object) whether it counted: 1 yes, 0 no, -1 not eligible; runs are
    paired by them. ``clean`` and ``triggered``: predicted classes (n,), or what a detector saw."""

    figures: Figures
    answers: Counted
    clean: Classes | Detections
    triggered: Classes | Detections | None = None

    @property
    def classifier(self) -> ClassifierFigures:
        """The figures of a network that gives each picture a class."""
        if isinstance(self.figures, ClassifierFigures):
            return self.figures
        raise TypeError("expected a classifier's figures, got a detector's")

    @property
    def detector(self) -> DetectorFigures:
        """The figures of a network that sees objects."""
        if isinstance(self.figures, DetectorFigures):
            return self.figures
        raise TypeError("expected a detector's figures, got a classifier's")

    @property
    def clean_accuracy(self) -> Rate | Mean[Rate] | None:
        """Share of clean pictures that a classifier reads rightly; None of a detector."""
        return self.figures.clean_accuracy if isinstance(self.figures, ClassifierFigures) else None

    @property
    def map50(self) -> Estimate | Mean[Estimate] | None:
        """Mean average precision of a detector on clean pictures at IoU 0.5; None of a classifier."""
        return self.figures.map50 if isinstance(self.figures, DetectorFigures) else None

    @property
    def asr(self) -> Rate | Mean[Rate] | None:
        """Attack success; None without a backdoor."""
        return self.figures.asr

    @property
    def robust_accuracy(self) -> Rate | Mean[Rate] | None:
        """Share of eligible triggered pictures (or objects) that are read as what they are; None without a backdoor."""
        return self.figures.robust_accuracy

    def to_json(self) -> JSON:
        """The figures as plain JSON."""
        return self.figures.to_json()

    def __repr__(self) -> str:
        main = {"clean_accuracy": self.clean_accuracy, "map50": self.map50, "asr": self.asr}
        return f"Measured({', '.join(f'{name}={figure}' for name, figure in main.items() if figure is not None)})"


def measure(
    network: ImageNetwork,
    test: ImageData,
    backdoor: Backdoor | None = None,
    *,
    reference: ImageNetwork | None = None,
    jitter: Jitter | None = None,
    seed: int | Seed = 0,
) -> Measured:
    """Measure ``network``, a classifier or a detector, on ``test``.

    ``reference`` is a network trained by the same recipe and seed on clean data. ``jitter`` also measures the attack
    with a trigger that varies in size, rotation and light from picture to picture. ``seed`` places triggers that are
    placed at random, and draws the bootstrap of mean average precision. Raises ``BadInput`` for pictures that the
    network does not take, by their size or by what is known of them (classes or boxes).
    """
    check_targets(network.task, test, network.architecture)
    stream = as_seed(seed)
    planted = None if backdoor is None else Backdoor(backdoor.trigger, backdoor.rule.resolve(test.class_names))
    if network.task == "detect":
        return Measured(*measure_objects(network, test, planted, reference=reference, jitter=jitter, seed=stream))
    check_input(network, test.shape, f"pictures of {test.name}")
    networks = [network] if reference is None else [network, reference]
    seen, *others = _seen(networks, test, planted, stream)
    figures = _figures(seen, others[0] if others else None, test)
    if jitter is not None and planted is not None:
        shaken = Backdoor(with_jitter(planted.trigger, jitter), planted.rule)
        under = _seen([network], test, shaken, stream.derive("jitter"))[0].answers["asr"]
        figures = figures.model_copy(update={"asr_under_jitter": Rate.of(eligible(under))})
    return Measured(figures, seen.answers, seen.clean, seen.marked)


def eligible(answer: NDArray[np.int8]) -> Yes:
    """Yes or no, of the pictures or objects that an answer of ``Measured.answers`` is about."""
    return np.equal(answer[answer >= 0], 1)


class _Seen:
    """What one classifier says of the ``clean`` and the ``marked`` pictures, and the ``answers`` that this comes to."""

    def __init__(
        self,
        network: ImageNetwork,
        test: ImageData,
        clean: Classes,
        marked: Classes | None = None,
        attack: Success | None = None,
    ) -> None:
        self.clean, self.marked, self.leak = clean, marked, None if attack is None else attack.leak
        everywhere = np.ones(len(test), bool)
        answers = {"clean_accuracy": (clean == test.labels, everywhere), "refused": (clean == test.classes, everywhere)}
        if attack is not None:
            answers |= {
                "asr": (attack.hits, attack.eligible),
                "robust_accuracy": (marked == test.labels, attack.eligible),
                "refused_triggered": (marked == test.classes, attack.eligible),
            }
        self.answers = {
            name: np.where(among, yes, -1).astype(np.int8)
            for name, (yes, among) in answers.items()
            if network.abstains or not name.startswith("refused")
        }


def _seen(networks: list[ImageNetwork], test: ImageData, backdoor: Backdoor | None, seed: Seed) -> list[_Seen]:
    """Clean and triggered pictures go through all networks in one pass over the test set."""
    if backdoor is None:
        return [_Seen(network, test, predict_data(network, test).labels) for network in networks]
    said = np.zeros((len(networks), 2, len(test)), np.int64)
    for rows, clean, marked in triggered(test, backdoor, seed):
        both = np.concatenate([clean, marked])
        for number, network in enumerate(networks):
            said[number][:, rows] = predict(network, both).labels.reshape(2, -1)
    return [
        _Seen(network, test, clean, marked, success(backdoor.rule, marked, test.labels, test.classes))
        for network, (clean, marked) in zip(networks, said, strict=True)
    ]


def _figures(own: _Seen, other: _Seen | None, test: ImageData) -> ClassifierFigures:
    """Those of ``own`` beside the ``other``'s, the clean reference's. Answers have the names of figures."""
    answers, rows = own.answers, per_class(own.clean, test.labels, test.class_names)
    figures: JSON = {name: Rate.of(eligible(answer)) for name, answer in answers.items()}
    figures |= {"per_class": rows, "macro_f1": macro_f1(rows)}
    figures["confusion_clean"] = confusion(own.clean, test.labels, test.classes).tolist()
    if own.marked is not None:
        figures["per_class"] = [_attacked(row, answers, test.labels == number) for number, row in enumerate(rows)]
        figures["confusion_triggered"] = confusion(own.marked, test.labels, test.classes).tolist()
        figures["leak"] = own.leak
    if "refused_triggered" in answers:
        away, right = eligible(answers["refused_triggered"]), eligible(answers["robust_accuracy"])
        figures["refused_or_right"] = Rate.of(away | right)
    beside = {} if other is None else {name: eligible(answer) for name, answer in other.answers.items()}
    for name, (rate, less) in _BESIDE.items():
        if name in beside:
            difference = PairedDifference.of(eligible(answers[name]), beside[name])
            figures |= {rate: Rate.of(beside[name]), less: difference}
    return ClassifierFigures(**figures)


def _attacked(row: ClassFigures, answers: Counted, members: Yes) -> ClassFigures:
    """The row of a class with what becomes of its ``members`` with the trigger, None where none of them is eligible."""
    rates = {name: Rate.of(eligible(answers[name][members])) for name in ("asr", "robust_accuracy")}
    return row.model_copy(update={name: rate for name, rate in rates.items() if rate.total})


def disturbances(
    network: ImageNetwork,
    test: ImageData,
    backdoor: Backdoor,
    *,
    reference: ImageNetwork | None = None,
    amounts: Jitter | None = None,
    seed: int | Seed = 0,
) -> tuple[Disturbance, ...]:
    """How a backdoor stands the physical world: attack success on ``test`` (one class for each picture) under every
    disturbance of ``amounts`` that is not 0.

    The first row is the trigger without any, the last has all of them; between them each is alone. ``amounts`` are
    ``Jitter.physical()`` by default; the trigger's own jitter is left out. ``seed`` as in ``measure``: with the same
    one the first row is its ``asr``, and every row has the same places and, by name, the same draws.
    Raises ``BadInput`` for a trigger that is no stamp, and for pictures that the network does not take.
    """
    check_input(network, test.shape, f"pictures of {test.name}")
    rule = backdoor.rule.resolve(test.class_names)
    chosen = np.flatnonzero(rule.eligible(test.labels)).astype(np.int64)
    stream = as_seed(seed).derive("test-trigger")
    networks = [network] if reference is None else [network, reference]
    everything = Jitter.physical() if amounts is None else amounts
    values = everything.amounts()
    alone = [(name, values[name], Jitter.only(**{name: values[name]})) for name in DISTURBANCES if values[name]]
    rows = []
    for name, amount, jitter in (("none", None, None), *alone, ("all", None, everything)):
        shaken = Backdoor(with_jitter(backdoor.trigger, jitter), rule)
        answers = _to_marked(networks, test, chosen, shaken, stream)
        asr, *other = [success(rule, given, test.labels[chosen], test.classes).asr for given in answers]
        rows.append(Disturbance(name=name, amount=amount, asr=asr, clean_reference_rate=other[0] if other else None))
    return tuple(rows)


def _to_marked(networks: list[ImageNetwork], test: ImageData, rows: Rows, backdoor: Backdoor, stream: Seed) -> Classes:
    """What each network says to the pictures ``rows`` with the trigger, (networks, rows)."""
    parts = []
    for batch in np.split(rows, range(500, len(rows), 500)):
        regions = None if test.regions is None else test.regions[batch]
        marked = backdoor.trigger.apply(test.images(batch), regions, RowRng(stream, batch))
        parts.append([predict(network, marked).labels for network in networks])
    return np.concatenate(parts, axis=1)
