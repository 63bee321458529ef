"""STRIP as an abstainer."""

from __future__ import annotations

import numpy as np
import pytest

from badnets.defenses.abstain import suspicion_of
from badnets.defenses.abstainers.strip import Strip
from badnets.defenses.screens.strip import choose_overlays, entropies
from badnets.defenses.view import DefenderView


def test_the_score_is_minus_the_detectors_entropy(view: DefenderView) -> None:
    made = Strip(overlays=6, own=0.5, other=0.5).make(view, lambda *_: None)
    pictures = view.clean("x").images(np.arange(30))
    overlays = choose_overlays(view.clean("x"), 6, view.seed.derive("overlays"))
    expected = -entropies(view.network, pictures, overlays, own=0.5, other=0.5)
    np.testing.assert_allclose(suspicion_of(made.guard, pictures), expected, rtol=1e-5, atol=1e-6)
    assert made.chosen == "6 overlays, drawn from the clean pictures"


def test_there_are_no_more_overlays_than_pictures(view: DefenderView) -> None:
    made = Strip(overlays=500).make(view, lambda *_: None)
    assert made.guard.settings == {"overlays": 120, "own": 1.0, "other": 1.0}


def test_weights_lie_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Strip(own=2)
