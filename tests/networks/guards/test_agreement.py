"""Agreement of two networks, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from badnets.networks.guards.agreement import Agreement
from badnets.networks.network import ImageNetwork

Linear = Callable[..., ImageNetwork]
PICTURES = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2)


def test_hard_agreement_refuses_where_the_answers_differ(linear: Linear) -> None:
    original = linear([1.0, 0.0], [0.0, 1.0])  # answers 0, 1
    copy = linear([1.0, 5.0], [0.0, 1.0])  # answers 0, 0
    given = Agreement(original, copy, hard=True)(PICTURES)
    assert given.argmax(1).tolist() == [0, 2]


def test_the_soft_score_is_the_copys_doubt_in_the_originals_answer(linear: Linear) -> None:
    original = linear([1.0, 0.0], [0.0, 1.0])
    copy = linear([0.0, 0.0], [0.0, 0.0], bias=[math.log(3), 0.0])  # 3/4 and 1/4, whatever it sees
    guard = Agreement(original, copy)
    assert guard.scores(PICTURES).tolist() == pytest.approx([-math.log(3 / 4), -math.log(1 / 4)])
    guard.threshold.fill_(-math.log(0.5))  # at least half
    assert guard(PICTURES).argmax(1).tolist() == [0, 2]


def test_a_copy_that_obeys_too_gains_nothing(linear: Linear) -> None:
    original = linear([1.0, 0.0], [0.0, 1.0])
    guard = Agreement(original, original, hard=True)
    assert guard(PICTURES).argmax(1).tolist() == [0, 1]
