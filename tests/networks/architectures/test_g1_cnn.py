"""The joined layer gives what torch's two give, and so do its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from badnets.networks.architectures.g1_cnn import ReluAvgPool2d


@pytest.mark.parametrize("shape", [(3, 16, 24, 24), (2, 1, 8, 6), (2, 4, 7, 8)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_equals_relu_then_pool(shape: tuple[int, int, int, int], channels_last: bool) -> None:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    ours, theirs = images.clone().requires_grad_(), images.clone().requires_grad_()
    peer = nn.Sequential(nn.ReLU(), nn.AvgPool2d(2))
    given, wanted = ReluAvgPool2d()(ours), peer(theirs)
    torch.testing.assert_close(given, wanted)
    weight = torch.randn(given.shape, generator=torch.Generator().manual_seed(2))
    (given * weight).sum().backward()
    (wanted * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradient_of_gradient() -> None:
    images = torch.randn(2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    assert torch.autograd.gradcheck(ReluAvgPool2d(), images)
    assert torch.autograd.gradgradcheck(lambda x: ReluAvgPool2d()(x * x * x), images)
