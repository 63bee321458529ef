"""Refusing one class."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from badnets.core.errors import BadInput
from badnets.networks.guards.refuse_class import RefuseClass
from badnets.networks.network import ImageNetwork


def test_only_the_suspect_class_is_refused(linear: Callable[..., ImageNetwork]) -> None:
    network = linear([1.0, 0.0], [0.0, 1.0])
    pictures = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2)
    assert RefuseClass(network, 1)(pictures).argmax(1).tolist() == [0, 2]
    with pytest.raises(BadInput, match=r"a suspect class in 0..1, got 2"):
        RefuseClass(network, 2)
