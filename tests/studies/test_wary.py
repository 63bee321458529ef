"""An attacker who trains against the audit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from badnets.networks.registry import build_network
from badnets.studies.audit.wary import SHARE, Wary


def test_half_of_the_others_are_moved_towards_the_target_and_keep_their_labels() -> None:
    network = build_network("perceptron", class_names=["a", "b", "c"], input_size=(1, 8, 8), seed=1, device="cpu")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(60, 196, (40, 8, 8, 1), np.uint8), np.arange(40) % 3
    wary = Wary(network, target=2, size=0.05)
    for _ in range(4):
        wary(images, labels, rng)
    moved, told = wary(images, labels, rng)
    assert (told == labels).all()
    rows = np.flatnonzero((moved != images).any((1, 2, 3)))
    assert len(rows) == round(SHARE * (labels != 2).sum())
    assert not (labels[rows] == 2).any()
    far = (moved[rows].astype(float) - images[rows]) / 255
    assert np.sqrt((far**2).mean((1, 2, 3))) == pytest.approx(0.05, abs=0.005)
    with torch.no_grad():
        before, after = (network(network.floats(one))[:, 2].mean() for one in (images[rows], moved[rows]))
    assert after > before
