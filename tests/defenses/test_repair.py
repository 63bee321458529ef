"""What ``repair`` keeps for every method, shown on one whose steps can be counted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass

from badnets.core.errors import BadInput, CannotTell
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import DefenderView, OutOfBudget, Work, duration, repair
from badnets.networks.network import ImageNetwork


@dataclass(frozen=True, kw_only=True)
class Count:
    """Three steps; each adds one to a bias, the second is not kept."""

    needs_data: ClassVar[bool] = True
    kind: Literal["count"] = "count"
    value: float = 1.0

    def repair(self, work: Work) -> str:
        bias = bias_of(work.network)
        for number in (1, 2, 3):
            with torch.no_grad():
                bias += self.value
            if number != 2:
                work.keep()
            work.row(number, 3, accuracy=work.accuracy(work.split(0.5)[1]))
        return "nothing"


def bias_of(network: ImageNetwork) -> torch.Tensor:
    bias = network.body.get_submodule("fc2").bias
    assert isinstance(bias, torch.Tensor)
    return bias


def same(first: ImageNetwork, second: ImageNetwork) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def interrupt(after: int) -> Callable[..., None]:
    def on_row(what: str, done: int, total: int, accuracy: float | None) -> None:
        if done == after:
            raise KeyboardInterrupt

    return on_row


def test_the_network_the_trace_and_the_settings(view: DefenderView) -> None:
    heard: list[tuple[str, int, int]] = []
    result = repair(view, Count(), on_row=lambda what, done, total, _: heard.append((what, done, total)))
    assert torch.equal(bias_of(result.network), bias_of(view.network) + 1 + 1 + 1)
    assert heard == [("count", 1, 3), ("count", 2, 3), ("count", 3, 3)]
    assert [row["step"] for row in result.trace] == [1, 2, 3]
    assert {"hits", "total", "value", "low", "high"} == set(result.trace[0]["accuracy"])
    assert (result.held_out, result.notes) == (57, ())
    assert repr(result) == (
        "Repaired(count, ImageNetwork(g1-cnn, 10 classes, 1x16x16), 3 steps, 120 pictures, 57 held out)"
    )
    assert (result.chosen, result.stopped, result.pictures) == ("nothing", None, 120)
    assert result.network.provenance["repaired"] == {"kind": "count", "value": 1.0}
    assert json.loads(json.dumps(result.to_json()))["method"]["kind"] == "count"
    assert "network" not in result.to_json()


def test_the_views_network_is_left_alone(view: DefenderView) -> None:
    before = {name: value.clone() for name, value in view.network.state_dict().items()}
    view.network.train()
    repair(view, Count())
    assert all(torch.equal(before[name], value) for name, value in view.network.state_dict().items())
    assert view.network.training


@pytest.mark.parametrize(("after", "steps"), [(1, 1), (2, 1), (3, 3)])
def test_ctrl_c_gives_what_was_kept_last(view: DefenderView, after: int, steps: int) -> None:
    result = repair(view, Count(), on_row=interrupt(after))
    assert (result.stopped, len(result.trace)) == ("interrupted", after)
    assert torch.allclose(bias_of(result.network), bias_of(view.network) + steps)
    assert "stopped after" in result.chosen


def test_ctrl_c_before_anything_was_kept_gives_the_network_as_it_was(view: DefenderView) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Stopped(Count):
        def repair(self, work: Work) -> str:
            with torch.no_grad():
                bias_of(work.network).zero_()
            raise KeyboardInterrupt

    assert same(repair(view, Stopped()).network, view.network)


def test_the_budget_ends_a_repair_after_the_step_in_which_it_is_spent(plain: ImageNetwork, view: DefenderView) -> None:
    result = repair(DefenderView(network=plain, data=view.data, budget_s=1e-9), Count())
    assert (result.stopped, len(result.trace)) == ("budget", 1)
    assert torch.equal(bias_of(result.network), bias_of(plain) + 1)


def test_nan_is_no_result(view: DefenderView) -> None:
    with pytest.raises(CannotTell, match="count: expected finite weights, got NaN or infinity; lower"):
        repair(view, Count(value=float("nan")))


def test_too_little_data_is_refused_before_the_method_begins(view: DefenderView, digits: ImageData) -> None:
    few = DefenderView(network=view.network, data=digits.take(np.arange(10)))
    with pytest.raises(BadInput, match="count: expected at least 20 clean pictures, got 10"):
        repair(few, Count())


class Clock:
    """A second passes at each look; from the look ``jumps`` on it is much later."""

    def __init__(self, jumps: int) -> None:
        self.looks, self.jumps = 0, jumps

    def __call__(self) -> float:
        self.looks += 1
        return self.looks + (1e6 if self.looks > self.jumps else 0)


def test_a_loop_ends_before_the_step_that_comes_too_late(view: DefenderView) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Loop(Count):
        def repair(self, work: Work) -> str:
            for _ in work.steps(range(100)):
                with torch.no_grad():
                    bias_of(work.network).add_(1)
                work.keep()
            return "all"

    budget = DefenderView(network=view.network, data=view.data, budget_s=1000)
    result = repair(budget, Loop(), clock=Clock(jumps=8))  # the first look is the beginning
    assert result.stopped == "budget"
    assert torch.equal(bias_of(result.network), bias_of(view.network) + 1 + 1 + 1 + 1 + 1 + 1 + 1)
    assert repair(budget, Loop(), clock=Clock(jumps=200)).stopped is None


def test_a_pass_over_many_pictures_ends_too(view: DefenderView, digits: ImageData) -> None:
    work = Work(
        DefenderView(network=view.network, data=digits, budget_s=1), view.network, "x", lambda *_: None, Clock(1)
    )
    assert work.accuracy(digits.take(np.arange(250))).total == 250
    with pytest.raises(OutOfBudget):
        work.accuracy(digits)


def test_a_choice_on_few_pictures_says_so(view: DefenderView, digits: ImageData) -> None:
    from badnets.defenses.repairs import make_repair

    few = DefenderView(network=view.network, data=digits.take(np.arange(20)))
    result = repair(few, make_repair("ft-sam", {"steps": 1}))
    held_out = result.held_out
    assert held_out is not None
    assert 5 <= held_out < 20
    (note,) = result.notes
    assert note.startswith(f"chosen on {held_out} pictures: one of them is ")
    assert result.chosen.endswith(note)
    assert repair(view, make_repair("fine-tune", {"epochs": 1})).notes == ()


def test_two_secrets_behind_one_view_give_the_same_bits(plain: ImageNetwork, view: DefenderView) -> None:
    from badnets.defenses.repairs import make_repair

    results = []
    for secret in ({"trigger": {"kind": "pattern"}, "target": 0}, {"trigger": {"kind": "blend"}, "target": 7}):
        torch.manual_seed(secret["target"])  # type: ignore[arg-type]  # whatever else happened before
        plain.provenance = {"backdoor": secret}
        same_view = DefenderView(network=plain, data=view.data, seed=Seed(5))
        results.append(repair(same_view, make_repair("fine-tune", {"epochs": 2})))
    assert same(results[0].network, results[1].network)
    assert results[0].trace == results[1].trace


def test_splits_are_seeded_and_hold_out_at_least_five(view: DefenderView, digits: ImageData) -> None:
    work = Work(view, view.network, "x", lambda *_: None)
    fit, held_out = work.split(0.2)
    assert len(fit) + len(held_out) == 120
    assert np.array_equal(held_out.images(), work.split(0.2)[1].images())
    one_of_each = digits.take(np.unique(digits.labels, return_index=True)[1])
    two = ImageData.of(
        np.concatenate([one_of_each.images()] * 2), np.tile(one_of_each.labels, 2), class_names=digits.class_names
    )
    assert min(map(len, Work(DefenderView(network=view.network, data=two), view.network, "x", print).split(0.01))) >= 5


def test_it_holds_nothing_that_leads_to_a_secret() -> None:
    assert {field.name for field in dataclasses.fields(DefenderView)} == {"network", "data", "seed", "budget_s"}


def test_clean_data_is_given_back_as_it_is(view: DefenderView) -> None:
    assert view.clean("x") is view.data


def test_pictures_of_another_size_are_refused(plain: ImageNetwork, digits: ImageData) -> None:
    with pytest.raises(BadInput, match=r"expected pictures of digits.* of 16x16x1, got 20x20x1"):
        DefenderView(network=plain, data=digits.resize((20, 20)))


def test_other_classes_are_refused(plain: ImageNetwork, digits: ImageData) -> None:
    other = ImageData.of(digits.images(), digits.labels, class_names=[f"sign {k}" for k in range(10)])
    with pytest.raises(BadInput, match=r"expected the network's 10 classes .* got 10 \(sign 0"):
        DefenderView(network=plain, data=other)


def test_damaged_weights_are_refused_by_name(plain: ImageNetwork) -> None:
    with torch.no_grad():
        plain.body.get_submodule("conv2").weight[0, 0, 0, 0] = np.nan  # type: ignore[operator,index]
    with pytest.raises(BadInput, match=r"expected finite weights, got NaN or infinity in 'conv2\.weight'"):
        DefenderView(network=plain)


def test_no_budget_of_zero_seconds(plain: ImageNetwork) -> None:
    with pytest.raises(BadInput, match="expected a budget above 0 seconds, got 0"):
        DefenderView(network=plain, budget_s=0)


def test_no_data_ten_pictures_and_one_class_are_too_little(plain: ImageNetwork, digits: ImageData) -> None:
    with pytest.raises(BadInput, match="prune: expected clean data, got none; pass --data"):
        DefenderView(network=plain).clean("prune")
    ten = DefenderView(network=plain, data=digits.take(np.arange(10)))
    with pytest.raises(BadInput, match="prune: expected at least 20 clean pictures, got 10 in digits"):
        ten.clean("prune")
    assert len(ten.clean("prune", fewest=10)) == 10
    threes = DefenderView(network=plain, data=digits.take(np.flatnonzero(digits.labels == 3)))
    with pytest.raises(BadInput, match="expected clean pictures of at least 2 classes, got only '3'"):
        threes.clean("prune")


class Slow:
    """A clock that goes on by ``seconds`` at each look."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(
    ("seconds", "budget", "said"),
    [
        (10, None, "count: about 30 s in all"),
        (100, None, "count: about 5 min in all"),
        (10, 20, "count: about 30 s in all; the budget ends it after 20 s"),
        (0.5, None, None),
    ],
)
def test_it_says_once_how_long_it_will_take(
    view: DefenderView, seconds: float, budget: float | None, said: str | None
) -> None:
    heard: list[str] = []
    repair(replace(view, budget_s=budget), Count(), clock=Slow(seconds), say=heard.append)
    assert heard == ([] if said is None else [said])


def test_a_part_of_the_work_is_no_more(view: DefenderView) -> None:
    heard: list[str] = []
    work = Work(view, view.network, "w", lambda *_: None, Slow(10), say=heard.append)
    work.part(0.5, 1.0)
    work.row(1, 2)
    work.part(0.0, 1.0)
    work.row(1, 2)
    assert heard == ["w: about 13 s in all"]
    assert duration(30_000) == "8.3 h"
