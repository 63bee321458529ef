from __future__ import annotations

import pytest
import torch

from badnets.defenses.repair import DefenderView, repair
from badnets.defenses.repairs.i_bau import IBau, hypergradient


def test_the_hypergradient_of_a_quadratic() -> None:
    # inner(d) = (d - 3 w)^2, so d* = 3 w; outer(d) = d^2 + w d. At w = 2: d* = 6, outer = 9 w^2 + 3 w^2 = 12 w^2, whose
    # gradient is 48. The iteration with rate 0.1 contracts by 0.8: after k steps the missing share of the indirect
    # part, (2 d + w) * 3 = 42, is 0.8 ** k.
    weight = torch.tensor(2.0, requires_grad=True)
    value = torch.tensor(6.0)

    def inner(d: torch.Tensor) -> torch.Tensor:
        return (d - 3 * weight) ** 2

    def outer(d: torch.Tensor) -> torch.Tensor:
        return d**2 + weight * d

    for steps in (0, 1, 5, 200):
        (slope,) = hypergradient(value, [weight], inner, outer, steps=steps, rate=0.1)
        assert float(slope) == pytest.approx(6 + 42 * (1 - 0.8**steps), rel=1e-4)
    assert weight.grad is None


def test_a_weight_that_only_one_of_them_reads() -> None:
    one, two = torch.tensor(1.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    slopes = hypergradient(torch.tensor(0.5), [one, two], lambda d: d**2 * one, lambda d: d * two, steps=3, rate=0.1)
    assert float(slopes[1]) == pytest.approx(0.5)
    assert float(slopes[0]) < 0


def test_rounds_lower_the_harm_of_the_perturbation(view: DefenderView) -> None:
    done = repair(view, IBau(rounds=2, batch=40))
    assert [row["round"] for row in done.trace] == [1, 2]
    assert all(row["norm"] > 0 for row in done.trace)
    assert any(not torch.equal(a, b) for a, b in zip(view.network.parameters(), done.network.parameters(), strict=True))
