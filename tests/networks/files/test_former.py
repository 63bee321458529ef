"""Files whose residual networks have the names of 0.2 are opened as what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from badnets.networks.files.own import open_network, save_network
from badnets.networks.former import current, renamed
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.networks.surgery.channels import prune_channels, shrink

TO_FORMER = (
    (r"^(conv|bn)1\.", r"\1."),
    (r"^linear\.", "fc."),
    (r"layer(\d)\.0\.", r"stage\1.block1."),
    (r"layer(\d)\.1\.", r"stage\1.block2."),
)
SHORTCUTS = {
    "resnet18": ((r"shortcut\.0\.", "shortcut.conv."), (r"shortcut\.1\.", "shortcut.bn.")),
    "preact-resnet18": ((r"shortcut\.0\.", "shortcut."),),
}


def former(name: str, architecture: str) -> str:
    for new, old in (*TO_FORMER, *SHORTCUTS[architecture]):
        name = re.sub(new, old, name)
    return name


def written_by_02(network: ImageNetwork, path: Path) -> None:
    """The file as 0.2 wrote it."""
    network.narrowed = {former(f"{name}.", network.architecture)[:-1]: n for name, n in network.narrowed.items()}
    save_network(network, path)
    with safe_open(path, "pt") as file:
        tensors = {former(name, network.architecture): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    save_file(tensors, path, metadata=metadata)


def small(architecture: str) -> ImageNetwork:
    network = build_network(architecture, class_names=["a", "b"], input_size=(3, 8, 8), seed=1, arguments={"width": 4})
    for norm in (one for one in network.modules() if isinstance(one, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("architecture", SHORTCUTS)
def test_every_tensor_finds_its_new_name(architecture: str) -> None:
    names = list(small(architecture).body.state_dict())
    old = [former(name, architecture) for name in names]
    assert "stage2.block1.conv1.weight" in old
    assert [current(name) for name in old] == names
    assert list(renamed(architecture, dict.fromkeys(old))) == names
    assert [current(f"parts.0.body.{name}") for name in old] == [f"parts.0.body.{name}" for name in names]


@pytest.mark.parametrize("shrunken", [False, True])
@pytest.mark.parametrize("architecture", SHORTCUTS)
def test_an_old_file_answers_as_ever(architecture: str, shrunken: bool, tmp_path: Path) -> None:
    network, pictures = small(architecture), torch.rand(2, 3, 8, 8)
    if shrunken:
        prune_channels(network, "layer4.1.conv1", [0, 3])
        network = shrink(network, "layer4.1.conv1").eval()
    answers = network(pictures)
    written_by_02(network, tmp_path / "old.safetensors")
    opened = open_network(tmp_path / "old.safetensors")
    assert torch.equal(opened(pictures), answers)
    save_network(opened, tmp_path / "new.safetensors")
    assert torch.equal(open_network(tmp_path / "new.safetensors")(pictures), answers)
