"""The other detectors, against numbers worked out by hand and the published rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from badnets.audits.detector import Suspect
from badnets.audits.detectors.last_layer import LastLayer
from badnets.audits.detectors.margins import Margins, published_p
from badnets.audits.detectors.mask import Mask
from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.repair import DefenderView
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap

Make = Callable[..., ImageNetwork]


def suspect(network: ImageNetwork, data: ImageData | None = None) -> Suspect:
    return Suspect(DefenderView(network=network, data=data, seed=Seed(1)))


def test_the_largest_margin_of_a_linear_network(make_linear: Make) -> None:
    """Of K linear logits the margin is largest where each pixel is white or black; for two classes where it is the sign
    of the difference."""
    weight = make_linear().body.fc.weight.detach()[:2]  # type: ignore[union-attr,index,operator]
    two = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        two[1].weight.copy_(weight)
    network = wrap(two, class_names=["a", "b"], input_size=(1, 8, 8), mean=[0.0], std=[1.0])
    found = Margins(steps=80).margins(suspect(network))
    exact = float((weight[1] - weight[0]).clamp_min(0).sum())
    assert found[1] == pytest.approx(exact, rel=0.02)


def test_the_published_p_of_margins() -> None:
    usual = np.array([5.0, 5.4, 4.8, 5.1, 5.2, 4.9, 5.3, 5.05, 4.95])
    assert published_p(np.append(usual, 9.0)) < 0.05
    assert published_p(np.append(usual, 5.35)) > 0.3


def test_a_pixel_makes_masks_small(make_linear: Make, quarters: ImageData) -> None:
    sizes = Mask(steps=60).sizes(suspect(make_linear(trigger=(2, 8.0)), quarters))
    assert sizes.shape == (1, 4)
    assert int(sizes.argmin()) == 2
    assert np.exp(sizes[0, 2]) < 0.5 * np.exp(np.median(sizes))


def test_the_rows_of_the_last_layer() -> None:
    body = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    with torch.no_grad():
        body[1].weight.copy_(torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0], [-1, 1, -1, 1]]))
    network = wrap(body, class_names=list("abc"), input_size=(1, 2, 2), mean=[0.0], std=[1.0])
    spread = np.std([1.0] * 4 + [0.0] * 4 + [-1.0, 1, -1, 1])
    assert LastLayer().sizes(suspect(network))[0] == pytest.approx([-1 / spread, 0, 0])


def test_a_network_without_a_last_layer_is_refused() -> None:
    network = wrap(nn.Sequential(nn.Flatten()), class_names=list("abcd"), input_size=(1, 2, 2), mean=[0.0], std=[1.0])
    with pytest.raises(BadInput, match="one layer that gives the classes"):
        LastLayer().sizes(suspect(network))
