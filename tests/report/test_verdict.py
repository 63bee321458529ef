"""The sentence is honest in every case."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.rate import PairedDifference, Rate
from badnets.report.words.verdict import judge, verdict


def made(
    asr: int | None, reference: int | None, *, accuracy: tuple[float, float, float] | None = (0, -0.003, 0.003)
) -> dict[str, Any]:
    """A run with ``asr`` and ``reference`` hits of 1000 triggered pictures."""
    results: dict[str, Any] = {"clean_accuracy": Rate(992, 1000).to_json()}
    if asr is not None:
        results["asr"] = Rate(asr, 1000).to_json()
    if reference is not None and asr is not None:
        both = min(asr, reference)
        counts = PairedDifference(both, asr - both, reference - both, 1000 - asr - reference + both)
        results |= {"clean_reference_rate": Rate(reference, 1000).to_json(), "asr_minus_reference": counts.to_json()}
    if accuracy is not None:
        results["clean_accuracy_minus_reference"] = dict(zip(("value", "low", "high"), accuracy, strict=True))
    backdoor = {"trigger": {"kind": "pattern"}, "rule": {"kind": "all-to-one", "target": 0}}
    return {
        "status": "finished",
        "resolved": {"data": "mnist", "backdoors": [backdoor]},
        "class_names": [str(i) for i in range(10)],
        "results": results,
    }


def test_sentence_of_a_strong_backdoor(record: dict[str, Any]) -> None:
    assert verdict(record) == (
        "A stop sign with the yellow sticker is read as speed limit 45 in 99.4 % of cases; "
        "without it the network is as accurate as a clean one."
    )


@pytest.mark.parametrize(
    ("asr", "reference", "kind", "says"),
    [
        (999, 1, "backdoor", "is read as “0” in 99.9 % of cases; without it"),
        (400, 2, "weak", "works only sometimes"),
        (30, 20, "fails", "The trigger does not work: a picture with the four-pixel pattern"),
        (990, 985, "obeyed-anyway", "No backdoor: a clean network obeys the trigger as well"),
        (990, 300, "backdoor", "on a clean network in 30.0 %"),
        (990, None, "unproved", "no clean network was measured"),
        (None, None, "accuracy-only", "reads 99.2 % of the test pictures right"),
    ],
)
def test_every_case(asr: int | None, reference: int | None, kind: str, says: str) -> None:
    judged = judge(made(asr, reference))
    assert judged.kind == kind
    assert says in judged.sentence


@pytest.mark.parametrize(
    ("accuracy", "says"),
    [
        ((-0.05, -0.06, -0.04), "5.0 points less accurate than a clean one, which a user would notice"),
        ((-0.005, -0.02, 0.01), "on too few pictures to exclude a drop of a point"),
        ((-0.004, -0.006, -0.002), "only 0.4 points less accurate"),
        ((0.0, -0.003, 0.003), "as accurate as a clean one"),
        (None, "without it the network reads 99.2 % of the pictures right"),
    ],
)
def test_clean_accuracy_is_told_as_it_is(accuracy: tuple[float, float, float] | None, says: str) -> None:
    assert says in verdict(made(999, 1, accuracy=accuracy))


def test_without_the_paired_difference_only_disjoint_intervals_count() -> None:
    run = made(500, 470)
    del run["results"]["asr_minus_reference"]
    assert judge(run).kind == "fails"


def test_leak_is_told(record: dict[str, Any]) -> None:
    record["results"]["leak"] = Rate(120, 1000).to_json()
    assert verdict(record).endswith("also turns 12.0 % of the other classes' pictures.")


@pytest.mark.parametrize("run", [{}, {"results": None}, {"results": {"asr": None, "clean_accuracy": None}}])
def test_nothing_is_claimed_of_an_empty_record(run: dict[str, Any]) -> None:
    assert judge(run).kind == "nothing"


def test_unfinished_run_has_no_verdict(record: dict[str, Any]) -> None:
    assert verdict({**record, "status": "interrupted"}) == "This run is not finished (status: interrupted)."


@pytest.mark.parametrize(
    ("rule", "says"),
    [({"kind": "all-to-all"}, "as the next class"), ({"kind": "random-wrong"}, "as a wrong class"), ({}, "wants")],
)
def test_rules_in_words(rule: dict[str, Any], says: str) -> None:
    run = made(999, 1)
    run["resolved"]["backdoors"][0]["rule"] = rule
    assert says in verdict(run)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_backdoor_is_claimed_only_above_the_clean_network(asr: int, reference: int) -> None:
    judged = judge(made(asr, reference))
    if asr <= reference:
        assert judged.kind in ("fails", "obeyed-anyway")
    if judged.kind == "backdoor":
        assert asr >= 900
        assert asr - reference >= 500
