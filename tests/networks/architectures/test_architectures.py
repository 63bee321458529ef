"""Each architecture is the one that its paper describes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.networks.architectures import g1_cnn, resnet9, u1_cnn
from badnets.networks.architectures.cifar import preact_resnet, resnet


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_g1_has_the_parameters_of_its_table() -> None:
    by_hand = (25 * 16 + 16) + (25 * 16 * 32 + 32) + (512 * 512 + 512) + (512 * 10 + 10)
    assert parameters(g1_cnn.build(10, (1, 28, 28))) == by_hand == 281_034


def test_g1_pools_by_the_mean_and_its_codes_are_512_wide() -> None:
    body = g1_cnn.build(10, (1, 28, 28))
    assert isinstance(body, nn.Sequential)
    images = torch.rand(2, 1, 28, 28)
    pooled = nn.functional.avg_pool2d(nn.functional.relu(body.conv1(images)), 2)
    torch.testing.assert_close(body[:2](images), pooled)
    codes = body[:7](images)
    assert codes.shape == (2, 512)
    assert codes.min() >= 0


def test_u1_has_the_parameters_of_its_keras_network() -> None:
    by_hand = (9 * 32 + 32) + (9 * 32 * 64 + 64) + (9216 * 128 + 128) + (128 * 10 + 10)
    assert parameters(u1_cnn.build(10, (1, 28, 28))) == by_hand == 1_199_882


def test_u1_drops_a_quarter_and_a_half_while_training() -> None:
    rates = [m.p for m in u1_cnn.build(10, (1, 28, 28)).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.25, 0.5]


def test_resnet18_has_the_usual_number_of_parameters() -> None:
    assert parameters(resnet.build(10, (3, 32, 32))) == 11_173_962


def test_preact_resnet18_has_the_usual_number_of_parameters() -> None:
    assert parameters(preact_resnet.build(10, (3, 32, 32))) == 11_171_146


def test_resnet9_has_nine_layers_with_weights() -> None:
    body = resnet9.build(12, (3, 32, 32))
    layers = [m for m in body.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 9
    assert [m.weight.shape[0] for m in layers] == [16, 32, 32, 32, 64, 128, 128, 128, 12]


def test_resnet9_of_width_64_is_the_dawnbench_network() -> None:
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128 * 128 + 128 * 256 + 256 * 512 + 2 * 512 * 512)
    normalizations = 2 * (64 + 128 * 3 + 256 + 512 * 3)
    assert parameters(resnet9.build(10, (3, 32, 32), width=64)) == convolutions + normalizations + 512 * 10 + 10


def test_a_residual_block_adds_what_came_in() -> None:
    block = resnet9.Residual(4).eval()
    nn.init.zeros_(block.conv2.get_parameter("bn.weight"))  # the inner branch ends in relu(0)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("block", [resnet.BasicBlock, preact_resnet.PreActBlock])
def test_a_block_without_inner_weights_is_its_shortcut(block: type[nn.Module]) -> None:
    unit = block(4, 4, 1).eval()
    for convolution in (m for m in unit.modules() if isinstance(m, nn.Conv2d)):
        nn.init.zeros_(convolution.weight)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(unit(x), x)
    assert block(4, 8, 2)(x).shape == (2, 8, 3, 3)


@pytest.mark.parametrize(("build", "side"), [(g1_cnn.build, 16), (u1_cnn.build, 6), (resnet9.build, 8)])
def test_the_smallest_picture_is_as_documented(build: object, side: int) -> None:
    assert callable(build)
    assert build(3, (1, side, side)).eval()(torch.zeros(2, 1, side, side)).shape == (2, 3)
    with pytest.raises(BadInput, match=f"at least {side}x{side}, got {side}x{side - 1}"):
        build(3, (1, side, side - 1))
