"""The other detectors, against numbers worked out by hand and the published rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from badnets.audits.detector import MANY, Suspect
from badnets.audits.detectors.last_layer import LastLayer
from badnets.audits.detectors.margins import Margins
from badnets.audits.detectors.mask import Mask
from badnets.audits.detectors.patches import Patches, starts
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
    (found,) = np.exp(-Margins(steps=80).sizes(suspect(network)))
    exact = float((weight[1] - weight[0]).clamp_min(0).sum())
    assert found[1] == pytest.approx(exact, rel=0.02)


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


class Conjunction(nn.Module):
    """A linear network that says class 2 where four pixels are white together; each alone, or less bright, says
    nothing, and no gradient leads there."""

    def __init__(self, linear: ImageNetwork) -> None:
        super().__init__()
        self.linear = linear.body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (n, 1, 8, 8) to logits."""
        logits: torch.Tensor = self.linear(x)
        together = torch.relu(x[:, 0, 5:7, 5:7].sum((1, 2)) - 3.5) * 1000
        one = torch.zeros_like(logits)
        one[:, 2] = 1
        return logits + one * together[:, None]


def test_a_patch_that_no_gradient_leads_to_is_found(make_linear: Make, quarters: ImageData) -> None:
    clean = make_linear(3)
    network = wrap(Conjunction(clean), class_names=clean.class_names, input_size=(1, 8, 8), mean=[0.0], std=[1.0])
    usual, planted = (-Patches().sizes(suspect(one, quarters))[0] for one in (clean, network))
    assert usual.max() < 0  # no patch of two pixels a side leads half of the pictures anywhere
    assert int(planted.argmax()) == 2
    assert planted[2] > 2
    assert np.delete(planted, 2).max() < 0


def test_patches_lie_at_all_places_and_inside(make_linear: Make, quarters: ImageData) -> None:
    assert starts(28, 5, 3) == [0, 3, 6, 9, 12, 15, 18, 21, 23]
    assert starts(5, 5, 3) == [0]
    first, again = (Patches().sizes(suspect(make_linear(3), quarters)) for _ in range(2))
    assert (first == again).all()


def test_of_many_classes_the_mean_margin_after_a_few_steps_counts() -> None:
    """Of a linear network a step moves each pixel by the rate, uphill: the margin grows by that much of the slopes."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(16, MANY, bias=False))
    weight = 0.1 * torch.randn(MANY, 16, generator=torch.Generator().manual_seed(0))
    weight[50] = torch.linspace(-3, 3, 16)
    with torch.no_grad():
        body[1].weight.copy_(weight)
    names = [f"class {k}" for k in range(MANY)]
    network = wrap(body, class_names=names, input_size=(1, 4, 4), mean=[0.0], std=[1.0])
    method = Margins(early=2, early_starts=64, rate=0.01)
    sizes = method.sizes(suspect(network))
    assert sizes.shape == (1, MANY)
    assert int(sizes.argmin()) == 50
    before, after = -Margins(early=1, early_starts=64, rate=1e-9).sizes(suspect(network))[0, 50], -sizes[0, 50]
    assert after - before > 2 * 0.01 * 0.9 * np.abs(np.linspace(-3, 3, 16)).sum()  # the rivals fall besides
    assert method.passes(suspect(network)) == MANY * (8 + 64) * 2
