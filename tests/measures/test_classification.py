"""Figures from predictions: by hand, against scikit-learn, and as laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.measures.classification import accuracy, confusion, macro_f1, per_class, refused

TRUE = np.array([0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 1, 1, 2, 3])  # 3 is an abstention: there are three classes
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50)


def test_by_hand() -> None:
    assert accuracy(SAID, TRUE) == Rate(3, 6)
    assert confusion(SAID, TRUE, 3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    first, second, third = per_class(SAID, TRUE, ("a", "b", "c"))
    assert (first.n, first.recall, first.precision, first.f1) == (3, Rate(2, 3), Rate(2, 2), 0.8)
    assert (second.recall, second.precision, second.f1) == (Rate(1, 2), Rate(1, 2), 0.5)
    assert (third.recall, third.precision, third.f1) == (Rate(0, 1), Rate(0, 1), 0.0)
    assert macro_f1([first, second, third]) == pytest.approx(1.3 / 3)
    assert first.to_json()["class"] == "a"
    assert first.to_json()["accuracy"] == first.to_json()["recall"] == Rate(2, 3).to_json()


def test_a_class_without_anything() -> None:
    (_, figures) = per_class(np.array([0]), np.array([0]), ("a", "b"))
    assert (figures.n, figures.recall.value, figures.precision.value, figures.f1) == (0, None, None, None)
    assert macro_f1([figures]) is None


@given(PAIRS)
def test_as_scikit_learn_has_it(pairs: list[tuple[int, int]]) -> None:
    true, said = (np.array(values) for values in zip(*pairs, strict=True))
    np.testing.assert_array_equal(confusion(said, true, 4), metrics.confusion_matrix(true, said, labels=range(4)))
    figures = per_class(said, true, ("a", "b", "c", "d"))
    precision, recall, f1, n = metrics.precision_recall_fscore_support(true, said, labels=range(4), zero_division=0.0)
    assert [row.recall.value or 0 for row in figures] == pytest.approx(recall)
    assert [row.precision.value or 0 for row in figures] == pytest.approx(precision)
    assert [row.f1 or 0 for row in figures] == pytest.approx(f1)
    assert [row.n for row in figures] == n.tolist()
    assert accuracy(said, true).value == pytest.approx(metrics.accuracy_score(true, said))
    assert np.trace(confusion(said, true, 4)) == accuracy(said, true).hits


def test_one_prediction_for_each() -> None:
    for call in (lambda: accuracy(SAID[:2], TRUE), lambda: confusion(SAID[:2], TRUE, 3)):
        with pytest.raises(BadInput, match="one prediction for each"):
            call()


def test_refused_is_the_answer_behind_the_last_class() -> None:
    assert refused(np.array([0, 3, 2, 3]), 3) == Rate(2, 4)
