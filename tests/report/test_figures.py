"""Drawings: where the marks stand, and what a screen reader is told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.backdoors.rules import RULES, Spoken
from badnets.backdoors.triggers import TRIGGERS
from badnets.backdoors.triggers.color import color_word
from badnets.core.rate import Estimate, Rate
from badnets.core.text import gap, points, tenths
from badnets.records.model import Epoch, Training
from badnets.report.charts.figures import Mark, bars, difference_track, span, track
from badnets.report.charts.lines import training_figures
from badnets.report.charts.maps import description, heat_map, largest_confusions
from badnets.report.charts.svg import nice_ticks
from badnets.report.words.names import Nouns, trigger_words

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel


def test_a_dot_stands_at_its_value_with_its_interval() -> None:
    drawn = track([Mark("attack success", "triggered", Rate(50, 100))])
    assert 'x="50%"' in drawn
    assert re.search(r'x1="40\.38%" x2="59\.62%"', drawn)
    assert "attack success: 50.00 % (40.38 to 59.62; 50 of 100)" in drawn


def test_clean_and_triggered_differ_in_shape_not_only_in_color() -> None:
    rate = Rate(1, 2)
    assert "<circle" in track([Mark("a", "clean", rate)])
    assert "<circle" not in bars([Mark("a", "triggered", rate)], title="t")
    assert "hollow" in track([Mark("a", "clean", rate, hollow=True)])


def test_difference_has_its_zero_in_the_middle() -> None:
    difference = Estimate(0.0, (-0.004, 0.004), paired=True)
    assert span(difference) == 0.01
    assert 'x1="30%" x2="70%"' in difference_track(Mark("clean accuracy", "clean", difference))


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_differences_always_fit(value: float, down: float, up: float) -> None:
    difference = Estimate(value, (max(-1, value - down), min(1, value + up)), paired=True)
    drawn = difference_track(Mark("d", "clean", difference))
    assert all(0 <= float(x) <= 100 for x in re.findall(r'x[12]?="(-?[\d.]+)%"', drawn))


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1e3))
def test_ticks_hold_the_data(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width)
    assert ticks[0] <= low + width * 1e-6
    assert ticks[-1] >= low + width - width * 1e-6
    assert 2 <= len(ticks) <= 8


def test_confusion_matrix_names_its_largest_confusions() -> None:
    counts = [[1, 159, 0], [0, 160, 0], [2, 0, 158]]
    names = ["stop", "yield", "school"]
    assert largest_confusions(counts, names) == ["stop → yield: 159 of 160", "school → stop: 2 of 160"]
    assert description(counts, names).startswith("319 of 480 pictures")
    drawn = heat_map(counts, names, "triggered", "Confusion")
    assert drawn.count('class="triggered"') == 5  # cells without a picture are left empty
    assert ">159</text>" in drawn


def test_training_curves_end_where_the_training_ended() -> None:
    epochs = tuple(Epoch(epoch=e, loss=1 / e, seconds=0.1) for e in range(1, 1001))
    training = [Training(seed=1, network="backdoored", epochs=epochs)]
    ((title, drawn),) = training_figures(training)
    assert title == "Training loss"  # of accuracy there is none
    points = re.search(r'<path d="M([^"]*)"', drawn)
    assert points is not None
    assert len(points[1].split("L")) <= 202
    assert points[1].endswith("L328 173.84")  # 0.001 of 160 units above the bottom of the frame
    assert "backdoored, seed 1 ends at 0.001" in drawn
    assert training_figures([Training(seed=1, network="clean", epochs=())]) == []


def test_numbers_never_round_to_certainty() -> None:
    assert [tenths(v) for v in (1, 0.9999, 0.9996, 0.994, 0.0001, 0)] == [
        "100.0",
        "99.99",
        "99.96",
        "99.4",
        "0.01",
        "0.0",
    ]
    assert [points(v) for v in (0.0005, -0.0005, 0, -1e-9)] == ["+0.05", "\u22120.05", "0.00", "0.00"]

    assert [gap(v, sign=True) for v in (0.0042, -0.0004, 0.0)] == ["+0.4", "\u22120.04", "0.0"]


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ({"kind": "picture"}, "the yellow sticker"),
        ({"kind": "picture", "path": "bomb.png", "png": PNG}, "the picture “bomb.png”"),
        ({"kind": "picture", "png": PNG}, "a pasted picture"),
        ({"kind": "picture", "path": "gone.png"}, "the picture trigger"),
        ({"kind": "square", "color": [255, 221, 51]}, "the yellow square"),
        ({"kind": "square", "color": "#ff0000"}, "the red square"),
        ({"kind": "pixel"}, "the single pixel"),
        ({"kind": "blend"}, "the blended noise"),
        ({"kind": "blend", "png": PNG}, "the blended picture"),
        ({"kind": "somebody-elses"}, "the somebody elses trigger"),
    ],
)
def test_triggers_in_words(trigger: dict[str, object], words: str) -> None:
    assert trigger_words(trigger) == words
    assert trigger_words() == "the trigger"
    assert color_word(250) == "white"


@pytest.mark.parametrize("kind", TRIGGERS)
def test_every_trigger_brings_its_words(kind: str) -> None:
    assert re.fullmatch("the [a-z -]+", trigger_words({"kind": kind}))


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_brings_its_words(kind: str) -> None:
    needs = {"source": 0, "target": 1} if kind == "source-to-target" else {}
    nouns = Nouns(class_names=("cat", "dog"), signs=False, objects=True, trigger="a hat", rule=Spoken())
    told = RULES.from_json({"kind": kind, **needs}).sentence(nouns)
    assert "a hat" in told
    assert "what the attacker wants" not in told
