"""IBD-PSC as an abstainer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from badnets.core.errors import BadInput
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers.ibd_psc import IbdPsc
from badnets.defenses.detectors.ibd_psc import choose_depth, norm_layers
from badnets.defenses.view import DefenderView
from badnets.networks.network import ImageNetwork


def test_it_amplifies_from_the_depth_that_the_clean_error_chose(view: DefenderView, normed: ImageNetwork) -> None:
    seen = replace(view, network=normed)
    layers = norm_layers(normed)
    first, trace = choose_depth(normed, view.clean("x"), layers, factor=3.0, error=0.2)
    assert first is not None
    made = IbdPsc(factor=3.0, error=0.2, networks=2).make(seen, lambda *_: None)
    assert made.guard.settings == {"layers": layers, "first": first, "networks": 2, "factor": 3.0}
    assert list(made.trace) == trace
    assert made.chosen == "the depth, by clean error on 120 pictures"


def test_where_no_depth_does_it_takes_the_deepest_and_says_so(view: DefenderView, normed: ImageNetwork) -> None:
    made = IbdPsc(factor=1.0001, error=0.99, networks=3).make(replace(view, network=normed), lambda *_: None)
    assert made.guard.settings["first"] == 6
    assert made.chosen == "the deepest 3 (no depth exceeds 99 % clean error)"


def test_without_batch_normalization_it_says_what_else_to_use(view: DefenderView) -> None:
    with pytest.raises(BadInput, match="got g1-cnn without; use strip or agreement"):
        abstain(view, IbdPsc())
