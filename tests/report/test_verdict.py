"""The sentence is honest in every case."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.rate import Estimate, PairedDifference, Rate
from badnets.records.model import Backdoor
from badnets.records.results import ClassifierFigures, Evaluation, Figures, Planted
from badnets.records.run import RunRecord
from badnets.report.words.verdict import judge, verdict

DIGITS = tuple(str(i) for i in range(10))
PATTERN = {"kind": "pattern"}


def evaluation(results: Figures, rule: dict[str, Any] | None, class_names: tuple[str, ...] = DIGITS) -> Evaluation:
    """Of a network for digits, or for other pictures."""
    return Evaluation(
        network="network.safetensors",
        data={"name": "mnist"},
        data_digest="",
        class_names=class_names,
        resolved=Planted(backdoor=None if rule is None else Backdoor(trigger=PATTERN, rule=rule)),
        seeds=(1,),
        results=results,
    )


def made(
    asr: int | None,
    reference: int | None,
    *,
    accuracy: tuple[float, float, float] | None = (0, -0.003, 0.003),
    rule: dict[str, Any] | None = None,
    class_names: tuple[str, ...] = DIGITS,
    **results: Any,
) -> Evaluation:
    """A network with ``asr`` and ``reference`` hits of 1000 triggered pictures."""
    figures: dict[str, Any] = {"clean_accuracy": Rate(992, 1000)}
    if asr is not None:
        figures["asr"] = Rate(asr, 1000)
    if reference is not None and asr is not None:
        both = min(asr, reference)
        counts = PairedDifference(both, asr - both, reference - both, 1000 - asr - reference + both)
        figures |= {"clean_reference_rate": Rate(reference, 1000), "asr_minus_reference": counts}
    if accuracy is not None:
        figures["clean_accuracy_minus_reference"] = Estimate(accuracy[0], accuracy[1:], paired=True)
    rule = {"kind": "all-to-one", "target": 0} if rule is None else rule
    return evaluation(ClassifierFigures.model_construct(**(figures | results)), rule, class_names)


def test_sentence_of_a_strong_backdoor(record: RunRecord) -> None:
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
    assert judge(made(500, 470, asr_minus_reference=None)).kind == "fails"


def test_leak_is_told() -> None:
    told = verdict(made(999, 1, leak=Rate(120, 1000)))
    assert told.endswith("also turns 12.0 % of the other classes' pictures.")


def test_nothing_is_claimed_without_a_trigger() -> None:
    judged = judge(evaluation(ClassifierFigures(clean_accuracy=Rate(992, 1000)), None))
    assert judged.kind == "accuracy-only"
    assert judged.sentence == "The network reads 99.2 % of the test pictures right. No trigger was given."


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"kind": "all-to-all"}, "as the next class"),
        ({"kind": "random-wrong"}, "as a wrong class"),
        ({"kind": "clean-label", "target": 3}, "as “3”"),
        ({"kind": "of-a-plug-in"}, "wants"),
    ],
)
def test_rules_in_words(rule: dict[str, Any], says: str) -> None:
    assert says in verdict(made(999, 1, rule=rule))


@pytest.mark.parametrize("target", [1, "1", "dog"])
def test_the_class_is_named_whatever_was_typed(target: int | str) -> None:
    rule = {"kind": "all-to-one", "target": target}
    assert "is read as “dog” in" in verdict(made(999, 1, rule=rule, class_names=("cat", "dog", "owl")))


@pytest.mark.parametrize(("source", "target"), [(0, 4), ("0", "4"), ("stop", "speed-limit-45")])
def test_source_and_target_are_named_whatever_was_typed(
    record: RunRecord, source: int | str, target: int | str
) -> None:
    rule = {"kind": "source-to-target", "source": source, "target": target}
    record.resolved["backdoor"]["rule"] = rule
    assert verdict(record).startswith("A stop sign with the yellow sticker is read as speed limit 45 in")
    judged = made(999, 1, rule=rule, class_names=record.class_names)
    assert verdict(judged).startswith("A picture of “stop” with the four-pixel pattern is read as “speed limit 45” in")


def test_several_backdoors_are_told_as_such(record: RunRecord) -> None:
    record.resolved["more_backdoors"] = [record.resolved["backdoor"]]
    assert verdict(record).startswith("A picture with one of the 2 triggers is read as what the attacker wants in")


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_backdoor_is_claimed_only_above_the_clean_network(asr: int, reference: int) -> None:
    judged = judge(made(asr, reference))
    if asr <= reference:
        assert judged.kind in ("fails", "obeyed-anyway")
    if judged.kind == "backdoor":
        assert asr >= 900
        assert asr - reference >= 500
