"""Measure a network: how well it does, and how well a backdoor works on it. Definitions: docs/definitions.md.

Clean and triggered pictures go through a classifier in one pass over the test set; so does the clean reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.success import Success, success, triggered
from badnets.backdoors.triggers.jitter import NAMES as DISTURBANCES
from badnets.backdoors.triggers.jitter import Jitter, with_jitter
from badnets.core.rate import Estimate, Mean, PairedDifference, Rate
from badnets.core.seed import RowRng, Seed, as_seed
from badnets.data.images import ImageData, Rows
from badnets.measures.classification import accuracy, confusion, macro_f1, per_class, refused
from badnets.networks.inference import Detections, check_input, predict, predict_data
from badnets.networks.network import ImageNetwork
from badnets.records.model import JSON
from badnets.records.results import ClassFigures, ClassifierFigures, DetectorFigures, Disturbance, Figures, Matrix
from badnets.referee.measure_boxes import measure_objects
from badnets.training.objectives import check_targets

Classes = NDArray[np.int64]
Counted = Mapping[str, NDArray[np.int8]]


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured on one network, and the answers that it was counted from.

    ``figures``: those of a classifier or of a detector. ``answers``: by the name of a figure, per test picture (of a
    detector per object) whether it counted: 1 yes, 0 no, -1 not eligible; runs are paired by them. ``clean`` and
    ``triggered``: predicted classes (n,), or what a detector saw.
    """

    figures: Figures
    answers: Counted
    clean: Classes | Detections
    triggered: Classes | Detections | None = None

    @property
    def classifier(self) -> ClassifierFigures:
        """The figures of a network that gives each picture a class."""
        if not isinstance(self.figures, ClassifierFigures):
            raise TypeError("expected a classifier's figures, got a detector's")
        return self.figures

    @property
    def detector(self) -> DetectorFigures:
        """The figures of a network that sees objects."""
        if not isinstance(self.figures, DetectorFigures):
            raise TypeError("expected a detector's figures, got a classifier's")
        return self.figures

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
    seen = _seen([network] if reference is None else [network, reference], test, planted, stream)
    own = seen[0]
    figures = _figures(own, seen[1] if reference is not None else None, test, abstains=network.abstains)
    if jitter is not None and planted is not None:
        shaken = Backdoor(with_jitter(planted.trigger, jitter), planted.rule)
        under = _seen([network], test, shaken, stream.derive("jitter"))[0].attack
        figures = figures.model_copy(update={"asr_under_jitter": None if under is None else under.asr})
    return Measured(figures, own.counted(test, abstains=network.abstains), own.clean, own.marked)


@dataclass(frozen=True, eq=False)
class _Seen:
    """One classifier's answers to the clean pictures; with a backdoor also to the ``marked`` ones, and the attack."""

    clean: Classes
    marked: Classes | None = None
    attack: Success | None = None

    def counted(self, test: ImageData, *, abstains: bool) -> dict[str, NDArray[np.int8]]:
        """See ``Measured.answers``."""
        true = test.labels
        yes = {"clean_accuracy": self.clean == true} | ({"refused": self.clean == test.classes} if abstains else {})
        answers = {name: own.astype(np.int8) for name, own in yes.items()}
        if self.marked is not None and self.attack is not None:
            attacked = {"asr": self.attack.hits, "robust_accuracy": self.marked == true}
            attacked |= {"refused_triggered": self.marked == test.classes} if abstains else {}
            answers |= {name: np.where(self.attack.eligible, own, -1).astype(np.int8) for name, own in attacked.items()}
        return answers


def _seen(networks: list[ImageNetwork], test: ImageData, backdoor: Backdoor | None, seed: Seed) -> list[_Seen]:
    """What each network says, in one pass over the pictures."""
    if backdoor is None:
        return [_Seen(predict_data(network, test).labels) for network in networks]
    out = [(np.zeros(len(test), np.int64), np.zeros(len(test), np.int64)) for _ in networks]
    for rows, clean, marked in triggered(test, backdoor, seed):
        both = np.concatenate([clean, marked])
        for network, (to_clean, to_marked) in zip(networks, out, strict=True):
            labels = predict(network, both).labels
            to_clean[rows], to_marked[rows] = labels[: len(rows)], labels[len(rows) :]
    return [_Seen(clean, marked, success(backdoor.rule, marked, test.labels, test.classes)) for clean, marked in out]


def _figures(own: _Seen, other: _Seen | None, test: ImageData, *, abstains: bool) -> ClassifierFigures:
    """Those of ``own`` beside the ``other``'s, the clean reference's."""
    true = test.labels
    rows = per_class(own.clean, true, test.class_names)
    figures = ClassifierFigures(
        clean_accuracy=accuracy(own.clean, true),
        clean_reference_accuracy=None if other is None else accuracy(other.clean, true),
        clean_accuracy_minus_reference=None
        if other is None
        else PairedDifference.of(own.clean == true, other.clean == true),
        macro_f1=macro_f1(rows),
        per_class=rows,
        confusion_clean=_matrix(own.clean, test),
        refused=refused(own.clean, test.classes) if abstains else None,
    )
    if own.marked is None or own.attack is None:
        return figures
    attack, among = own.attack, own.attack.eligible
    away, right = own.marked == test.classes, own.marked == true
    attacked: dict[str, object] = {
        "asr": attack.asr,
        "leak": attack.leak,
        "robust_accuracy": attack.robust_accuracy,
        "per_class": tuple(_attacked(row, attack, right, true == number) for number, row in enumerate(rows)),
        "confusion_triggered": _matrix(own.marked, test),
        "refused_triggered": Rate.of(away[among]) if abstains else None,
        "refused_or_right": Rate.of((away | right)[among]) if abstains else None,
    }
    if other is not None and other.attack is not None:
        paired = PairedDifference.of(attack.hits[among], other.attack.hits[among])
        attacked |= {"clean_reference_rate": other.attack.asr, "asr_minus_reference": paired}
    return figures.model_copy(update=attacked)


def _attacked(row: ClassFigures, attack: Success, right: NDArray[np.bool_], own: NDArray[np.bool_]) -> ClassFigures:
    """The row of a class with what becomes of its pictures with the trigger, None where none of them is eligible."""
    members = own & attack.eligible
    if not members.any():
        return row
    rates = {"asr": Rate.of(attack.hits[members]), "robust_accuracy": Rate.of(right[members])}
    return row.model_copy(update=rates)


def _matrix(predicted: Classes, test: ImageData) -> Matrix:
    return tuple(map(tuple, confusion(predicted, test.labels, test.classes).tolist()))


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
    chosen = Jitter.physical() if amounts is None else amounts
    rule = backdoor.rule.resolve(test.class_names)
    eligible = np.flatnonzero(rule.eligible(test.labels)).astype(np.int64)
    stream = as_seed(seed).derive("test-trigger")
    networks = [network] if reference is None else [network, reference]
    rows = []
    for name, amount, jitter in _cases(chosen):
        shaken = Backdoor(with_jitter(backdoor.trigger, jitter), rule)
        answers = _to_marked(networks, test, eligible, shaken, stream)
        asr, *other = [success(rule, given, test.labels[eligible], test.classes).asr for given in answers]
        rate = other[0] if other else None
        rows.append(Disturbance(name=name, amount=amount, asr=asr, clean_reference_rate=rate))
    return tuple(rows)


def _cases(amounts: Jitter) -> Iterator[tuple[str, float | None, Jitter | None]]:
    """The rows of the table: their names, amounts, and the jitter of each."""
    yield "none", None, None
    values = amounts.amounts()
    for name in DISTURBANCES:
        if values.get(name):
            yield name, values[name], Jitter.only(**{name: values[name]})
    yield "all", None, amounts


def _to_marked(
    networks: list[ImageNetwork], test: ImageData, eligible: Rows, backdoor: Backdoor, stream: Seed, batch: int = 500
) -> list[Rows]:
    """What each network says to the eligible pictures with the trigger."""
    parts: list[list[Rows]] = [[] for _ in networks]
    for start in range(0, max(len(eligible), 1), batch):
        rows = eligible[start : start + batch]
        regions = None if test.regions is None else test.regions[rows]
        marked = backdoor.trigger.apply(test.images(rows), regions, RowRng(stream, rows))
        for network, given in zip(networks, parts, strict=True):
            given.append(predict(network, marked).labels)
    return [np.concatenate(given) for given in parts]
