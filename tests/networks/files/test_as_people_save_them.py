"""State dicts with whatever people save beside them, two networks in one file, layers in a row, orders of classes."""

from __future__ import annotations

import argparse
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.architecture import ARCHITECTURES
from badnets.networks.files.chains import MOST, chains
from badnets.networks.files.foreign import ForeignOptions, ForeignWarning, open_any, open_foreign
from badnets.networks.files.formats.entries import read_torch
from badnets.networks.inference import align_classes
from badnets.networks.network import ImageNetwork

State = dict[str, Tensor]
SIZE = (1, 16, 16)
pytestmark = pytest.mark.filterwarnings("ignore::badnets.networks.files.foreign.ForeignWarning")


def weights(size: tuple[int, int, int] = SIZE, seed: int = 0) -> tuple[nn.Module, State]:
    torch.manual_seed(seed)
    body = ARCHITECTURES["g1-cnn"].build(3, size).eval()
    return body, dict(body.state_dict())


def same(network: ImageNetwork, body: nn.Module, atol: float = 1e-5) -> None:
    given = torch.rand(3, *network.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(given), body(given), atol=atol)


AROUND: dict[str, Callable[[State], Any]] = {
    "itself": lambda s: s,
    "netC": lambda s: {"netC": s, "schedulerC": {"last_epoch": 3}, "best_acc": np.float64(0.5)},
    "model_state": lambda s: {"model_state": s, "epoch": 3, "when": "today"},
    "averages beside": lambda s: {"state_dict_ema": {n: v * 2 for n, v in s.items()}, "state_dict": s},
    "a tuple": lambda s: (s, 0.5, [1, 2]),
    "a list": lambda s: ["g1", s],
    "numbers of numpy": lambda s: {"net": s, "acc": np.float32(93.5), "epoch": np.int64(7), "best": np.bool_(True)},
    "a command line": lambda s: {"model": s, "args": argparse.Namespace(lr=0.1, out=PosixPath("runs/1"))},
    "an optimizer": lambda s: {
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(400, 400)}}, "param_groups": [{"lr": 0.1}]},
        "model": OrderedDict(s),
    },
    "DataParallel": lambda s: {"state_dict": {f"module.{n}": v for n, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.module.{n}": v for n, v in s.items()},
    "half precision": lambda s: {n: v.half() for n, v in s.items()},
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_around_them(tmp_path: Path, name: str) -> None:
    body, state = weights()
    torch.save(AROUND[name](state), tmp_path / "a.pt")
    for arch in ("g1-cnn", None) if name in ("itself", "averages beside") else ("g1-cnn",):
        network = open_foreign(tmp_path / "a.pt", arch=arch, input_size=SIZE, input_range="0-1")
        assert network.architecture == "g1-cnn"
        same(network, body, atol=1e-2 if "half" in name else 1e-5)


@pytest.mark.parametrize("name", ["weights", "a.pkl", "a.model", "a.th", "a.tar", "a.pth.tar", "a.ckpt", "a.bin"])
def test_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    body, state = weights()
    for zipped in (True, False):
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=zipped)
        same(open_foreign(tmp_path / name, arch="g1-cnn", input_size=SIZE, input_range="0-1"), body)


def test_of_two_networks_in_one_row_the_pictures_channels_tell(tmp_path: Path) -> None:
    (grey, one), (color, two) = weights((1, 16, 16), 1), weights((3, 16, 16), 2)
    state = {
        **{f"m_{name}": value for name, value in one.items()},
        **{f"c_{name}": value for name, value in two.items()},
    }
    torch.save(state, tmp_path / "a.pt")
    for body, size in ((grey, (1, 16, 16)), (color, (3, 16, 16))):
        network = open_foreign(tmp_path / "a.pt", arch="g1-cnn", input_size=size, input_range="0-1")
        same(network, body)
        assert network.provenance["part"].startswith("network ")


def test_one_table_in_many_places_is_one_network(tmp_path: Path) -> None:
    _, state = weights()
    torch.save({"model": state, "again": [state, state], "best": {"net": state}}, tmp_path / "a.pt")
    assert len(read_torch(tmp_path / "a.pt")) == 1


def stripes(channels: int = 1, count: int = 120) -> ImageData:
    """Three classes that any network tells apart: bright rows at the top, in the middle, at the bottom."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = rng.integers(0, 40, (count, 12, 12, channels), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += np.uint8(180)
    return ImageData.of(images, labels, class_names=["0", "1", "2"], name="stripes")


def layers(function: type[nn.Module], pool: type[nn.Module], *, pad: int, norm: bool, channels: int) -> nn.Sequential:
    side = ((12 + 2 * pad - 2) // 2 + 2 * pad - 2) // 2
    norms = [nn.BatchNorm2d(5), nn.BatchNorm2d(6)] if norm else [nn.Identity(), nn.Identity()]
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, padding=pad), norms[0], function(), pool(2),
        nn.Conv2d(5, 6, 3, padding=pad), norms[1], function(), pool(2),
        nn.Flatten(), nn.Linear(6 * side * side, 10), function(), nn.Linear(10, 3),
    )  # fmt: skip


def trained(body: nn.Sequential, data: ImageData) -> nn.Sequential:
    torch.manual_seed(0)
    for layer in body:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    given, labels = torch.from_numpy(data.images()).permute(0, 3, 1, 2) / 255, torch.from_numpy(data.labels)
    optimizer = torch.optim.Adam(body.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(body(given), labels)
        torch.autograd.backward(loss)
        optimizer.step()
    return body.eval()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("function", "pool", "pad", "norm"),
    [(nn.ReLU, nn.MaxPool2d, 0, False), (nn.Tanh, nn.AvgPool2d, 1, False), (nn.ReLU, nn.AvgPool2d, 1, True)],
)
def test_layers_in_a_row_are_chosen_by_clean_pictures(
    tmp_path: Path, channels: int, function: type[nn.Module], pool: type[nn.Module], pad: int, norm: bool
) -> None:
    data = stripes(channels)
    body = trained(layers(function, pool, pad=pad, norm=norm, channels=channels), data)
    torch.save(body.state_dict(), tmp_path / "a.pt")
    network = open_foreign(tmp_path / "a.pt", clean=data, input_range="0-1", channel_order="rgb")
    assert (network.architecture, network.classes) == ("graph", 3)
    given = torch.from_numpy(data.images()).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        assert (network(given).argmax(1) == body(given).argmax(1)).float().mean() > 0.97
    assert "layers in a row (conv 5@3x3" in network.provenance["network"]
    with pytest.raises(BadInput, match=r"fit layers in a row .* clean pictures \(--data\) would tell which"):
        open_foreign(tmp_path / "a.pt", input_size=(channels, 12, 12), input_range="0-1")


def test_rows_that_fit_nothing(tmp_path: Path) -> None:
    state = {f"c{k}.weight": torch.zeros(3, 3, 3, 3) for k in range(9)} | {"fc.weight": torch.zeros(3, 3)}
    torch.save(state, tmp_path / "a.pt")
    (file,) = read_torch(tmp_path / "a.pt")
    assert chains(file.entries, (3, 32, 32)) == []  # more convolutions than can be tried
    few = [entry for entry in file.entries if entry.layer in ("c0", "c1", "fc")]
    assert 0 < len(chains(few, (3, 32, 32))) <= MOST
    assert chains(few, (1, 32, 32)) == []
    torch.save({"fc.weight": torch.zeros(3, 77)}, tmp_path / "b.pt")
    with pytest.raises(BadInput, match=r"--arch NAME, or file.py:Class.*no known network has its tensors"):
        open_foreign(tmp_path / "b.pt", clean=stripes())


class Quadrants(nn.Module):
    """One dense layer: a bright quarter of the picture is its class."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(144, 3)
        with torch.no_grad():
            rows = torch.zeros(3, 12, 12)
            for label in range(3):
                rows[label, 4 * label : 4 * label + 4] = 0.2
            self.fc.weight.copy_(rows.flatten(1))
            self.fc.bias.zero_()


def numbered(names: list[str]) -> ImageData:
    data = stripes()
    return ImageData.of(data.images(), data.labels, class_names=names, name="signs")


def test_the_order_of_an_image_folder_is_found_and_can_be_named(tmp_path: Path) -> None:
    """Folders sort as numbers here (2, 10, 11 ...), as texts there (10, 11, 2)."""
    data = numbered(["2", "10", "11"])
    state = Quadrants().state_dict()
    rows = [1, 2, 0]  # their classes are 10, 11, 2
    torch.save({name: value[rows] for name, value in state.items()}, tmp_path / "a.pt")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ForeignWarning)
        network = open_foreign(tmp_path / "a.pt", clean=data, input_range="0-1")
    assert network.class_names == ("10", "11", "2")
    assert any("--class-names imagefolder" in str(one.message) for one in told)
    for names in ("imagefolder", ["10", "11", "2"]):
        named = open_foreign(tmp_path / "a.pt", clean=data, input_range="0-1", class_names=names)
        assert named.class_names == ("10", "11", "2")
        aligned = align_classes(data, named)
        given = torch.from_numpy(aligned.images()).permute(0, 3, 1, 2) / 255
        assert (named(given).argmax(1).numpy() == aligned.labels).all()


def test_names_that_do_not_match(tmp_path: Path) -> None:
    data = numbered(["cat", "dog", "owl"])
    torch.save(Quadrants().state_dict(), tmp_path / "a.pt")
    with pytest.raises(BadInput, match=r"classes \(x, y, z, ...\), got 3 \(cat, dog, owl, ...\)"):
        open_foreign(tmp_path / "a.pt", clean=data, class_names=["x", "y", "z"])
    with pytest.raises(BadInput, match="'x' twice"):
        open_foreign(tmp_path / "a.pt", clean=data, class_names=["x", "x", "z"])
    two = numbered(["cat", "dog", "owl"]).take(np.arange(0, 60, 3))
    two = ImageData.of(two.images(), two.labels, class_names=["cat", "dog"], name="two")
    with pytest.raises(BadInput, match="data of the network's 3 classes, got 2"):
        open_foreign(tmp_path / "a.pt", clean=two)


def test_a_header_with_names_is_aligned_to_the_datas(tmp_path: Path) -> None:
    data = numbered(["cat", "dog", "owl"])
    rows = [2, 0, 1]
    torch.save({n: v[rows] for n, v in Quadrants().state_dict().items()}, tmp_path / "a.pt")
    network = open_any(
        tmp_path / "a.pt", ForeignOptions(class_names=["owl", "cat", "dog"], input_range="0-1"), clean=data
    )
    aligned = align_classes(data, network)
    given = torch.from_numpy(aligned.images()).permute(0, 3, 1, 2) / 255
    assert (network(given).argmax(1).numpy() == aligned.labels).all()
