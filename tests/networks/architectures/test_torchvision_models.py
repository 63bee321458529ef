"""Torchvision's classifiers, and weights that lie on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from badnets.core.errors import BadInput
from badnets.networks.architectures.torchvision_models import builder, names
from badnets.networks.files.header import read_header
from badnets.networks.files.own import open_network, save_network
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network

MODEL = "squeezenet1_1"


def build(channels: int = 3, **arguments: str) -> ImageNetwork:
    names = ["a", "b", "c"]
    return build_network(MODEL, class_names=names, input_size=(channels, 32, 32), seed=1, arguments=arguments)


def thousand_classes() -> dict[str, Tensor]:
    module = builder(MODEL)(1000, (3, 32, 32))
    return {name: torch.full_like(value, 0.01) for name, value in module.state_dict().items()}


def test_all_classifiers_are_known() -> None:
    assert {"resnet34", "mobilenet_v3_small", "vit_b_16", "vgg11"} <= set(names())
    assert "fasterrcnn_resnet50_fpn" not in names()


def test_grey_pictures_are_repeated_to_three_channels() -> None:
    grey, color = build(1).eval(), build(3).eval()
    assert grey.provenance == {}
    pictures = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(grey(pictures), color(pictures.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_disk_start_all_but_a_head_of_other_size(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"start{suffix}"
    state = thousand_classes()
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    network = build(weights=str(path))
    loaded = network.body.state_dict()
    head = {"classifier.1.weight", "classifier.1.bias"}
    assert all(bool((value == 0.01).all()) for name, value in loaded.items() if name not in head)
    assert loaded["classifier.1.weight"].shape == (3, 512, 1, 1)
    assert not (loaded["classifier.1.weight"] == 0.01).any()
    assert network.arguments == {}
    assert network.provenance["initial_weights"]["file"] == path.name
    save_network(network, tmp_path / "network.safetensors")
    path.unlink()
    assert open_network(tmp_path / "network.safetensors").classes == 3
    assert str(tmp_path) not in str(read_header(tmp_path / "network.safetensors"))


def test_weights_of_another_model_name_the_first_tensor(tmp_path: Path) -> None:
    state = thousand_classes()
    first = next(iter(state))
    path = tmp_path / "start.pth"
    for change, message in [
        ({**state, first: torch.zeros(2, 2)}, rf"expected '{first}' of \[64, 3, 3, 3\], got \[2, 2\]"),
        ({name: value for name, value in state.items() if name != first}, f"expected a tensor '{first}', got none"),
        ({**state, "more": torch.zeros(1)}, "expected no tensor 'more'"),
    ]:
        torch.save(change, path)
        with pytest.raises(BadInput, match=message):
            build(weights=str(path))


class Evil:
    """What a pickle must not bring to life."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_files_that_are_no_plain_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "start.pth"
    torch.save({"x": Evil()}, path)
    with pytest.raises(BadInput, match="expected plain weights, got something else"):
        build(weights=str(path))
    assert capsys.readouterr().out == ""
    torch.save([1, 2], path)
    with pytest.raises(BadInput, match="expected a state dict"):
        build(weights=str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="expected plain weights, got something else"):
        build(weights=str(path))
    with pytest.raises(BadInput, match="got nothing; check the path"):
        build(weights=str(tmp_path / "absent.pth"))


@pytest.mark.parametrize(
    ("model", "side"), [("regnet_y_400mf", 32), ("googlenet", 32), ("vit_b_32", 64), ("mobilenet_v3_small", 32)]
)
def test_models_with_peculiarities(model: str, side: int) -> None:
    network = build_network(model, class_names=["a", "b"], input_size=(3, side, side), seed=1)
    assert network(torch.rand(2, 3, side, side)).shape == (2, 2)
