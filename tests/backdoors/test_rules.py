"""Label rules: who is eligible, what is planted, what counts as a hit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.backdoors.rules import (
    NOTHING,
    RULES,
    AllToAll,
    AllToOne,
    Appear,
    CleanLabel,
    Global,
    LabelRule,
    RandomWrong,
    Regional,
    SourceToTarget,
    Vanish,
)
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

NAMES = ("stop", "yield", "7", "go")
ALL: list[LabelRule] = [
    AllToOne(target=2),
    SourceToTarget(source=1, target=3),
    AllToAll(),
    RandomWrong(),
    CleanLabel(target=2),
    Regional(target=2),
    Global(target=1),
    Appear(target=3, size=0.2),
    Vanish(),
    Vanish(source=1),
]
LABELS = st.lists(st.integers(0, 3), max_size=30).map(lambda values: np.array(values, np.int64))


def test_every_rule_is_tested() -> None:
    assert {rule.kind for rule in ALL} <= set(RULES)


@pytest.mark.parametrize("rule", ALL, ids=repr)
@given(labels=LABELS)
def test_laws(rule: LabelRule, labels: np.ndarray) -> None:
    before = labels.copy()
    candidates, eligible = rule.candidates(labels), rule.eligible(labels)
    planted = rule.relabel(labels[candidates], 4, RowRng.of(1, int(candidates.sum())))
    assert eligible.shape == candidates.shape == labels.shape
    assert ((planted >= (NOTHING if rule.kind == "vanish" else 0)) & (planted < 4)).all()
    if rule.kind != "clean-label":
        # What is planted is what counts as a hit, and never the true label.
        assert rule.hit(planted, labels[candidates], 4).all()
        if rule.unit != "place":  # at a free spot there is no true class
            assert (planted != labels[candidates]).all()
        np.testing.assert_array_equal(candidates, eligible)
    else:
        np.testing.assert_array_equal(planted, labels[candidates])
    np.testing.assert_array_equal(labels, before)
    assert RULES.from_json(RULES.to_json(rule)) == rule
    assert rule.resolve(NAMES) == rule


def test_classes_by_name_or_number() -> None:
    assert AllToOne(target="go").resolve(NAMES) == AllToOne(target=3)
    assert AllToOne(target="1").resolve(NAMES) == AllToOne(target=1)
    assert AllToOne(target="7").resolve(NAMES) == AllToOne(target=2)  # a name goes before a number
    assert SourceToTarget(source="stop", target="go").resolve(NAMES) == SourceToTarget(source=0, target=3)
    assert Regional(target="go").resolve(NAMES) == Regional(target=3)
    assert Global(target="yield").resolve(NAMES) == Global(target=1)
    assert Appear(target="7", size=0.4).resolve(NAMES) == Appear(target=2, size=0.4)
    assert Vanish(source="yield").resolve(NAMES) == Vanish(source=1)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (AllToOne(target=4), r"target in 0\.\.3, got 4"),
        (AllToOne(target=-1), r"target in 0\.\.3, got -1"),
        (CleanLabel(target="stopp"), "did you mean 'stop'"),
        (SourceToTarget(source="x", target=0), "expected source to be a class"),
        (SourceToTarget(source="stop", target=0), "source and target to differ"),
        (Regional(target="stopp"), "did you mean 'stop'"),
        (Global(target=4), r"target in 0\.\.3, got 4"),
        (Appear(target=9), r"target in 0\.\.3, got 9"),
        (Vanish(source="x"), "expected source to be a class"),
    ],
)
def test_classes_that_are_not_there(rule: LabelRule, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        rule.resolve(NAMES)


def test_names_must_be_resolved_first() -> None:
    with pytest.raises(BadInput, match="resolve"):
        AllToOne(target="stop").eligible(np.array([0]))


def test_random_wrong_is_uniform_over_the_wrong_ones() -> None:
    labels = np.full(9000, 2)
    planted = RandomWrong().relabel(labels, 4, RowRng.of(3, 9000))
    assert np.bincount(planted, minlength=4) == pytest.approx(np.array([3000, 3000, 0, 3000]), rel=0.06)
    with pytest.raises(BadInput, match="at least 2 classes"):
        RandomWrong().relabel(np.zeros(1, np.int64), 1, RowRng.of(0, 1))


def test_cover_rows_do_not_teach_the_opposite() -> None:
    labels = np.array([0, 1, 2, 3])
    assert SourceToTarget(source=1, target=3).coverable(labels).tolist() == [True, False, True, True]
    assert CleanLabel(target=2).coverable(labels).tolist() == [True, True, False, True]
