"""Accuracy, confusion, and figures per class, from predictions alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
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
        recall, precision = Rate(hits, n), Rate(hits, answers)
        row = ClassFigures(class_name=name, n=n, accuracy=recall, recall=recall, precision=precision, f1=f1)
        rows.append(row)
    return tuple(rows)


def macro_f1(figures: Sequence[ClassFigures]) -> float | None:
    """The plain mean of the F1 of the classes that have one."""
    values = [row.f1 for row in figures if row.f1 is not None]
    return float(np.mean(values)) if values else None


def _check(predicted: Classes, true: Classes) -> None:
    if predicted.shape != true.shape:
        raise BadInput(f"expected one prediction for each label, got {predicted.shape} and {true.shape}")
