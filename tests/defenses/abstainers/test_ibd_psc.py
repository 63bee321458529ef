"""IBD-PSC as an abstainer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from badnets.core.errors import BadInput
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers.ibd_psc import IbdPsc
from badnets.defenses.screens.ibd_psc import choose_depth, norm_layers
from badnets.defenses.view import DefenderView
from badnets.networks.network import ImageNetwork


def test_it_amplifies_from_the_depth_that_the_clean_error_chose(view: DefenderView, normed: ImageNetwork) -> None:
    seen = replace(view, network=normed)
    layers = norm_layers(normed)
    found = choose_depth(normed, view.clean("x"), layers, factor=3.0, error=0.2)
    made = IbdPsc(factor=3.0, error=0.2, networks=2).make(seen, lambda *_: None)
    expected = {"layers": layers, "first": found.depth, "networks": 2, "factor": found.factor}
    assert made.guard.settings == expected
    assert made.trace == found.trace
    assert (
        made.chosen == f"the depth, {found.depth}, and the factor, {found.factor:.3g}, by clean error on 120 pictures"
    )


def test_without_batch_normalization_it_says_what_else_to_use(view: DefenderView) -> None:
    with pytest.raises(BadInput, match="got g1-cnn without; use strip or agreement"):
        abstain(view, IbdPsc())
