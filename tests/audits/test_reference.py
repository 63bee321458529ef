"""What may be a reference: a network of the same kind, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import badnets as bn
from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork

Make = Callable[..., ImageNetwork]


def test_a_network_and_itself_are_no_references(make_linear: Make, quarters: ImageData) -> None:
    clean = [make_linear(seed) for seed in range(1, 20)]
    suspect = make_linear(50, trigger=(2, 3.0))
    found = bn.audit(suspect, quarters, [suspect, *clean, clean[3]])
    assert (found.verdict, found.n_references) == ("backdoored", 19)
    left = [note for note in found.notes if "left out" in note]
    assert len(left) == 2
    assert "reference 1 is left out: its weights are those of the network itself" in left[0]
    assert "reference 21 is left out: its weights are those of reference 5" in left[1]
    copies = bn.audit(make_linear(50), quarters, [clean[0]] * 20)
    assert copies.verdict == "cannot-tell"
    assert "1 references that fit" in copies.reason


def test_wider_networks_are_no_references(quarters: ImageData) -> None:
    def perceptron(width: int) -> ImageNetwork:
        given = {"class_names": quarters.class_names, "input_size": (1, 8, 8), "seed": width}
        return bn.build_network("perceptron", **given, arguments={"width": width})  # type: ignore[arg-type]

    with pytest.raises(BadInput, match="reference 1: expected weights"):
        bn.audit(perceptron(8), quarters, [perceptron(9)])


def test_references_need_pictures_and_a_network_two_classes(make_linear: Make) -> None:
    with pytest.raises(BadInput, match="expected clean pictures beside references"):
        bn.audit(make_linear(50), references=[make_linear(1)])
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1))
    with pytest.raises(BadInput, match="at least two classes"):
        bn.audit(bn.wrap(module, class_names=["a"], input_size=(1, 8, 8)))
