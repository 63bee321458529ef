"""Networks of one layer, so that every answer can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from badnets.networks.network import ImageNetwork
from badnets.networks.registry import wrap

Linear = Callable[..., ImageNetwork]


def linear(*rows: list[float], bias: list[float] | None = None, std: float = 1.0) -> ImageNetwork:
    """Logits ``rows @ pixels + bias`` of pictures 1x1x(number of columns); its own range is ``x / std``."""
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data = torch.tensor(rows)
    layer.bias.data = torch.tensor(bias or [0.0] * len(rows))
    names = [f"c{number}" for number in range(len(rows))]
    body = nn.Sequential(nn.Flatten(), layer)
    size = (1, 1, len(rows[0]))
    return wrap(body, class_names=names, input_size=size, mean=[0.0], std=[std], name="linear").eval()


@pytest.fixture(name="linear")
def _linear() -> Linear:
    return linear
