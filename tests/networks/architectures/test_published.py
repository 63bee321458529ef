"""Architectures have the names, shapes and numbers of parameters of the repositories whose weights they open."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.data.load import load
from badnets.networks.architectures.cifar import preact_resnet, thin_resnet, wide_resnet
from badnets.networks.files.foreign import open_foreign
from badnets.networks.inference import predict_data
from badnets.networks.registry import find_architecture, parse_network


def bare(text: str, classes: int = 10, size: tuple[int, int, int] = (3, 32, 32)) -> nn.Module:
    """The network without memory for its weights."""
    name, arguments = parse_network(text)
    architecture = find_architecture(name)
    with torch.device("meta"):
        return architecture.build(classes, size, **architecture.resolve(arguments))


# Counted once in the repositories' own code, whose answers were the same too, for the same weights.
@pytest.mark.parametrize(
    ("text", "parameters", "names"),
    [
        ("resnet18", 11_173_962, "conv1.weight bn1.bias layer2.0.shortcut.0.weight layer4.1.bn2.weight linear.bias"),
        ("cifar-resnet34", 21_282_122, "layer3.5.conv2.weight linear.weight"),
        ("cifar-resnet50", 23_520_842, "layer1.0.shortcut.1.running_var layer4.2.conv3.weight linear.weight"),
        ("cifar-resnet101", 42_512_970, "layer3.22.bn3.bias"),
        ("preact-resnet18", 11_171_146, "conv1.weight layer1.0.bn1.weight layer2.0.shortcut.0.weight linear.bias"),
        ("preact-resnet34", 21_279_306, "layer3.5.conv2.weight"),
        ("cifar-senet18", 11_260_354, "layer1.0.fc1.weight layer4.1.fc2.bias bn1.weight"),
        ("cifar-googlenet", 6_166_250, "pre_layers.0.weight a3.b3.6.weight b5.b4.1.bias linear.weight"),
        ("cifar-mobilenet-v2", 2_296_922, "layers.0.shortcut.1.weight layers.16.bn3.bias conv2.weight linear.bias"),
        ("cifar-densenet121", 6_956_298, "dense1.0.bn1.weight trans1.conv.weight dense4.15.conv2.weight bn.bias"),
        ("cifar-densenet121:growth=12", 1_000_618, "trans3.bn.running_mean linear.weight"),
        ("cifar-densenet161", 26_482_378, "dense3.35.conv1.weight"),
        ("cifar-densenet169", 12_493_322, "dense4.31.conv1.weight"),
        ("cifar-densenet201", 18_104_330, "dense3.47.conv1.weight"),
        ("cifar-vgg11", 9_231_114, "features.0.weight features.26.running_var classifier.weight"),
        ("cifar-vgg13", 9_416_010, "features.31.weight"),
        ("cifar-vgg16", 14_728_266, "features.41.weight classifier.bias"),
        ("cifar-vgg19", 20_040_522, "features.50.weight"),
        ("cifar-vgg16:dense=3", 15_253_578, "classifier.1.weight classifier.4.weight classifier.6.bias"),
        ("cifar-vgg16:dense=3,batch_norm=false", 15_245_130, "features.28.weight classifier.6.weight"),
        ("resnet20", 269_722, "conv1.weight layer1.0.conv1.weight layer3.2.bn2.bias linear.weight"),
        ("resnet32", 464_154, "layer3.4.conv2.weight"),
        ("resnet44", 658_586, "layer3.6.conv2.weight"),
        ("resnet56", 853_018, "layer3.8.conv2.weight"),
        ("resnet110", 1_727_962, "layer3.17.conv2.weight"),
        ("wrn-16-1", 175_066, "block1.layer.0.bn1.weight block2.layer.0.convShortcut.weight bn1.bias fc.bias"),
        ("wrn-40-2", 2_243_546, "block3.layer.5.conv2.weight"),
        ("wrn-28-10", 36_479_194, "block1.layer.0.convShortcut.weight block3.layer.3.conv2.weight"),
        ("wrn-28-10:layout=layer", 36_489_290, "conv1.bias layer2.0.shortcut.0.bias linear.weight"),
        ("lenet", 62_006, "conv1.weight conv2.weight fc1.weight fc2.weight fc3.bias"),
    ],
)  # fmt: skip
def test_names_and_number_of_parameters(text: str, parameters: int, names: str) -> None:
    body = bare(text)
    assert sum(one.numel() for one in body.parameters()) == parameters
    assert set(names.split()) <= set(body.state_dict())


def test_the_old_mnist_example_counts_as_its_log_says() -> None:
    body = bare("mnist-example", 10, (1, 28, 28))
    assert sum(one.numel() for one in body.parameters()) == 21_840
    assert bare("mnist-example", 43).get_parameter("fc1.weight").shape == (50, 500)  # 3x32x32, as GTSRB starters


def test_lenet_for_28_pixels_with_padding_is_that_for_32() -> None:
    assert bare("lenet:padding=2", 10, (1, 28, 28)).get_parameter("fc1.weight").shape == (120, 400)
    assert bare("lenet", 10, (1, 28, 28)).get_parameter("fc1.weight").shape == (120, 256)


def test_the_new_mnist_example_is_u1() -> None:
    names = {name.rpartition(".")[0] for name in bare("u1-cnn", 10, (1, 28, 28)).state_dict()}
    assert names == {"conv1", "conv2", "fc1", "fc2"}


@pytest.mark.parametrize("text", ["wrn-10-1", "resnet20:width=2", "cifar-densenet121:growth=2", "lenet"])
def test_gradients_reach_every_weight(text: str) -> None:
    name, arguments = parse_network(text)
    architecture = find_architecture(name)
    body = architecture.build(3, (3, 16, 16), **architecture.resolve(arguments))
    body(torch.rand(2, 3, 16, 16)).square().sum().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in body.parameters())


def test_the_shortcut_of_the_thin_ones_strides_and_has_zeros_on_both_sides() -> None:
    x = torch.rand(1, 4, 5, 6)
    padded = thin_resnet.Padded(2)(x)
    assert padded.shape == (1, 8, 3, 3)
    assert torch.equal(padded[:, 2:6], x[:, :, ::2, ::2])
    assert not padded[:, :2].any()
    assert not padded[:, 6:].any()


def test_a_changing_shortcut_of_a_wide_block_is_of_what_was_activated() -> None:
    block = wide_resnet.WideBlock(2, 3, 2, 0.0).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 2, 4, 4)
    assert block.convShortcut is not None
    assert torch.equal(block(x), block.convShortcut(block.bn1(x).relu()))
    biased = wide_resnet.BiasedBlock(2, 3, 2, 0.0).eval()
    nn.init.zeros_(biased.conv2.weight)
    assert torch.allclose(biased(x), biased.shortcut(x) + biased.conv2.bias[:, None, None])  # type: ignore[index]


def test_a_squeezed_block_weighs_its_maps() -> None:
    block = preact_resnet.SqueezedBlock(16, 16, 1).eval()
    nn.init.zeros_(block.fc2.weight)
    nn.init.zeros_(block.fc2.bias if block.fc2.bias is not None else torch.zeros(0))  # the sigmoid gives one half
    plain = preact_resnet.PreActBlock(16, 16, 1).eval()
    plain.load_state_dict({name: block.state_dict()[name] for name in plain.state_dict()})
    x = torch.rand(2, 16, 4, 4)
    torch.testing.assert_close(block(x) - x, (plain(x) - x) / 2)


@pytest.mark.parametrize(("text", "side"), [("cifar-vgg16", 32), ("cifar-densenet121", 8), ("lenet", 16)])
def test_too_small_pictures_are_refused(text: str, side: int) -> None:
    bare(text, 10, (3, side, side))
    with pytest.raises(BadInput, match=f"at least {side}x{side}, got {side - 1}x{side}"):
        bare(text, 10, (3, side - 1, side))


@pytest.mark.slow
def test_akamasters_resnet20_opens_by_name_and_answers_as_in_its_own_code(shared_data: Path, tmp_path: Path) -> None:
    shutil.copy(shared_data / "foreign" / "akamaster_resnet20" / "original.th", tmp_path / "original.pth")
    network = open_foreign(
        tmp_path / "original.pth",
        arch="resnet20",
        input_size=(3, 32, 32),
        input_range="0.485,0.456,0.406/0.229,0.224,0.225",
    )
    assert network.provenance["matched"] == "names"
    test = load(shared_data / "cifar10-jpeg.tar.gz").test.take(np.arange(0, 10_000, 10))
    right = np.count_nonzero(predict_data(network, test).labels == test.labels)
    assert right == pytest.approx(795, abs=1), "on all 10,000 it is right 8,103 times, as in its own code"
