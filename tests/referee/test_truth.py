from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToOne
from badnets.backdoors.triggers.square import Square
from badnets.core.seed import Seed
from badnets.data.images import ImageData, Splits
from badnets.data.splits import draw
from badnets.networks.network import ImageNetwork
from badnets.referee.measure import measure
from badnets.referee.truth import Answers, KnownTrigger, NothingKnown, TriggeredPictures, whole

CLASSES = ("a", "b", "c")


def pictures(n: int = 60) -> ImageData:
    rng = np.random.default_rng(0)
    return ImageData.of(rng.integers(0, 200, (n, 8, 8, 1), dtype=np.uint8), np.arange(n) % 3, class_names=CLASSES)


def network(bias: tuple[float, ...] = (0.0, 0.0, 0.0)) -> ImageNetwork:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, len(bias)))
    with torch.no_grad():
        body[1].bias.copy_(torch.tensor(bias))
    return ImageNetwork(body, architecture="toy", arguments={}, class_names=CLASSES, input_size=(1, 8, 8)).eval()


def test_answers_as_rates_and_as_paired_differences() -> None:
    yes, no = np.array([True, True, False, True]), np.array([True, False, False, False])
    after = Answers(right=no, hits=no[:3], robust=None, refused=yes)
    shown = after.standing.to_json()
    assert list(shown)[:4] == ["clean_accuracy", "asr", "robust_accuracy", "refused"]
    assert (shown["refused_triggered"], shown["refused_or_right"]) == (None, None)
    assert (shown["asr"]["hits"], shown["asr"]["total"], shown["robust_accuracy"]) == (1, 3, None)
    assert shown["refused"]["hits"] == 3
    difference = after.minus(Answers(right=yes, hits=yes[:3]))
    assert difference.clean_accuracy.value == -0.5
    assert difference.asr.second_only == 1
    assert difference.robust_accuracy is None


def test_a_known_trigger_is_measured_as_evaluate_does() -> None:
    data = pictures()
    backdoor = Backdoor(Square(size=3, color=255), AllToOne(target="b"))
    truth = KnownTrigger(backdoor=backdoor, seed=Seed(3))
    shown = truth.measure(network(), data).standing.to_json()
    expected = measure(network(), data, backdoor, seed=Seed(3)).to_json()
    assert {name: expected[name] for name in shown} == shown
    assert truth.hits(network(), data).sum() == shown["asr"]["hits"]


def test_poisons_are_made_as_the_attack_makes_them() -> None:
    truth = KnownTrigger(backdoor=Backdoor(Square(size=3, color=255), AllToOne(target="b")), seed=Seed(3))
    pool = pictures()
    poisons = truth.poisons(pool, 10, Seed(1))
    assert len(poisons) == 10
    assert set(poisons.labels) == {1}
    assert (poisons.images()[:, -3:, -3:] == 255).any(axis=(1, 2, 3)).all()
    assert np.array_equal(poisons.images(), truth.poisons(pool, 10, Seed(1)).images())
    targets = pool.take(np.flatnonzero(pool.labels == 1))
    assert len(truth.poisons(targets, 10, Seed(1))) == 0
    assert len(truth.poisons(pool.take(np.arange(4)), 10, Seed(1))) == 3


def test_triggered_pictures_for_tuning_are_not_measured_on() -> None:
    marked = ImageData.of(pictures(9).images(), np.zeros(9, int), class_names=CLASSES)
    truth = TriggeredPictures(pictures=marked)
    poisons = truth.poisons(pictures(), 100, Seed(1))
    assert np.array_equal(poisons.images(), marked.images()[::2])
    assert len(truth.hits(network(), pictures())) == 4
    answers = truth.measure(network((9.0, 0.0, 0.0)), pictures())
    assert (answers.hits.all(), len(answers.hits), answers.robust) == (True, 9, None)
    assert answers.right.sum() == 20


def test_without_a_truth_there_is_accuracy_alone() -> None:
    answers = NothingKnown().measure(network((0.0, 9.0, 0.0)), pictures()).standing.to_json()
    assert answers["clean_accuracy"]["hits"] == 20
    assert (answers["asr"], answers["robust_accuracy"]) == (None, None)
    assert len(NothingKnown().poisons(pictures(), 10, Seed(1))) == 0


def test_every_class_is_drawn_as_often_as_it_is_there() -> None:
    data = ImageData.of(np.zeros((100, 4, 4), np.uint8), np.repeat([0, 1, 2], [60, 30, 10]))
    rows = draw(data, 20, Seed(1))
    counts = np.bincount(data.labels[rows])
    assert len(rows) == 20
    assert np.abs(counts - [12, 6, 2]).max() <= 1
    assert np.array_equal(rows, draw(data, 20, Seed(1)))
    assert not np.array_equal(rows, draw(data, 20, Seed(2)))
    assert np.array_equal(draw(data, 100, Seed(1)), np.arange(100))


def test_all_pictures_of_a_source() -> None:
    data = pictures(10)
    parts = [data.take(np.arange(*ends)) for ends in ((0, 5), (7, 10), (5, 7))]
    together = whole(Splits(*parts))
    assert np.array_equal(together.images(), data.images())
    assert np.array_equal(together.labels, data.labels)
    empty = data.take(np.zeros(0, np.int64))
    assert whole(Splits(data, empty, empty)) is data


@pytest.mark.parametrize("truth", [NothingKnown(), TriggeredPictures(pictures=pictures(8))])
def test_refusals_are_told_of_networks_that_abstain_only(truth: NothingKnown | TriggeredPictures) -> None:
    data = pictures()
    assert truth.measure(network(), data).refused is None
    refusing = network((0.0, 0.0, 0.0, 99.0))
    refusing.body.abstains = True  # type: ignore[assignment]  # as a guard says of itself
    answers = truth.measure(refusing, data)
    assert answers.refused.all()
    assert not answers.right.any()
