"""Smaller networks in files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from badnets.core.errors import BadInput
from badnets.networks.files.header import read_header
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.channels import prune_channels, shrink

Toy = tuple[ImageNetwork, str]
LAYERS = {"deepid": ["conv_3", "conv_4"], "l1-cnn": ["conv3"], "resnet18": ["layer4.1.conv1"]}


def smaller(name: str) -> ImageNetwork:
    size = (3, 55, 47) if name == "deepid" else (3, 32, 32)
    network = build_network(name, class_names=["a", "b"], input_size=size, seed=0).eval()
    for layer in LAYERS[name]:
        prune_channels(network, layer, range(0, 40, 2))
        network = shrink(network, layer)
    return network


@pytest.mark.parametrize("name", LAYERS)
def test_a_smaller_network_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    network = smaller(name)
    save_network(network, tmp_path / "a.safetensors")
    again = open_network(tmp_path / "a.safetensors")
    images = torch.rand(2, *network.input_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(images), network(images))
    assert list(again.narrowed.items()) == list(network.narrowed.items())
    assert list(again.narrowed) == LAYERS[name]
    save_network(again, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_wrapped_one_is_opened_with_either_module(shrinkable: Toy, tmp_path: Path) -> None:
    network, layer = shrinkable
    prune_channels(network, layer, [0, 3, 5])
    less = shrink(network, layer)
    save_network(less, tmp_path / "a.safetensors")
    images = torch.rand(2, 3, 8, 8)
    expected = less(images)
    for module in (network.body, less.body):
        again = open_network(tmp_path / "a.safetensors", module=module)
        assert torch.equal(again(images), expected)


def test_whole_networks_have_the_header_they_had(tmp_path: Path) -> None:
    network = build_network("g1-cnn", class_names=["a", "b"], input_size=(1, 28, 28), seed=0)
    save_network(network, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    assert b"narrowed" not in data
    assert read_header(tmp_path / "a.safetensors")["narrowed"] == {}


@pytest.mark.parametrize(
    ("narrowed", "message"),
    [
        ({"conv_9": 3}, "wrong narrowed: expected a convolution of the network, got 'conv_9'"),
        ({"fc_1": 3}, "wrong narrowed: expected a convolution of the network, got 'fc_1' .Linear."),
        ({"conv_3": 61}, "wrong narrowed: expected 1 to 60 channels left of 'conv_3', got 61"),
        ({"conv_3": 0}, "wrong narrowed in its"),
        ({"conv_3": 39}, "expected tensor 'conv_3.weight' of .39, 40, 3, 3."),
        ([["conv_3", 40]], "wrong narrowed in its"),
    ],
)
def test_damaged_headers(narrowed: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_network(smaller("deepid"), path)
    rewrite(path, lambda header: header.update(narrowed=narrowed))
    with pytest.raises(BadInput, match=message) as refusal:
        open_network(path)
    assert str(refusal.value).startswith(str(path))


def rewrite(path: Path, edit: Callable[[dict[str, object]], None]) -> None:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    own = json.loads(header["__metadata__"]["badnets"])
    edit(own)
    header["__metadata__"]["badnets"] = json.dumps(own)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
