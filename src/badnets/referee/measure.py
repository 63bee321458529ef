"""Measure a network: how accurate it is, and how well a backdoor works on it.

Clean and triggered pictures go through the network in one pass over the test set; so does the clean reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import LabelRule
from badnets.backdoors.success import Success, success, triggered
from badnets.backdoors.triggers.jitter import Jitter, with_jitter
from badnets.core.rate import PairedDifference, Rate
from badnets.core.seed import Seed, as_seed
from badnets.data.images import ImageData
from badnets.measures.classification import ClassFigures, accuracy, confusion, macro_f1, per_class, refused
from badnets.networks.inference import check_input, predict, predict_data
from badnets.networks.network import ImageNetwork

Classes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that was measured on one network. Definitions: docs/design.md, section 5.

    ``asr`` and what follows it are None without a backdoor, the ``clean_reference`` ones without a reference, ``leak``
    for rules that have no single source. Arrays: ``clean (n,)`` and ``triggered (n,)`` predicted classes.

    Of a network that abstains only: ``refused``, the share of clean pictures that it refuses; of the eligible triggered
    pictures, ``refused_triggered``, and ``refused_or_right``, refused or predicted as their true class.
    """

    clean_accuracy: Rate
    figures: list[ClassFigures]
    confusion_clean: NDArray[np.int64]
    clean: Classes
    asr: Rate | None = None
    robust_accuracy: Rate | None = None
    leak: Rate | None = None
    asr_per_class: list[Rate] | None = None
    robust_per_class: list[Rate] | None = None
    confusion_triggered: NDArray[np.int64] | None = None
    triggered: Classes | None = None
    asr_under_jitter: Rate | None = None
    clean_reference_rate: Rate | None = None
    clean_reference_accuracy: Rate | None = None
    asr_minus_reference: PairedDifference | None = None
    clean_accuracy_minus_reference: PairedDifference | None = None
    refused: Rate | None = None
    refused_triggered: Rate | None = None
    refused_or_right: Rate | None = None

    def answers(self, rule: LabelRule | None, true: Classes) -> dict[str, NDArray[np.int8]]:
        """Per picture whether it counted, by name: 1 yes, 0 no, -1 not eligible."""
        answers = {"clean_accuracy": (self.clean == true).astype(np.int8)}
        if rule is not None and self.triggered is not None:
            eligible = rule.eligible(true)
            hits = rule.hit(self.triggered, true, len(self.figures))
            answers["asr"] = np.where(eligible, hits, -1).astype(np.int8)
            answers["robust_accuracy"] = np.where(eligible, self.triggered == true, -1).astype(np.int8)
        return answers

    def to_json(self) -> dict[str, Any]:
        """The results of a record for one seed."""
        rates = ("clean_accuracy", "asr", "robust_accuracy", "leak", "clean_reference_rate", "clean_reference_accuracy")
        pairs = ("asr_minus_reference", "clean_accuracy_minus_reference", "asr_under_jitter")
        refusals = () if self.refused is None else ("refused", "refused_triggered", "refused_or_right")
        values = {name: getattr(self, name) for name in rates + pairs + refusals}
        return {
            **{name: None if value is None else value.to_json() for name, value in values.items()},
            "macro_f1": macro_f1(self.figures),
            "per_class": self._per_class(),
            "confusion_clean": self.confusion_clean.tolist(),
            "confusion_triggered": None if self.confusion_triggered is None else self.confusion_triggered.tolist(),
        }

    def _per_class(self) -> list[dict[str, Any]]:
        rows = [row.to_json() for row in self.figures]
        for number, row in enumerate(rows):
            for name, rates in (("asr", self.asr_per_class), ("robust_accuracy", self.robust_per_class)):
                row[name] = rates[number].to_json() if rates and rates[number].total else None
        return rows


def measure(
    network: ImageNetwork,
    test: ImageData,
    backdoor: Backdoor | None = None,
    *,
    reference: ImageNetwork | None = None,
    jitter: Jitter | None = None,
    seed: int | Seed = 0,
) -> Measured:
    """Measure ``network`` on ``test``; see ``Measured``.

    ``reference`` is a network trained by the same recipe and seed on clean data. ``jitter`` also measures the attack
    with a trigger that varies in size, rotation and light from picture to picture. ``seed`` places triggers that are
    placed at random.
    """
    check_input(network, test.shape, f"pictures of {test.name}")
    stream = as_seed(seed)
    true = test.labels
    if backdoor is None:
        clean = predict_data(network, test).labels
        extra: dict[str, Any] = {} if reference is None else _against(clean, predict_data(reference, test).labels, true)
        if network.abstains:
            extra["refused"] = refused(clean, test.classes)
        return Measured(**_clean(clean, true, test), **extra)
    backdoor = Backdoor(backdoor.trigger, backdoor.rule.resolve(test.class_names))
    answers = _answers([network] if reference is None else [network, reference], test, backdoor, stream)
    clean, with_trigger = answers[0]
    own = success(backdoor.rule, with_trigger, true, test.classes)
    values: dict[str, Any] = {**_clean(clean, true, test), **_attacked(own, with_trigger, true, test)}
    if network.abstains:
        values |= _refusals(clean, with_trigger, own, test)
    if reference is not None:
        other = success(backdoor.rule, answers[1][1], true, test.classes)
        values |= _against(clean, answers[1][0], true)
        values |= {
            "clean_reference_rate": other.asr,
            "asr_minus_reference": PairedDifference.of(own.hits[own.eligible], other.hits[other.eligible]),
        }
    if jitter is not None:
        shaken = Backdoor(with_jitter(backdoor.trigger, jitter), backdoor.rule)
        again = _answers([network], test, shaken, stream.derive("jitter"))[0][1]
        values["asr_under_jitter"] = success(backdoor.rule, again, true, test.classes).asr
    return Measured(**values)


def _answers(
    networks: list[ImageNetwork], test: ImageData, backdoor: Backdoor, seed: Seed
) -> list[tuple[Classes, Classes]]:
    """For each network its answers to the clean and to the triggered pictures."""
    out = [(np.zeros(len(test), np.int64), np.zeros(len(test), np.int64)) for _ in networks]
    for rows, clean, marked in triggered(test, backdoor, seed):
        both = np.concatenate([clean, marked])
        for network, (to_clean, to_marked) in zip(networks, out, strict=True):
            labels = predict(network, both).labels
            to_clean[rows], to_marked[rows] = labels[: len(rows)], labels[len(rows) :]
    return out


def _clean(clean: Classes, true: Classes, test: ImageData) -> dict[str, Any]:
    return {
        "clean_accuracy": accuracy(clean, true),
        "figures": per_class(clean, true, test.class_names),
        "confusion_clean": confusion(clean, true, test.classes),
        "clean": clean,
    }


def _attacked(own: Success, answers: Classes, true: Classes, test: ImageData) -> dict[str, Any]:
    members = [(true == number) & own.eligible for number in range(test.classes)]
    return {
        "asr": own.asr,
        "leak": own.leak,
        "robust_accuracy": own.robust_accuracy,
        "asr_per_class": [Rate.of(own.hits[m]) for m in members],
        "robust_per_class": [Rate.of((answers == true)[m]) for m in members],
        "confusion_triggered": confusion(answers, true, test.classes),
        "triggered": answers,
    }


def _refusals(clean: Classes, answers: Classes, own: Success, test: ImageData) -> dict[str, Any]:
    among = own.eligible
    away = answers == test.classes
    return {
        "refused": refused(clean, test.classes),
        "refused_triggered": Rate.of(away[among]),
        "refused_or_right": Rate.of((away | (answers == test.labels))[among]),
    }


def _against(clean: Classes, reference: Classes, true: Classes) -> dict[str, Any]:
    return {
        "clean_reference_accuracy": accuracy(reference, true),
        "clean_accuracy_minus_reference": PairedDifference.of(clean == true, reference == true),
    }
