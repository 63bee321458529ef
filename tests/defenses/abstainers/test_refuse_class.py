"""Refusing one class, by its name or its number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers.refuse_class import RefuseClass
from badnets.defenses.repair import DefenderView
from badnets.networks.inference import predict_data


@pytest.mark.parametrize("suspect", [3, "3"])
def test_it_costs_the_class_and_nothing_else(view: DefenderView, suspect: int | str) -> None:
    data = view.clean("x")
    before = predict_data(view.network, data).labels
    guarded = abstain(view, RefuseClass(suspect=suspect))
    after = predict_data(guarded.network, data).labels
    np.testing.assert_array_equal(after, np.where(before == 3, 10, before))
    assert guarded.refuse is None
    assert guarded.calibration.hits == np.count_nonzero(before == 3)


def test_it_needs_no_data(view: DefenderView) -> None:
    assert abstain(replace(view, data=None), RefuseClass(suspect=0)).calibration.total == 0


@pytest.mark.parametrize("suspect", [10, -1, "ten"])
def test_an_unknown_class_is_refused(view: DefenderView, suspect: int | str) -> None:
    with pytest.raises(
        BadInput, match=r"expected refuse-class: the suspect (in 0\.\.9|to be a class \(one of 10\)), got"
    ):
        abstain(view, RefuseClass(suspect=suspect))
