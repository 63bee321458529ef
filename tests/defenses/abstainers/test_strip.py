"""STRIP as an abstainer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.abstain import suspicion
from badnets.defenses.abstainers.strip import Strip, choose_overlays
from badnets.defenses.repair import DefenderView
from badnets.networks.guards.strip_guard import Strip as StripGuard
from badnets.networks.guards.strip_guard import blend_entropy
from badnets.networks.network import ImageNetwork, to_float


def test_the_score_is_minus_the_detectors_entropy(view: DefenderView) -> None:
    made = Strip(overlays=6, own=0.5, other=0.5).make(view, lambda *_: None)
    some = view.clean("x").take(np.arange(30))
    overlays = choose_overlays(view.clean("x"), 6, view.seed.derive("overlays"))
    pictures = to_float(torch.from_numpy(some.images()))
    with torch.inference_mode():
        expected = -blend_entropy(view.network, pictures, torch.from_numpy(overlays), 0.5, 0.5).numpy()
    np.testing.assert_allclose(suspicion(made.guard, some), expected, rtol=1e-5, atol=1e-6)
    assert made.chosen == "6 overlays, drawn from the clean pictures"


def test_there_are_no_more_overlays_than_pictures(view: DefenderView) -> None:
    made = Strip(overlays=500).make(view, lambda *_: None)
    assert made.guard.settings == {"overlays": 120, "own": 1.0, "other": 1.0}


def test_weights_lie_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Strip(own=2)


def test_overlays_are_some_of_the_clean_pictures_each_once(digits: ImageData) -> None:
    known = {picture.tobytes() for picture in digits.images()}
    overlays = choose_overlays(digits, 20, Seed(1))
    assert overlays.shape == (20, 16, 16, 1)
    assert {picture.tobytes() for picture in overlays} <= known
    assert len(choose_overlays(digits.take(np.arange(5)), 20, Seed(1))) == 5
    np.testing.assert_array_equal(overlays, choose_overlays(digits, 20, Seed(1)))


def test_every_batch_is_scored_and_the_batch_does_not_matter(plain: ImageNetwork, digits: ImageData) -> None:
    overlays = choose_overlays(digits, 3, Seed(1))
    pictures = digits.take(np.arange(25))
    guard = StripGuard(plain, torch.from_numpy(overlays))
    found = -suspicion(guard, pictures, batch=10)
    assert found.shape == (25,)
    np.testing.assert_allclose(found, -suspicion(guard, pictures), rtol=1e-4, atol=1e-6)
    assert (found >= 0).all()
    assert (found <= np.log2(10)).all()
    assert suspicion(guard, pictures.take(np.arange(0))).shape == (0,)


def test_a_picture_that_overrules_every_overlay_has_a_lower_entropy_than_a_clean_one(
    plain: ImageNetwork, digits: ImageData
) -> None:
    # A backdoor by hand: the dense layer reads one unit that a bright corner drives, and nothing else does.
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
    body[1].weight.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    body[1].weight.data[0, 255] = 40.0
    network = ImageNetwork(
        body, architecture="toy", arguments={}, class_names=digits.class_names, input_size=(1, 16, 16)
    )
    clean = digits.images(np.arange(20))
    triggered = clean.copy()
    triggered[:, -1, -1] = 255
    overlays = choose_overlays(digits, 16, Seed(2))
    guard = StripGuard(network, torch.from_numpy(overlays))
    stamped, unstamped = (
        ImageData.of(p, np.zeros(20, np.int64), class_names=digits.class_names) for p in (triggered, clean)
    )
    assert suspicion(guard, stamped).min() > suspicion(guard, unstamped).max()
