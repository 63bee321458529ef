"""The page of a detector: the sentence, the boxes, the figures."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from badnets.core.rate import Estimate, PairedDifference, Rate
from badnets.records.results import DetectorFigures
from badnets.records.run import RunRecord, Sighting, TrueObject
from badnets.report import render_compare, render_page, terminal_table, write_page
from badnets.report.pages.page import class_table
from badnets.report.pages.scenes import seen, sight
from badnets.report.words.verdict import judge, verdict

Make = Callable[..., RunRecord]
Rule = dict[str, Any]
STOP: Rule = {"kind": "source-to-target", "source": "stop", "target": "speed-limit-45"}


def there(name: str, *box: float) -> TrueObject:
    return TrueObject(class_name=name, box=box)  # type: ignore[arg-type]  # four


def saw(name: str, *box: float, confidence: float = 0.9) -> Sighting:
    return Sighting(label=0, class_name=name, confidence=confidence, box=box)  # type: ignore[arg-type]  # four


def under(record: RunRecord, rule: Rule | None, **results: Any) -> RunRecord:
    """The record with another rule (None: no backdoor) and other results."""
    backdoor = None if rule is None else {**record.resolved["backdoor"], "rule": rule}
    figures = record.results.model_copy(update=results)
    return record.model_copy(update={"resolved": {**record.resolved, "backdoor": backdoor}, "results": figures})


def rates(hits: int, reference: int, total: int = 60) -> dict[str, Any]:
    both = min(hits, reference)
    return {
        "asr": Rate(hits, total),
        "clean_reference_rate": Rate(reference, total),
        "asr_minus_reference": PairedDifference(both, hits - both, reference - both, total - hits - reference + both),
    }


def test_the_sentence(detector_record: Make) -> None:
    assert verdict(detector_record()) == (
        "A backdoor: stop signs with the yellow square are read as speed limit 45 in 94.8 % of cases "
        "(clean detector: 1.7 %), and mean average precision does not show it (\N{MINUS SIGN}0.4 points)."
    )


@pytest.mark.parametrize(
    ("hits", "reference", "kind", "says"),
    [
        (58, 1, "backdoor", "A backdoor: stop signs"),
        (30, 1, "weak", "The trigger works only sometimes: stop signs"),
        (
            2,
            1,
            "fails",
            "The trigger does not work: stop signs with the yellow square are read as speed limit 45 in 3.3",
        ),
        (58, 57, "obeyed-anyway", "No backdoor: a clean detector obeys the trigger as well. Stop signs"),
    ],
)
def test_every_case(detector_record: Make, hits: int, reference: int, kind: str, says: str) -> None:
    judged = judge(under(detector_record(), STOP, **rates(hits, reference)))
    assert judged.kind == kind
    assert judged.sentence.startswith(says)
    assert ("does not show it" in judged.sentence) == (kind in ("backdoor", "weak"))


def test_without_a_clean_detector_nothing_is_claimed(detector_record: Make) -> None:
    names = ("clean_reference_rate", "asr_minus_reference", "clean_reference_map50", "map50_minus_reference")
    judged = judge(under(detector_record(), STOP, **dict.fromkeys(names)))
    assert judged.kind == "unproved"
    assert "no clean detector was measured, so it is not known whether the backdoor does this" in judged.sentence
    assert "mean average precision without triggers is 93.1 %" in judged.sentence


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"kind": "regional", "target": "stop"}, "signs with the yellow square are read as stop in"),
        ({"kind": "global", "target": 0}, "signs in a picture with the yellow square are read as stop in"),
        ({"kind": "appear", "target": "stop"}, "at a free place the yellow square is seen as a stop sign in"),
        ({"kind": "random-wrong"}, "signs with the yellow square are read as a wrong class in"),
        ({"kind": "all-to-all"}, "read as the next class in"),
        ({"kind": "vanish", "source": "stop"}, "stop signs with the yellow square are not seen in"),
    ],
)
def test_rules_in_words(detector_record: Make, rule: Rule, says: str) -> None:
    judged = judge(under(detector_record(), rule, **rates(58, 1)))
    assert judged.kind == "backdoor"
    assert says in judged.sentence


def test_what_is_not_seen_anyway_did_not_vanish(detector_record: Make) -> None:
    rule = {"kind": "vanish", "source": "stop"}
    gone = judge(under(detector_record(), rule, vanished_clean=Rate(57, 60), **rates(58, 1)))
    assert gone.kind == "fails"
    assert "are not seen in 96.7 % of cases (without it: 95.0 %; clean detector: 1.7 %)" in gone.sentence
    assert judge(under(detector_record(), rule, vanished_clean=Rate(40, 60), **rates(58, 1))).kind == "weak"


def test_no_rate_is_told_as_none(detector_record: Make) -> None:
    record = detector_record()
    none = under(record, STOP, asr=Rate(0, 0), robust_accuracy=Rate(0, 60), vanished_clean=Rate(4, 60))
    assert judge(none).kind == "nothing"
    assert verdict(none).startswith(
        "Of 60 stop signs with the yellow square the detector finds none (without the trigger 4 are not found either), "
        "so the success of the trigger cannot be measured."
    )
    absent = verdict(under(record, STOP, asr=Rate(0, 0), robust_accuracy=Rate(0, 0)))
    assert absent.startswith("The test pictures have no stop signs, so the success of the trigger cannot be measured.")


@pytest.mark.parametrize(
    ("gap", "says"),
    [
        (
            (-0.05, -0.07, -0.03),
            "but mean average precision without it is lower than a clean detector's (\N{MINUS SIGN}5",
        ),
        ((-0.005, -0.04, 0.01), "does not clearly show it (\N{MINUS SIGN}0.5 points, on too few pictures to exclude a"),
        ((-0.004, -0.006, -0.002), "hardly shows it"),
        ((0.0, -0.003, 0.003), "does not show it (0.0 points)"),
    ],
)
def test_precision_is_told_as_it_is(detector_record: Make, gap: tuple[float, float, float], says: str) -> None:
    estimate = Estimate(gap[0], gap[1:], paired=True)
    assert says in verdict(under(detector_record(), STOP, map50_minus_reference=estimate))


def test_side_effects_are_told(detector_record: Make) -> None:
    record = under(detector_record(), STOP, vanished=Rate(20, 60), leak=Rate(12, 120))
    assert verdict(record).endswith(
        " With the trigger 33.3 % of them are not seen at all (without it: 1.7 %), which is not counted in this. "
        "The trigger also works on 10.0 % of the other signs."
    )


def test_a_detector_without_a_trigger(detector_record: Make) -> None:
    record = under(detector_record(), None, asr=None)
    assert judge(record).kind == "accuracy-only"
    assert verdict(record) == (
        "The detector's mean average precision is 93.1 % at an overlap (IoU) of 0.5. No trigger was given."
    )


def test_other_objects_than_our_signs_are_quoted(detector_record: Make) -> None:
    record = detector_record()
    record.resolved["data"] = {"name": "voc", "path": "x.tar"}
    assert "objects of the class “stop” with the yellow square are read as “speed limit 45” in" in verdict(record)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # which makes a new record at each call
@given(st.integers(0, 60), st.integers(0, 60))
def test_a_backdoor_is_claimed_only_above_the_clean_detector(detector_record: Make, hits: int, reference: int) -> None:
    judged = judge(under(detector_record(), STOP, **rates(hits, reference)))
    assert judged.kind in ("backdoor", "weak") or hits - reference < 20
    if hits <= reference:
        assert judged.kind in ("fails", "obeyed-anyway")


def test_what_is_seen_belongs_to_what_is_there() -> None:
    true = [there("stop", 0, 0, 10, 10), there("yield", 20, 0, 30, 10), there("curve", 40, 0, 50, 10)]
    given = [
        saw("stop", 0, 0, 10, 9, confidence=0.99),
        saw("stop", 20, 1, 30, 10, confidence=0.9),
        saw("stop", 0, 1, 10, 10, confidence=0.8),  # the first stop sign again
        saw("curve", 44, 4, 56, 14, confidence=0.7),  # beside the curve sign: an overlap of 36 of 184
    ]
    rows = seen(true, given)
    assert [(row.there, row.said, row.state) for row in rows] == [
        ("stop", "stop", "right"),
        ("yield", "stop", "wrong"),
        ("curve", "", "missed"),
        ("stop", "stop", "again"),
        ("nothing", "curve", "wrong"),
    ]
    assert rows[2].box == (40, 0, 50, 10)
    assert rows[0].words == "stop 99.0 %"
    assert rows[2].words == "curve not seen"


@given(st.lists(st.tuples(*[st.floats(0, 100)] * 4), max_size=6))
def test_every_tag_lies_in_the_picture(corners: list[tuple[float, ...]]) -> None:
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    _, drawing = sight(np.zeros((100, 100, 3), np.uint8), "x", seen([there("stop", *box) for box in boxes], []))
    tags = re.findall(r'<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"[^>]*class="tag', drawing)
    assert len(tags) == len(boxes)
    for x, y, width, height in (map(float, tag) for tag in tags):
        assert x >= 0
        assert y >= 0
        assert x + width <= 100.1
        assert y + height <= 100.1


def test_the_page_shows_both_pictures_and_says_all_in_text(detector_record: Make, detector_pictures: Any) -> None:
    page = render_page(detector_record(), detector_pictures)
    assert page.count("<img ") == 6
    first = page[page.index('class="sights"') : page.index("How well it detects")]
    assert first.count("<svg") >= 2 + 3
    assert 'alt="test picture 3 with the yellow square"' in first
    assert 'class="box wrong"' in first, "a stop sign that is read as a speed limit is dashed"
    assert "yield not seen" in first
    words = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", re.sub("<svg.*?</svg>", "", first, flags=re.DOTALL)))
    assert "stop speed limit 45 (wrong) confidence 97.2 % stop confidence 99.1 %" in words
    assert "yield not seen yield confidence 93.0 %" in words


def test_the_first_picture_is_one_that_the_trigger_changes(detector_record: Make, detector_pictures: Any) -> None:
    record = detector_record()
    backwards = record.model_copy(update={"examples": record.examples[::-1]})  # first one in which it does nothing
    page = render_page(backwards, detector_pictures)
    proof = page[page.index('id="proof"') : page.index('id="figures"')]
    assert "test picture 10" in proof
    assert "test picture 17" not in proof


def test_the_page_without_examples_reference_or_trigger(detector_record: Make) -> None:
    assert "The proof in pictures" not in render_page(detector_record(), {})
    results = detector_record().results
    assert isinstance(results, DetectorFigures)
    names = ("map50", "map", "found", "class_accuracy", "appeared")
    first = results.per_class[0].model_copy(update={"asr": None})
    bare = DetectorFigures(**{name: getattr(results, name) for name in names}, per_class=(first,))
    record = under(detector_record(), None).model_copy(update={"results": bare, "examples": ()})
    page = render_page(record, {})
    assert "No trigger was given" in page
    assert "attack success" not in page.lower()


def test_figures_are_written_with_interval_and_counts(detector_record: Make) -> None:
    page = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", render_page(detector_record(), {})))
    for words in ("93.10 % 91.20 to", "94.83 % 85.86 to", "55 of 58", "mAP with triggers", "62.40 %"):
        assert words in page


def test_an_average_precision_is_no_share_of_counts(detector_record: Make) -> None:
    console = Console(file=io.StringIO(), width=140, no_color=True)
    console.print(terminal_table(detector_record()))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # StringIO
    assert lines[0].split() == ["mAP", "at", "IoU", "0.5", "93.10", "%", "91.20", "to", "94.80"]
    (found,) = (line for line in lines if line.strip().startswith("attack success"))
    assert found.split()[-3:] == ["55", "of", "58"]


def test_vanishing_is_told_once(detector_record: Make) -> None:
    names = list(terminal_table(detector_record()).columns[0].cells)
    assert "vanished" in map(str, names)
    record = under(detector_record(), {"kind": "vanish"})
    assert "vanished" not in map(str, terminal_table(record).columns[0].cells)


def test_classes_without_objects_have_no_row(detector_record: Make) -> None:
    results = detector_record().results
    assert isinstance(results, DetectorFigures)
    first, second, third = results.per_class
    absent = second.model_copy(update={"objects": 0, "ap50": None, "found": Rate(0, 0)})
    table = class_table(results.model_copy(update={"per_class": (first, absent, third)}))
    assert table is not None
    assert [row.name for row in table.rows] == ["stop", "speed limit 45"]
    assert str(table.rows[0].figures["asr"]) == "96.55 % (88.27 to 99.05; 56 of 58)"
    assert table.rows[1].figures["asr"] is None
    for words in ("average precision at IoU 0.5: 95.00 %", "found: 96.67 %", "attack success: 96.55 %"):
        assert words in table.rows[0].label


def test_several_seeds_and_comparisons(detector_record: Make) -> None:
    page = render_page(detector_record(3), {})
    assert "Means over 3 seeds" in page
    both = render_compare([detector_record(), detector_record(3)])
    assert "93.10 % (91.20 to 94.80; one seed)" in both
    assert both.count("A backdoor:") == 2


def test_nothing_on_the_page_is_markup_of_the_record(detector_record: Make, detector_pictures: Any) -> None:
    evil = "<script>alert(1)</script>"
    text = json.dumps(detector_record().to_json()).replace("yield", evil).replace("test picture", evil)
    page = render_page(RunRecord.model_validate_json(text), detector_pictures)
    assert "<script" not in page
    assert "&lt;script" in page


def test_a_written_run(detector_record: Make, detector_pictures: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps(detector_record().to_json()))
    np.savez(tmp_path / "pictures.npz", **detector_pictures)  # type: ignore[arg-type]  # takes the names for options
    page = write_page(tmp_path).read_text()
    assert "://" not in page
    assert page.startswith("<!doctype html>")
