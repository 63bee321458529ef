"""What counts as a success, on hand-made predictions: docs/design.md, section 5."""

from __future__ import annotations

import numpy as np
import pytest

from badnets.backdoors.backdoor import Backdoor, success, triggered
from badnets.backdoors.rules import AllToAll, AllToOne, CleanLabel, LabelRule, RandomWrong, SourceToTarget
from badnets.backdoors.triggers import Pattern
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData

TRUE = np.array([0, 0, 1, 1, 2, 2, 2, 0])
SAID = np.array([0, 1, 1, 2, 1, 2, 0, 3])  # 3 is an abstention: there are three classes


@pytest.mark.parametrize(
    ("rule", "asr", "robust", "leak"),
    [
        # Eligible: the zeros and twos; answered 1: rows 1 and 4. Right: rows 0 and 5.
        (AllToOne(target=1), Rate(2, 6), Rate(2, 6), None),
        (CleanLabel(target=1), Rate(2, 6), Rate(2, 6), None),
        # Source 2 -> 1: row 4 of three; leak among the zeros (the ones are right when they say 1): row 1 of three.
        (SourceToTarget(source=2, target=1), Rate(1, 3), Rate(1, 3), Rate(1, 3)),
        # The next class: rows 1 (0->1), 3 (1->2), 6 (2->0); the abstention is no hit.
        (AllToAll(), Rate(3, 8), Rate(3, 8), None),
        # Wrong: rows 1, 3, 4, 6; the abstention of row 7 is neither a hit nor right.
        (RandomWrong(), Rate(4, 8), Rate(3, 8), None),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_by_hand(rule: LabelRule, asr: Rate, robust: Rate, leak: Rate | None) -> None:
    found = success(rule, SAID, TRUE, 3)
    assert (found.asr, found.robust_accuracy, found.leak) == (asr, robust, leak)
    assert Rate.of(found.hits[found.eligible]) == asr


@pytest.mark.parametrize("rule", [AllToOne(target=1), AllToAll(), RandomWrong()], ids=lambda rule: rule.kind)
@pytest.mark.parametrize("answer", [-1, 3])
def test_abstaining_is_neither_hit_nor_right(rule: LabelRule, answer: int) -> None:
    found = success(rule, np.full(8, answer), TRUE, 3)
    assert found.asr.hits == found.robust_accuracy.hits == 0


def test_nobody_eligible() -> None:
    found = success(SourceToTarget(source=2, target=1), np.array([1, 0]), np.array([1, 0]), 3)
    assert (found.asr, found.leak) == (Rate(0, 0), Rate(0, 1))
    assert found.asr.value is None


def test_triggered_pictures_do_not_depend_on_the_batch() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 1), np.uint8)
    data = ImageData.of(pixels, np.zeros(11, int), class_names=("a", "b"))
    backdoor = Backdoor(Pattern(place="random"), AllToOne(target=1))
    whole = list(triggered(data, backdoor, Seed(1)))
    parts = list(triggered(data, backdoor, Seed(1), batch=4))
    np.testing.assert_array_equal(whole[0][2], np.concatenate([marked for _, _, marked in parts]))
    np.testing.assert_array_equal(whole[0][1], pixels)
    assert (whole[0][2] != pixels).any()
