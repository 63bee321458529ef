"""Calibration: at most the stated share of clean pictures, by the rule for finite samples."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from badnets.core.errors import BadInput, CannotTell
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.abstain import CalibrationWarning, abstain, halves, suspicion, threshold_for
from badnets.defenses.abstainers.agreement import Agreement
from badnets.defenses.abstainers.refuse_class import RefuseClass
from badnets.defenses.abstainers.strip import Strip
from badnets.defenses.repair import DefenderView
from badnets.measures.classification import refused
from badnets.networks.inference import predict_data


def test_the_threshold_has_the_rank_that_keeps_the_share() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1, 200)).astype(np.float32)  # 1 .. 199
    assert threshold_for(scores, 0.01) == (198.0, None)  # 1 of 199 above; of 200 with a fresh one, 2: 1 %
    assert threshold_for(scores, 0.1) == (180.0, None)
    assert threshold_for(scores[:99], 0.01)[0] == scores[:99].max()  # exactly enough
    assert threshold_for(scores[:99], 0.01)[1] is None


def test_on_average_a_fresh_picture_is_refused_with_at_most_the_stated_probability() -> None:
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(2000):
        threshold, _ = threshold_for(rng.random(150).astype(np.float32), 0.05)
        shares.append(1 - threshold)  # the scores are uniform
    assert 0.045 < np.mean(shares) <= 0.05


def test_too_few_pictures_are_told_in_one_sentence() -> None:
    threshold, warning = threshold_for(np.arange(80, dtype=np.float32), 0.01)
    assert threshold == 79
    assert warning == (
        "expected at least 99 clean pictures to calibrate a share of 1 %, got 80; the threshold is their highest "
        "score, which refuses 1 of 81 on average"
    )
    with pytest.raises(BadInput, match="got none; pass --data"):
        threshold_for(np.zeros(0, np.float32), 0.01)


def test_half_of_the_pictures_makes_and_the_other_half_calibrates(digits: ImageData) -> None:
    making, calibrating = halves(digits, Seed(1))
    assert len(making) + len(calibrating) == len(digits)
    assert abs(len(making) - len(calibrating)) <= 10  # one picture a class
    rows = {picture.tobytes() for picture in making.images()}
    assert not any(picture.tobytes() in rows for picture in calibrating.images())


def test_one_picture_of_each_class_is_halved_too() -> None:
    data = ImageData.of(np.zeros((40, 4, 4, 1), np.uint8), np.arange(40), class_names=[f"p{n}" for n in range(40)])
    assert [len(half) for half in halves(data, Seed(1))] == [20, 20]


def test_a_guarded_network_refuses_what_scores_above_its_threshold(view: DefenderView, digits: ImageData) -> None:
    guarded = abstain(replace(view, data=digits), Strip(overlays=4), refuse=0.1)
    given = predict_data(guarded.network, digits).labels
    scores = suspicion(guarded.network.body, digits)  # type: ignore[arg-type]
    assert refused(given, 10) == Rate.of(scores > guarded.threshold)
    assert guarded.calibration == Rate(13, 148)  # above the rank ceil(149 * 0.9) = 135
    assert guarded.to_json()["calibration"]["total"] == 148
    assert guarded.network.provenance["guarded"] == guarded.method
    assert not torch.isinf(guarded.network.body.threshold)


def test_few_pictures_warn_and_say_so_in_the_result(view: DefenderView) -> None:
    with pytest.warns(CalibrationWarning, match="^strip: expected at least 99 clean pictures"):
        guarded = abstain(view, Strip(overlays=2), refuse=0.01)
    assert guarded.warning is not None
    assert guarded.calibration.hits == 0


def test_what_cannot_be_guarded_is_refused(view: DefenderView) -> None:
    with pytest.raises(BadInput, match="above 0 and below 1, got 1"):
        abstain(view, Strip(), refuse=1.0)
    once = abstain(view, RefuseClass(suspect=3))
    with pytest.raises(BadInput, match="always answers, got one that abstains"):
        abstain(replace(view, network=once.network), Strip())
    with pytest.raises(BadInput, match="at least 40 clean pictures, got 30"):
        abstain(replace(view, data=view.clean("x").take(np.arange(30))), Strip())
    with pytest.raises(BadInput, match="strip: expected clean data, got none"):
        abstain(replace(view, data=None), Strip())


def test_scores_that_are_no_numbers_are_refused(view: DefenderView) -> None:
    network = copy.deepcopy(view.network)
    network.body.get_submodule("fc2").weight.data.fill_(3e38)  # finite, but their sums are not
    with pytest.raises(CannotTell, match="strip: expected finite scores"):
        abstain(replace(view, network=network), Strip(overlays=2), refuse=0.1)


def test_the_views_network_is_left_alone(view: DefenderView) -> None:
    before = copy.deepcopy(view.network.state_dict())
    abstain(view, Agreement(repair="fine-tune", settings={"epochs": 1}), refuse=0.2)
    assert all(torch.equal(value, before[name]) for name, value in view.network.state_dict().items())
    assert not view.network.abstains
