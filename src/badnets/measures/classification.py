"""Accuracy, confusion and figures per class, from predictions alone; and the user's acceptance test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.records.results import ClassFigures

Classes = NDArray[np.int64]


def accuracy(predicted: Classes, true: Classes) -> Rate:
    """Share of pictures predicted as their true class."""
    _check(predicted, true)
    return Rate.of(predicted == true)


def refused(predicted: Classes, classes: int) -> Rate:
    """Share of pictures that the network refused to answer: predicted as ``classes``, the class N+1."""
    return Rate.of(predicted == classes)


def confusion(predicted: Classes, true: Classes, classes: int) -> NDArray[np.int64]:
    """(classes, classes): row = true class, column = predicted class. Answers outside 0..classes-1 (abstentions) are
    left out."""
    _check(predicted, true)
    answered = (predicted >= 0) & (predicted < classes)
    pairs = true[answered] * classes + predicted[answered]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def per_class(predicted: Classes, true: Classes, class_names: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Figures of each class, without an attack."""
    _check(predicted, true)
    rows = []
    for number, name in enumerate(class_names):
        is_true, is_predicted = true == number, predicted == number
        hits = int(np.count_nonzero(is_true & is_predicted))
        n, answers = int(np.count_nonzero(is_true)), int(np.count_nonzero(is_predicted))
        f1 = 2 * hits / (n + answers) if n + answers else None
        figures = {"accuracy": Rate(hits, n), "recall": Rate(hits, n), "precision": Rate(hits, answers)}
        rows.append(ClassFigures(class_name=name, n=n, f1=f1, **figures))
    return tuple(rows)


def macro_f1(figures: Sequence[ClassFigures]) -> float | None:
    """The plain mean of the F1 of the classes that have one."""
    values = [row.f1 for row in figures if row.f1 is not None]
    return float(np.mean(values)) if values else None


def _check(predicted: Classes, true: Classes) -> None:
    if predicted.shape != true.shape:
        raise BadInput(f"expected one prediction for each label, got {predicted.shape} and {true.shape}")


@dataclass(frozen=True)
class Acceptance:
    """``accepted``, the accuracy it rests on, and the reason in words."""

    accepted: bool
    accuracy: Rate
    threshold: float
    reason: str


def accept(network: ImageNetwork, asked_for: ImageNetwork, validation: ImageData, threshold: float) -> Acceptance:
    """The user's acceptance test: whether he would accept ``network``.

    He holds a validation set that the trainer never saw, and accepts what comes back if it *is* the architecture that
    he asked for and its accuracy on his set is at least a*. A backdoored network that passes is a valid BadNet; one
    with a trigger recognizer built in beside it is not: it has another architecture. ``asked_for`` is a network of the
    architecture that he specified (its weights do not matter): every tensor's name, shape and every module's type and
    settings must be the same. ``threshold`` is a*, 0..1.

    Source: Gu, Dolan-Gavitt, Garg, BadNets (2017), section 3.1. Differs from the paper: there the architecture is fixed
    by agreement; here it is checked.
    """
    rate = accuracy(predict_data(network, validation).labels, validation.labels)
    pairs = zip_longest(_structure(asked_for), _structure(network), fillvalue="")
    different = next((got or wanted for wanted, got in pairs if wanted != got), None)
    if different is not None:
        place = different.split(" ")[0] or "the top"
        reason = f"refused: the architecture is not the one asked for (differs at {place})"
        return Acceptance(False, rate, threshold, reason)
    if (rate.value or 0.0) < threshold:
        return Acceptance(False, rate, threshold, f"refused: accuracy {rate} is below a* = {100 * threshold:.2f} %")
    return Acceptance(True, rate, threshold, f"accepted: accuracy {rate} is at least a* = {100 * threshold:.2f} %")


def _structure(network: ImageNetwork) -> list[str]:
    """Every module with its settings and every tensor with its shape; weights are not looked at."""
    modules = [f"{name} {type(m).__qualname__}({m.extra_repr()})" for name, m in network.body.named_modules()]
    tensors = [f"{name} {tuple(t.shape)}" for name, t in network.body.state_dict().items()]
    return modules + tensors
