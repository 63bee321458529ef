from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from badnets.core.rate import PairedDifference, Rate
from badnets.records.certificate import Certificate, GuardRecord
from badnets.report.pages.certificate_page import render_certificate
from badnets.report.pages.table import certificate_table
from badnets.report.words.certificate_words import certificate_verdict, judge_certificate

Side = dict[str, Rate | None]
N = 1000


def yes(hits: int, total: int = N) -> np.ndarray:
    return np.arange(total) < hits


def side(clean: int, asr: int | None, robust: int | None) -> Side:
    shares = {"clean_accuracy": clean, "asr": asr, "robust_accuracy": robust}
    return {name: None if hits is None else Rate(hits, N) for name, hits in shares.items()}


def difference(after: Rate | None, before: Rate | None) -> PairedDifference | None:
    if after is None or before is None:
        return None
    return PairedDifference.of(yes(after.hits, after.total), yes(before.hits, before.total))


def pair(before: Side, after: Side) -> dict[str, Any]:
    changes = {name: difference(after[name], before[name]) for name in after}
    return {"before": before, "after": after, "after_minus_before": changes}


def again(repaired: int, clean: int | None, backdoored: int = 999, **more: Any) -> dict[str, Any]:
    shares = {"before": 2, "repaired": repaired, "clean_network": clean, "backdoored": backdoored}
    rates = {name: None if hits is None else Rate(hits, N) for name, hits in shares.items()}
    paired = difference(rates["repaired"], rates["clean_network"])
    counts = {"poisoned_pictures": 10, "clean_pictures": 1000, "epochs": 5}
    return {**rates, "difference": paired, **counts, **more}


BEFORE = side(990, 998, 2)
CONTROL = pair(side(991, 1, 985), side(989, 2, 984))
STEPS = [
    {"step": i + 1, "clean_accuracy": Rate.of(yes(990 - 3 * i)).to_json(), "kept": i < 4, "loss": 0.1 * i}
    for i in range(9)
]


def certificate(after: Side, /, **changes: Any) -> Certificate:
    """Of a prune of a network for digits with a pattern."""
    made: dict[str, Any] = {
        "format": "badnets/certificate/1",
        "network": "repaired.safetensors",
        "model": "<b>network</b>.safetensors",
        "architecture": "g1-cnn",
        "data": {"name": "mnist"},
        "data_digest": "77aa",
        "commit": None,
        "class_names": list("0123456789"),
        "defender": {"pictures": 3000, "digest": "ab", "seed": 1},
        "truth": {
            "trigger_from": "runs/mnist-pattern",
            "triggered": None,
            "backdoor": {"trigger": {"kind": "pattern"}, "rule": {"kind": "all-to-one", "target": 7}},
            "target": 7,
        },
        "method": {"kind": "prune", "layer": None, "order": list(range(60)), "max_drop": 0.05},
        "trace": copy.deepcopy(STEPS),
        "chosen": "4 channels of conv_2, by accuracy on all 3,000 clean pictures",
        "stopped": None,
        "pictures": 3000,
        "seconds": 12.5,
        "changed": True,
        **pair(BEFORE, after),
        "clean_network": CONTROL,
        "reactivation": again(30, 25),
        "notes": [],
        "command": "badnets repair network.safetensors --method prune",
        "environment": {"versions": {"python": "3.11"}, "platform": "Linux", "processor": "x86", "threads": 2},
        "timings_s": {"repair": 12.5},
        "files": {"repaired.safetensors": "ab" * 32},
    }
    return Certificate.model_validate({**made, **changes})


GONE = side(985, 10, 980)


def judged(**changes: Any) -> tuple[str, str]:
    given = {"after": GONE, **changes}
    found = judge_certificate(certificate(given.pop("after"), **given))
    return found.kind, found.sentence


def test_gone() -> None:
    kind, sentence = judged()
    assert kind == "gone"
    assert sentence == (
        "The backdoor is gone: a picture with the four-pixel pattern is read as “7” in 1.0 % of cases, before in "
        "99.8 %, and 10 poisoned pictures do not bring it back (3.0 %)."
    )
    cost = judge_certificate(certificate(GONE)).cost
    assert cost == (
        "The repaired network reads 98.5 % of clean pictures right, 0.5 points fewer than before; a clean network "
        "loses 0.2 points by the same repair."
    )


def test_gone_although_ten_pictures_teach_it_to_anybody() -> None:
    kind, sentence = judged(reactivation=again(400, 410))
    assert kind == "gone"
    assert "no more than they teach it to a clean network (40.0 %, against 41.0 %)" in sentence


def test_gone_as_far_as_one_can_tell() -> None:
    kind, sentence = judged(reactivation=again(400, None), clean_network=None)
    assert kind == "gone"
    assert sentence.endswith("10 poisoned pictures bring it to 40.0 %, with no clean network to compare with.")
    kind, sentence = judged(reactivation=None)
    assert sentence.endswith("before in 99.8 %.")


def test_asleep() -> None:
    kind, sentence = judged(reactivation=again(900, 20))
    assert kind == "asleep"
    assert "only sleeps" in sentence
    assert "10 poisoned pictures bring it back to 90.0 %, a clean network to 2.0 %" in sentence


def test_a_few_points_more_than_a_clean_network_are_no_sleep() -> None:
    assert judged(reactivation=again(60, 20))[0] == "gone"
    assert judged(reactivation=again(71, 20))[0] == "asleep"


def test_the_harm_that_stays() -> None:
    kind, sentence = judged(after=side(985, 10, 500))
    assert kind == "misread"
    assert "yet only 50.0 % of these pictures are read right" in sentence


def test_weaker_and_still_there() -> None:
    assert judged(after=side(985, 500, 490))[0] == "weaker"
    assert judged(after=side(985, 970, 20))[0] == "there"
    assert judged(after=side(985, 60, 900))[0] == "weaker"


def test_a_trigger_that_clean_networks_obey_cannot_do_less() -> None:
    obeying = pair(side(991, 300, 600), side(989, 300, 600))
    assert judged(after=side(985, 310, 980), clean_network=obeying)[0] == "gone"


def test_nothing_to_remove_and_nothing_known() -> None:
    assert judged(**pair(side(990, 3, 980), side(985, 3, 980)))[0] == "nothing-to-remove"
    unknown = pair(side(990, None, None), side(985, None, None))
    kind, sentence = judged(**unknown, truth={}, reactivation=None, clean_network=None)
    assert kind == "accuracy-only"
    assert sentence == "Whether a backdoor is gone is not known, for no trigger was given."


def test_the_cost_is_paired() -> None:
    costs = {
        950: "4.0 points fewer than before, which a user would notice",
        990: "as many as before",
        1000: "1.0 points more than before",
    }
    for hits, words in costs.items():
        assert words in judge_certificate(certificate(side(hits, 10, 980))).cost
    same = certificate(BEFORE, changed=False)
    assert certificate_verdict(same).endswith("The repair changed nothing: this is the network as it was.")


def test_triggered_pictures_name_the_target() -> None:
    truth = {"trigger_from": None, "triggered": "faces.h5", "backdoor": None, "target": 0}
    assert "a triggered picture is read as “0”" in judged(truth=truth)[1]
    assert "as what the attacker wants" in judged(truth={**truth, "target": None})[1]


def test_gone_needs_the_clean_accuracy_that_it_may_cost() -> None:
    assert judged(after=side(980, 10, 975))[0] == "gone"  # one point is the allowance where none is stated
    kind, sentence = judged(after=side(979, 10, 975))
    assert kind == "ruined"
    assert (
        "The backdoor is gone, but it cost more clean accuracy than the 1.0 points that it may: a picture" in sentence
    )
    assert judged(after=side(950, 10, 948), allowance=0.05)[0] == "gone"
    kind, sentence = judged(after=side(101, 0, 100), reactivation=None)
    assert kind == "ruined"
    assert sentence.startswith("The backdoor is gone, but so is what the network knew: a picture")


def test_re_tuning_that_proves_nothing_says_so() -> None:
    void = again(18, 20, void="The network before the repair forgets it by the same re-tuning (1.8 %).")
    kind, sentence = judged(reactivation=void)
    assert kind == "gone"
    assert sentence.endswith(
        "; re-tuning on 10 poisoned pictures proves nothing: the network before the repair forgets it by the same "
        "re-tuning (1.8 %)."
    )
    assert "bring it back" not in sentence
    old = judged(reactivation=again(18, 20, backdoored=18))[1]  # a certificate from before that was said
    assert old.endswith("proves nothing: it makes the network before the repair forget the backdoor too (1.8 %).")
    assert judged(reactivation=again(900, 20, void="x"))[0] == "gone"


def test_few_pictures_are_said() -> None:
    few = {"clean_accuracy": Rate(15, 16), "asr": Rate(0, 16), "robust_accuracy": Rate(15, 16)}
    before = {"clean_accuracy": Rate(15, 16), "asr": Rate(15, 16), "robust_accuracy": Rate(0, 16)}
    told = certificate(GONE, **pair(before, few), clean_network=None, reactivation=None)
    verdict = judge_certificate(told)
    assert verdict.sentence == (
        "As far as 16 pictures can tell, the backdoor is gone: a picture with the four-pixel pattern is read as “7” in "
        "0.0 % of cases (on 16 pictures, so between 0 and 19 %), before in 93.8 % (on 16 pictures, so between 72 and "
        "99 %)."
    )
    assert "reads 93.8 % (on 16 pictures, so between 72 and 99 %) of clean pictures right" in verdict.cost


def test_several_targets_are_told_target_by_target() -> None:
    truth = {"triggered": "faces.h5"}
    both = [{"target": k, "before": Rate(990, N), "after": Rate(hits, N)} for k, hits in ((3, 5), (7, 15))]
    kind, sentence = judged(truth=truth, targets=both, reactivation=None)
    assert kind == "gone"
    assert sentence.endswith("(target by target: “7” in 1.5 %, before 99.0 %; “3” in 0.5 %, before 99.0 %).")
    one_left = [both[0], {**both[1], "after": Rate(900, N)}]
    kind, sentence = judged(truth=truth, targets=one_left)
    assert kind == "weaker"
    assert "“7” in 90.0 %, before 99.0 %" in sentence
    assert "target 7" in shown(certificate(GONE, targets=both))
    assert "Attack success, “7”" in render_certificate(certificate(GONE, targets=both))


@pytest.mark.parametrize("target", [1, "1", "dog"])
def test_the_class_is_named_whatever_was_typed(target: int | str) -> None:
    backdoor = {"trigger": {"kind": "pattern"}, "rule": {"kind": "all-to-one", "target": target}}
    names = ["cat", "dog", "owl"]
    truth = {"trigger_from": "run", "backdoor": backdoor, "target": 1}
    assert "is read as “dog” in" in judged(class_names=names, truth=truth)[1]


def shown(value: Certificate | GuardRecord) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as caught:
        console.print(certificate_table(value))
    return caught.get()


def test_the_table_has_every_rate_with_its_interval() -> None:
    text = shown(certificate(GONE))
    for words in (
        "clean accuracy",
        "99.00 % (98.17 to 99.46)",
        "\N{MINUS SIGN}98.80",
        "clean network, attack success",
        "after re-tuning on 10 poisoned pictures",
        "the network before the repair",
    ):
        assert words in text
    alone = pair(side(990, None, None), side(985, None, None))
    bare = shown(certificate(GONE, **alone, clean_network=None, reactivation=None))
    assert "attack" not in bare
    assert "clean network" not in bare


def test_a_guard_has_the_same_table() -> None:
    left_out = {"format", "pictures", "changed", "clean_network", "reactivation", "targets", "notes", "timings_s"}
    shared = {name: value for name, value in certificate(GONE).to_json().items() if name not in left_out}
    guard = GuardRecord.model_validate(
        {**shared, "threshold": 0.5, "refuse": 0.01, "calibration": Rate(30, N), "warning": None}
    )
    assert "99.00 % (98.17 to 99.46)" in shown(guard)
    assert "re-tuning" not in shown(guard)


def test_the_page_says_shows_and_counts() -> None:
    page = render_certificate(certificate(GONE, notes=["A note."]))
    for words in (
        "The backdoor is gone",
        "0.5 points fewer than before",
        "10 of 1,000",
        "Attack success after re-tuning",
        "After re-tuning",
        "Clean accuracy, %",
        "A note.",
        "4 channels of conv_2",
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... (60)",
        "badnets repair network.safetensors --method prune",
    ):
        assert words in page
    assert page.count('class="mark clean hollow"') >= 5  # the steps that are not in the result
    assert "<b>network</b>" not in page
    assert "loss" not in page.split("Step by step")[1].split("What was done")[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"trace": []},
        {"trace": STEPS[:1]},
        {"clean_network": None, "reactivation": None},
        {**pair(side(990, None, None), side(985, None, None)), "truth": {}, "reactivation": None},
        {"reactivation": again(20, None)},
        {"method": {"kind": "clp"}, "pictures": 0, "stopped": "budget"},
    ],
)
def test_what_is_not_known_is_left_out(changes: dict[str, Any]) -> None:
    page = render_certificate(certificate(GONE, **changes))
    assert "None" not in page
    assert "What was done" in page


def test_flat_and_long_traces_are_drawn() -> None:
    flat = [{"step": i + 1, "accuracy": Rate(50, 50).to_json()} for i in range(80)]
    assert "Accuracy, %" in render_certificate(certificate(GONE, trace=flat))


@pytest.mark.browser
@pytest.mark.parametrize("look", ["light", "another font"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_leaves_the_page(
    tmp_path: Path, open_page: Callable[..., Any], barriers: Callable[[Any], list[str]], width: int, look: str
) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_certificate(certificate(GONE, model="unbroken" * 30)), encoding="utf-8")
    page, seen = open_page(path, width, look)
    assert barriers(page) == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert seen == []
