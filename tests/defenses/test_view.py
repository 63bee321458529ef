from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.defenses.view import DefenderView
from badnets.networks.network import ImageNetwork


def test_it_holds_nothing_that_leads_to_a_secret() -> None:
    assert {field.name for field in dataclasses.fields(DefenderView)} == {"network", "data", "seed", "budget_s"}


def test_clean_data_is_given_back_as_it_is(view: DefenderView) -> None:
    assert view.clean("x") is view.data


def test_pictures_of_another_size_are_refused(plain: ImageNetwork, digits: ImageData) -> None:
    with pytest.raises(BadInput, match=r"expected pictures of digits.* of 16x16x1, got 20x20x1"):
        DefenderView(network=plain, data=digits.resize((20, 20)))


def test_other_classes_are_refused(plain: ImageNetwork, digits: ImageData) -> None:
    other = ImageData.of(digits.images(), digits.labels, class_names=[f"sign {k}" for k in range(10)])
    with pytest.raises(BadInput, match=r"expected the network's 10 classes .* got 10 \(sign 0"):
        DefenderView(network=plain, data=other)


def test_damaged_weights_are_refused_by_name(plain: ImageNetwork) -> None:
    with torch.no_grad():
        plain.body.get_submodule("conv2").weight[0, 0, 0, 0] = np.nan  # type: ignore[operator,index]
    with pytest.raises(BadInput, match=r"expected finite weights, got NaN or infinity in 'conv2\.weight'"):
        DefenderView(network=plain)


def test_no_budget_of_zero_seconds(plain: ImageNetwork) -> None:
    with pytest.raises(BadInput, match="expected a budget above 0 seconds, got 0"):
        DefenderView(network=plain, budget_s=0)


def test_no_data_ten_pictures_and_one_class_are_too_little(plain: ImageNetwork, digits: ImageData) -> None:
    with pytest.raises(BadInput, match="prune: expected clean data, got none; pass --data"):
        DefenderView(network=plain).clean("prune")
    ten = DefenderView(network=plain, data=digits.take(np.arange(10)))
    with pytest.raises(BadInput, match="prune: expected at least 20 clean pictures, got 10 in digits"):
        ten.clean("prune")
    assert len(ten.clean("prune", fewest=10)) == 10
    threes = DefenderView(network=plain, data=digits.take(np.flatnonzero(digits.labels == 3)))
    with pytest.raises(BadInput, match="expected clean pictures of at least 2 classes, got only '3'"):
        threes.clean("prune")
