"""Networks that end in a softmax keep their own probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from badnets.networks.architecture import ARCHITECTURES, Architecture
from badnets.networks.files.foreign import open_foreign
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import predict
from badnets.networks.network import LogProbabilities, kind_of_outputs
from badnets.networks.registry import build_network, wrap

NAMES = ["a", "b", "c"]


def linear(classes: int, input_size: tuple[int, int, int], *, end: str = "softmax") -> nn.Module:
    """A third party's network, with what ``end`` says at its end."""
    c, h, w = input_size
    ends = {"softmax": nn.Softmax(1), "log": nn.LogSoftmax(1), "sigmoid": nn.Sigmoid(), "none": nn.Identity()}
    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, classes), ends[end])


ENDING = Architecture(name="ending", summary="for a test", build=linear)


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ending`` is an architecture that somebody registered."""
    monkeypatch.setitem(ARCHITECTURES._added, "ending", ENDING)


@pytest.mark.parametrize(
    ("end", "kind"),
    [("softmax", "probabilities"), ("log", "log-probabilities"), ("sigmoid", "logits"), ("none", "logits")],
)
@pytest.mark.usefixtures("declared")
def test_ends_are_recognized(end: str, kind: str) -> None:
    network = build_network("ending", class_names=NAMES, input_size=(1, 4, 4), seed=0, arguments={"end": end})
    network.train()
    assert kind_of_outputs(network) == kind
    assert network.training


def test_the_logarithm_is_finite_and_its_softmax_the_probabilities() -> None:
    class Given(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    given = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    logits = LogProbabilities(Given())(given)
    assert logits.isfinite().all()
    assert torch.allclose(logits.softmax(1), given, atol=1e-6)


@pytest.mark.usefixtures("declared")
def test_confidences_are_the_networks_own_also_after_saving(tmp_path: Path) -> None:
    body = linear(3, (1, 4, 4)).eval()
    save_file(body.state_dict(), tmp_path / "theirs.safetensors")
    network = open_foreign(tmp_path / "theirs.safetensors", arch="ending", input_size=(1, 4, 4), input_range="0-1")
    assert network.architecture == "logits-of:ending"
    assert network.provenance["outputs"] == "probabilities"
    pictures = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
    own = body(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255).max(1).values.detach().numpy()
    save_network(network, tmp_path / "ours.safetensors")
    for opened in (network, open_network(tmp_path / "ours.safetensors")):
        assert np.allclose(predict(opened, pictures).confidence, own, atol=1e-6)


def test_log_softmax_is_fine_as_it_is() -> None:
    module = linear(3, (1, 4, 4), end="log")
    assert wrap(module, class_names=NAMES, input_size=(1, 4, 4)).body is module


def test_a_wrapped_softmax_is_followed_by_the_logarithm() -> None:
    module = linear(3, (1, 4, 4)).eval()
    network = wrap(module, class_names=NAMES, input_size=(1, 4, 4))
    pictures = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert network.architecture == "logits-of:custom"
    assert torch.allclose(network(pictures).softmax(1), module(pictures))
