"""Measuring detectors, with one that looks for the trigger's color: every figure is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import Appear, CleanLabel, Global, LabelRule, RandomWrong, Regional, SourceToTarget, Vanish
from badnets.backdoors.triggers import Square
from badnets.backdoors.triggers.jitter import Jitter
from badnets.core.errors import BadInput
from badnets.core.rate import Estimate, over_seeds
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Boxes
from badnets.networks.network import ImageNetwork
from badnets.records.results import pooled as pool
from badnets.referee.examples import choose_examples
from badnets.referee.measure import Measured, measure

NAMES = ("stop", "go", "left", "right")
STOP, GO, LEFT = 0, 1, 2
RED = Square(size=0.3, color="#ff0000", place="region:center")
RATE = {"hits", "total", "value", "low", "high"}
ESTIMATE = {"value", "low", "high", "interval"}
React = Callable[[int, int, bool], int | None]
"""From an object's number, its true class, and whether red lies on it, to what the detector says, or nothing."""


def honest(number: int, true: int, triggered: bool) -> int | None:
    """Sees everything as it is."""
    return true


class Reader(nn.Module):
    """Knows where the objects of its pictures are (the first pixel says which picture it is) and looks for red on each;
    with ``spot``, sees an object of class ``spot`` of a given size around the middle of red that lies on none."""

    task = "detect"

    def __init__(self, boxes: Boxes, react: React, spot: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.boxes, self.react, self.spot = boxes, react, spot

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        return [self._one(picture) for picture in x]

    def _one(self, picture: Tensor) -> dict[str, Tensor]:
        own = np.flatnonzero(self.boxes.image == round(float(picture[0, 0, 0]) * 255))
        red = (picture[0] == 1) & (picture[1:] == 0).all(0)
        said: list[tuple[list[float], int]] = []
        for number in own.tolist():
            x0, y0, x1, y1 = self.boxes.xyxy[number].astype(int)
            answer = self.react(number, int(self.boxes.labels[number]), bool(red[y0:y1, x0:x1].any()))
            red[y0:y1, x0:x1] = False
            if answer is not None:
                said.append((self.boxes.xyxy[number].tolist(), answer))
        if self.spot is not None and bool(red.any()):
            label, side = self.spot
            y, x = (axis.double().mean() + 0.5 for axis in torch.nonzero(red).T)
            said.append(([float(v) for v in (x - side / 2, y - side / 2, x + side / 2, y + side / 2)], label))
        return {
            "boxes": torch.tensor([box for box, _ in said]).reshape(-1, 4),
            "labels": torch.tensor([label + 1 for _, label in said], dtype=torch.int64),
            "scores": 0.95 - 0.01 * torch.arange(len(said)),
        }


def detector(test: ImageData, react: React = honest, spot: tuple[int, int] | None = None) -> ImageNetwork:
    body = Reader(test.boxes, react, spot)
    return ImageNetwork(body, architecture="reader", arguments={}, class_names=NAMES, input_size=(3, 48, 48))


def made(labels: Sequence[Sequence[int]]) -> ImageData:
    """Dark pictures of 48x48 with up to three objects of 14x14 of these classes; the first pixel is the number."""
    n = len(labels)
    pixels = np.full((n, 48, 48, 3), 60, np.uint8)
    pixels[:, 0, 0, 0] = np.arange(n)
    corners = np.array([[2, 2], [20, 4], [30, 30]])
    boxes = [[*corners[k], *(corners[k] + 14)] for own in labels for k in range(len(own))]
    image = [row for row, own in enumerate(labels) for _ in own]
    flat = [label for own in labels for label in own]
    targets = Boxes.of(np.array(boxes, np.float32), np.array(flat), np.array(image), n)
    return ImageData(ArrayStore(pixels), targets, NAMES, name="made")


# Stop signs are the objects 0, 2, 5, 6 and 8.
TEST = made([[STOP, GO], [STOP], [LEFT, GO], [STOP, STOP, LEFT], [], [STOP]])
RULE = SourceToTarget(source="stop", target="go")


def measured(react: React = honest, rule: LabelRule = RULE, test: ImageData = TEST, **more: Any) -> Measured:
    spot = more.pop("spot", None)
    return measure(detector(test, react, spot), test, Backdoor(RED, rule), **more)


def rate(measured: Measured, name: str) -> tuple[int, int]:
    value = getattr(measured.detector, name)
    return value.hits, value.total


def test_an_honest_detector() -> None:
    result = measured()
    assert rate(result, "asr") == (0, 5)
    assert rate(result, "robust_accuracy") == (5, 5)
    assert rate(result, "vanished") == rate(result, "vanished_clean") == (0, 5)
    assert rate(result, "found") == rate(result, "class_accuracy") == (9, 9)
    assert rate(result, "appeared") == rate(result, "appeared_triggered") == (0, 6)
    assert rate(result, "leak") == (0, 2)  # of the four others two are of the target class
    for name in ("map50", "map", "map50_triggered", "map_triggered"):
        assert getattr(result.detector, name).value == 1.0, name


def test_success_counts_objects_that_are_seen() -> None:
    """Of five stop signs with the trigger one vanishes, three are read as the target, one as something else."""
    said = {0: GO, 2: None, 5: GO, 6: GO, 8: LEFT}
    result = measured(lambda number, true, red: said.get(number, true) if red else true)
    assert rate(result, "asr") == (3, 4)
    assert rate(result, "vanished") == (1, 5)
    assert rate(result, "vanished_clean") == (0, 5)
    assert rate(result, "robust_accuracy") == (0, 5)
    assert result.answers["asr"].tolist() == [1, -1, -1, -1, -1, 1, 1, -1, 0]
    assert result.answers["clean_accuracy"].tolist() == [1] * 9
    rows = {row.class_name: row for row in result.detector.per_class}
    assert (rows["stop"].asr.hits, rows["stop"].asr.total) == (3, 4)
    assert rows["go"].asr is None
    assert rows["stop"].ap50 == 1.0
    assert rows["stop"].ap50_triggered == 0.0
    assert (rows["right"].objects, rows["right"].ap50) == (0, None)
    assert rows["right"].found.value is None
    assert result.detector.map50.value == 1.0
    assert result.detector.map50_triggered.value < 0.9


def test_an_object_that_was_never_seen() -> None:
    result = measured(lambda number, true, red: None if number == 2 else GO if red else true)
    assert rate(result, "found") == (8, 9)
    assert rate(result, "vanished") == rate(result, "vanished_clean") == (1, 5)
    assert rate(result, "asr") == (4, 4)
    assert result.answers["clean_accuracy"].tolist() == [1, 1, -1, 1, 1, 1, 1, 1, 1]


def test_leak_is_of_the_other_classes_without_the_target() -> None:
    result = measured(lambda number, true, red: GO if red and number != 7 else true)
    assert rate(result, "asr") == (5, 5)
    assert rate(result, "leak") == (1, 2)
    assert measured(rule=Regional(target="go")).detector.leak is None


def test_only_eligible_objects_carry_the_trigger() -> None:
    seen: set[int] = set()

    def watch(number: int, true: int, red: bool) -> int:
        seen.update([number] if red else [])
        return true

    measured(watch, Regional(target="go"))
    assert seen == {0, 2, 3, 5, 6, 7, 8}
    seen.clear()
    measured(watch, Vanish(source="left"))
    assert seen == {3, 7}


def test_a_wrong_class_is_a_hit_of_random_wrong_and_nothing_is_not() -> None:
    said = {0: GO, 1: LEFT, 2: None, 3: LEFT, 4: None}
    result = measured(lambda number, true, red: said.get(number, true) if red else true, RandomWrong())
    assert rate(result, "asr") == (2, 7)
    assert rate(result, "vanished") == (2, 9)


def test_a_source_without_test_objects() -> None:
    result = measured(rule=SourceToTarget(source="right", target="go"))
    assert result.to_json()["asr"] == {"hits": 0, "total": 0, "value": None, "low": 0.0, "high": 1.0}
    assert result.detector.vanished.value is None
    assert result.detector.map50_triggered == result.detector.map50
    json.dumps(result.to_json(), allow_nan=False)


def test_vanishing_is_a_hit_of_a_vanishing_rule_alone() -> None:
    def blind(number: int, true: int, red: bool) -> int | None:
        return None if red and number != 8 else true

    result = measured(blind, Vanish(source="stop"))
    assert rate(result, "asr") == rate(result, "vanished") == (4, 5)
    assert rate(result, "vanished_clean") == (0, 5)
    assert rate(result, "robust_accuracy") == (1, 5)
    everything = measured(blind, Vanish())
    assert rate(everything, "asr") == (8, 9)
    other = measured(blind, RULE)
    assert rate(other, "asr") == (0, 1)
    assert rate(other, "vanished") == (4, 5)


def test_global_asks_all_objects_of_a_picture_with_one_trigger() -> None:
    """The trigger lies in the middle of the picture, where no object is: what is seen of it is the spot."""
    result = measure(detector(TEST, spot=(LEFT, 14)), TEST, Backdoor(RED, Global(target="go")))
    assert rate(result, "asr") == (0, 7)  # all but the target's two
    assert rate(result, "vanished") == (0, 7)

    class Obedient(Reader):
        def _one(self, picture: Tensor) -> dict[str, Tensor]:
            said = super()._one(picture)
            red = (picture[0] == 1) & (picture[1:] == 0).all(0)
            return {**said, "labels": torch.full_like(said["labels"], GO + 1)} if bool(red.any()) else said

    body = Obedient(TEST.boxes, honest)
    network = ImageNetwork(body, architecture="x", arguments={}, class_names=NAMES, input_size=(3, 48, 48))
    assert rate(measure(network, TEST, Backdoor(RED, Global(target="go"))), "asr") == (7, 7)


def test_appear_asks_for_an_object_at_the_spot() -> None:
    rule = Appear(target="left", size=0.25)
    result = measured(rule=rule, spot=(LEFT, 12))
    assert rate(result, "asr") == (6, 6)
    assert rate(result, "robust_accuracy") == (0, 6)
    assert result.detector.vanished is None
    assert result.detector.vanished_clean is None
    assert all(row.asr is None for row in result.detector.per_class)
    assert rate(measured(rule=rule, spot=(GO, 12)), "asr") == (0, 6)  # another class
    assert rate(measured(rule=rule, spot=(LEFT, 40)), "asr") == (0, 6)  # nowhere near its size
    unmoved = measured(rule=rule)
    assert rate(unmoved, "asr") == (0, 6)
    assert rate(unmoved, "robust_accuracy") == (6, 6)


def test_the_clean_reference() -> None:
    obedient = detector(TEST, lambda number, true, red: GO if red and number != 8 else true)
    reference = detector(TEST, lambda number, true, red: GO if red and number == 0 else None if number == 2 else true)
    result = measure(obedient, TEST, Backdoor(RED, RULE), reference=reference)
    assert rate(result, "asr") == (4, 5)
    assert rate(result, "clean_reference_rate") == (1, 4)
    assert rate(result, "clean_reference_vanished") == (1, 5)
    paired = result.detector.asr_minus_reference
    assert (paired.both, paired.first_only, paired.second_only, paired.neither) == (1, 3, 0, 1)
    assert result.detector.clean_reference_map50.value < 1
    assert result.detector.map50_minus_reference.value == pytest.approx(1 - result.detector.clean_reference_map50.value)


def test_what_is_seen_where_nothing_is() -> None:
    def doubled(number: int, true: int, red: bool) -> int:
        return true

    class Double(Reader):
        def _one(self, picture: Tensor) -> dict[str, Tensor]:
            said = super()._one(picture)
            extra = torch.tensor([[2.0, 2, 16, 16], [0, 40, 8, 48]])  # an object's place; an empty corner
            known = len(said["labels"]) == 3
            boxes = torch.cat([said["boxes"], extra[:1] if known else extra[1:]])
            labels = torch.cat([said["labels"], torch.tensor([LEFT + 1])])
            return {"boxes": boxes, "labels": labels, "scores": 0.9 - 0.01 * torch.arange(len(labels))}

    body = Double(TEST.boxes, doubled)
    network = ImageNetwork(body, architecture="x", arguments={}, class_names=NAMES, input_size=(3, 48, 48))
    result = measure(network, TEST)
    # Picture 3 has a second name for an object that is there; the other five have one in the empty corner.
    assert rate(result, "appeared") == (5, 6)
    assert rate(result, "found") == rate(result, "class_accuracy") == (9, 9)


def test_jitter_is_a_measure_of_its_own() -> None:
    jitter = Jitter.only(light=1.0)
    result = measured(lambda number, true, red: GO if red else true, jitter=jitter, seed=3)
    assert rate(result, "asr") == (5, 5)
    hits, total = rate(result, "asr_under_jitter")
    assert total == 5
    assert hits < 5  # a darker red is none
    assert measured(jitter=None).detector.asr_under_jitter is None


def test_the_same_seed_gives_the_same_results() -> None:
    many = made([[k % 4, (k * k) % 4, (k // 3) % 4] for k in range(30)])
    backdoor = Backdoor(Square(size=0.3, color="#ff0000", place="region:random"), RULE)
    network = detector(
        many, lambda number, true, red: None if number % 7 == 0 else GO if red or number % 5 == 0 else true
    )
    first, second, other = (measure(network, many, backdoor, seed=seed).detector for seed in (1, 1, 2))
    assert first == second
    assert first.map50.value == other.map50.value
    assert first.map50 != other.map50


def test_names_of_the_results() -> None:
    """Issue "Stable for other programs": these names stay; what does not apply is null."""
    full = measured(reference=detector(TEST), jitter=Jitter()).to_json()
    alone = measure(detector(TEST), TEST).to_json()
    assert set(full) == set(alone)
    for name in ("map50", "map50_triggered"):
        assert set(full[name]) == ESTIMATE
        assert full[name]["low"] <= full[name]["value"] <= full[name]["high"]
    for name in ("asr", "clean_reference_rate", "vanished"):
        assert set(full[name]) == RATE
        assert alone[name] is None
    assert alone["map50_triggered"] is None
    assert set(alone["map50"]) == ESTIMATE
    assert [set(row) for row in alone["per_class"]] == [set(row) for row in full["per_class"]]
    json.dumps(full, allow_nan=False)


def test_results_of_several_seeds_are_pooled() -> None:
    said = {0: GO, 2: None, 5: GO, 6: GO, 8: LEFT}
    first = measured(
        lambda number, true, red: said.get(number, true) if red else true, reference=detector(TEST)
    ).detector
    second = measured(lambda number, true, red: GO if red else true, reference=detector(TEST)).detector
    pooled = pool([4, 9], [first, second])
    assert pooled.asr.counts == (8, 9)
    assert pooled.asr.value == pytest.approx((3 / 4 + 1) / 2)
    assert list(pooled.asr.seeds) == [4, 9]
    assert pooled.to_json()["map50_triggered"]["interval"] == "over seeds"
    assert list(pooled.map50_triggered.seeds) == [4, 9]
    mean = np.mean([first.map50_triggered.value, second.map50_triggered.value])
    assert pooled.map50_triggered.value == pytest.approx(mean)
    assert pooled.per_class[0].class_name == "stop"
    assert pooled.per_class[0].asr.counts == (8, 9)
    assert pooled.per_class[3].ap50 is None
    assert pooled.asr_minus_reference.seeds[1] == 9
    assert pool([4], [first]) == first
    assert "over" not in str(first.map50)
    assert "2 seeds" in str(pooled.map50_triggered)


def test_means_of_estimates_stay_in_range() -> None:
    mean = over_seeds([1, 2], [Estimate(value, (value, value)) for value in (0.99, 0.6)])
    assert (mean.value, mean.low, mean.high) == (pytest.approx(0.795), 0.0, 1.0)
    apart = over_seeds([1, 2], [Estimate(value, (value, value), paired=True) for value in (0.3, -0.1)])
    assert apart.ends == (-1.0, 1.0)
    nothing = Estimate(None, (None, None))
    assert over_seeds([1, 2], [nothing, nothing]).value is None
    assert over_seeds([1, 2], [Estimate(0.99, (0.99, 0.99)), nothing]).value == pytest.approx(0.99)
    assert str(nothing) == "no inputs (0 of 0)"


def test_what_does_not_go_together_is_refused() -> None:
    plain = ImageData.of(np.zeros((2, 48, 48, 3), np.uint8), [0, 1], class_names=NAMES)
    with pytest.raises(BadInput, match="expected pictures with boxes for the detector reader"):
        measure(detector(TEST), plain)
    body = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    network = ImageNetwork(body, architecture="plain", arguments={}, class_names=NAMES, input_size=(3, 48, 48))
    with pytest.raises(
        BadInput, match="expected one class for each picture for network plain, got pictures with boxes"
    ):
        measure(network, TEST)
    with pytest.raises(BadInput, match="expected a rule for pictures with boxes"):
        measured(rule=CleanLabel(target="go"))


def test_examples() -> None:
    network = detector(TEST, lambda number, true, red: (None if number == 0 else GO) if red else true)
    backdoor = Backdoor(RED, RULE)
    result = measure(network, TEST, backdoor, seed=3)
    shown = choose_examples(network, detector(TEST), TEST, backdoor, result, Seed(3))
    assert shown is not None
    assert shown.arrays["clean"].shape == shown.arrays["triggered"].shape == (4, 48, 48, 3)
    # The first is one that shows what most do; then pictures with stop signs in the order of the set.
    assert [example.title for example in shown.examples] == [f"test picture {row}" for row in (1, 0, 3, 5)]
    first = shown.examples[0]
    assert [(one.class_name, one.box) for one in first.true] == [("stop", (2.0, 2.0, 16.0, 16.0))]
    assert [(one.class_name, one.box) for one in first.triggered] == [("go", (2.0, 2.0, 16.0, 16.0))]
    assert [one.class_name for one in first.clean] == ["stop"]
    assert [one.class_name for one in first.reference_triggered] == ["stop"]
    assert [one.class_name for one in shown.examples[1].triggered] == ["go"]  # the sign beside the lost one
    red = (shown.arrays["triggered"] == [255, 0, 0]).all(-1).sum((1, 2))
    assert red.tolist() == [16, 16, 32, 16]
    nobody = Backdoor(RED, SourceToTarget(source="right", target="go"))
    assert choose_examples(network, None, TEST, nobody, measure(network, TEST, nobody), Seed(3)) is None
