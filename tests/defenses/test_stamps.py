"""The target "any class but the own"."""

from __future__ import annotations

import math

import pytest
import torch

from badnets.defenses.stamps import ANY, obeyed, towards


def test_towards_any_other_class_by_hand() -> None:
    # Chances 1/2, 1/4, 1/4: towards class 1 it costs ln 4; away from class 0 ln 2.
    logits = torch.tensor([[math.log(2), 0.0, 0.0]] * 2, requires_grad=True)
    losses = towards(logits, torch.tensor([1, ANY]), torch.tensor([0, 0]))
    assert losses.tolist() == pytest.approx([math.log(4), math.log(2)])
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(logits.grad).all()


def test_obeyed() -> None:
    answers, labels = torch.tensor([1, 1, 2]), torch.tensor([0, 1, 1])
    assert obeyed(answers, torch.tensor([1, ANY, ANY]), labels).tolist() == [True, False, True]
