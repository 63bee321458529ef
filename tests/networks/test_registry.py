"""Networks by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import pytest
import torch
from pydantic import Field
from torch import nn

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.networks.architecture import ARCHITECTURES, Architecture
from badnets.networks.registry import build_network, find_architecture, parse_network, wrap

NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet9", ("resnet9", {})),
        ("resnet9:width=32", ("resnet9", {"width": 32})),
        ("x:a=1.5, b=true,c=null,d=some text", ("x", {"a": 1.5, "b": True, "c": None, "d": "some text"})),
        ("torchvision:resnet34", ("torchvision:resnet34", {})),
        ("torchvision:resnet34:weights=/a/b.pth", ("torchvision:resnet34", {"weights": "/a/b.pth"})),
        ("resnet34:weights=C:/a=b.pth", ("resnet34", {"weights": "C:/a=b.pth"})),
    ],
)
def test_parse_network(text: str, expected: tuple[str, dict[str, object]]) -> None:
    assert parse_network(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":width=3", "resnet9:width", "resnet9:=3", "resnet9:width=1,width=2", "torchvision:"]
)
def test_parse_network_refuses(text: str) -> None:
    with pytest.raises(BadInput, match="expected a network"):
        parse_network(text)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'resnet9'"):
        find_architecture("resnet-9")
    with pytest.raises(BadInput, match="did you mean 'mobilenet_v3_small'"):
        find_architecture("mobilenet_v3_smal")
    with pytest.raises(BadInput, match="did you mean 'resnet34'"):
        find_architecture("torchvision:resnet_34")
    with pytest.raises(BadInput, match=r"known: cifar-densenet121, .*two-head, .*, or a classifier of torchvision"):
        find_architecture("qqqq")


def test_our_names_win_over_torchvisions_and_its_own_stay_reachable() -> None:
    assert find_architecture("resnet18") is ARCHITECTURES["resnet18"]
    assert find_architecture("torchvision:resnet18").name == "torchvision:resnet18"
    assert find_architecture("mobilenet_v3_small").name == "torchvision:mobilenet_v3_small"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widht": 3}, "unknown key 'widht'; did you mean 'width'"),
        ({"width": 0}, "expected a value of at least 1 for 'width', got 0"),
        ({"width": "wide"}, "expected a whole number for 'width'"),
        ({"width": True}, "expected a whole number for 'width'"),
        ({"width": 1000000}, "'width'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_network("resnet9", class_names=NAMES, input_size=(3, 32, 32), seed=0, arguments=arguments)


def test_an_architecture_without_arguments_says_so() -> None:
    with pytest.raises(BadInput, match="it takes none"):
        ARCHITECTURES["g1-cnn"].resolve({"width": 3})


def test_defaults_are_recorded_and_schemas_can_be_published() -> None:
    network = build_network("resnet9", class_names=NAMES, input_size=(3, 32, 32), seed=0)
    assert network.arguments == {"width": 16}
    schema = ARCHITECTURES["resnet9"].schema.model_json_schema()
    assert schema["properties"]["width"]["default"] == 16
    assert "channels" in schema["properties"]["width"]["description"]


def test_a_seed_may_be_a_derived_one() -> None:
    def first(seed: Seed | int) -> torch.Tensor:
        return next(build_network("g1-cnn", class_names=NAMES, input_size=(1, 28, 28), seed=seed).parameters())

    assert torch.equal(first(3), first(Seed(3)))
    assert not torch.equal(first(3), first(Seed(3).derive("clean")))


def test_mean_and_std_are_applied_inside() -> None:
    plain = build_network("g1-cnn", class_names=NAMES, input_size=(1, 28, 28), seed=0)
    scaled = build_network("g1-cnn", class_names=NAMES, input_size=(1, 28, 28), seed=0, mean=[0.5], std=[0.25])
    pictures = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(scaled(pictures), plain((pictures - 0.5) / 0.25))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("u1-cnn", (1, 4, 4), "u1-cnn: expected pictures of at least 6x6, got 4x4"),
        ("torchvision:alexnet", (3, 32, 32), "torchvision:alexnet: expected pictures it can take, got 32x32x3"),
        ("torchvision:vit_b_32", (3, 40, 40), "torchvision:vit_b_32"),
        ("torchvision:resnet34", (2, 32, 32), "1 or 3 channels, got 2"),
        ("g1-cnn", (28, 28), r"\(channels, height, width\)"),
        ("g1-cnn", (1, 0, 28), r"\(channels, height, width\)"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(name: str, size: tuple[int, int, int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_network(name, class_names=NAMES, input_size=size, seed=0)


def test_class_names_are_a_list() -> None:
    wrong: tuple[Sequence[str], ...] = ("abc", [])
    for names in wrong:
        with pytest.raises(BadInput, match="class names"):
            build_network("g1-cnn", class_names=names, input_size=(1, 28, 28), seed=0)


class Tiny(nn.Module):
    """Mean of each picture, times a weight for each class."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(classes, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))[:, None] * self.weight


def test_wrap_takes_any_module_and_leaves_its_mode() -> None:
    module = nn.Sequential(Tiny(), nn.Dropout()).train()
    module[1].eval()
    network = wrap(module, class_names=NAMES, input_size=(3, 8, 8), mean=[0.5] * 3, std=[0.5] * 3)
    assert network.architecture == "custom"
    assert network.body is module
    assert (module.training, module[0].training, module[1].training) == (True, True, False)
    assert network.eval()(torch.ones(1, 3, 8, 8)).tolist() == [[0.0, 1.0, 2.0]]


def test_wrap_refuses_wrong_logits_and_taken_names() -> None:
    with pytest.raises(BadInput, match=r"expected logits \(n, 3\).*got \(2, 4\)"):
        wrap(Tiny(4), class_names=NAMES, input_size=(3, 8, 8))
    with pytest.raises(BadInput, match="got 8x8x3"):
        wrap(nn.Linear(7, 3), class_names=NAMES, input_size=(3, 8, 8))
    with pytest.raises(BadInput, match="'resnet9', which badnets builds"):
        wrap(Tiny(), class_names=NAMES, input_size=(3, 8, 8), name="resnet9")


def build_tiny(
    classes: int, input_size: tuple[int, int, int], *, gain: Annotated[float, Field(gt=0)] = 1.0
) -> nn.Module:
    """A third party's architecture."""
    module = Tiny(classes)
    module.weight.data *= gain
    return module


TINY = Architecture(name="tiny", summary="for a test", build=build_tiny)


def test_other_packages_add_architectures(plugins: Callable[..., None]) -> None:
    plugins("badnets.networks", tiny=TINY)
    network = build_network("tiny", class_names=NAMES, input_size=(1, 8, 8), seed=0, arguments={"gain": 2.0})
    assert network(torch.ones(1, 1, 8, 8)).tolist() == [[0.0, 2.0, 4.0]]
    assert network.arguments == {"gain": 2.0}


def test_a_plugin_that_is_not_fit_says_why_and_torchvision_stays_reachable(plugins: Callable[..., None]) -> None:
    prefixed = Architecture(name="torchvision:tiny", summary="for a test", build=build_tiny)
    plugins("badnets.networks", **{"other": build_tiny, "torchvision:tiny": prefixed, "resnet34": None})
    with pytest.raises(BadInput, match=r"network other: entry point 'other' .* expected Architecture, got function"):
        find_architecture("other")
    assert "without prefix" in str(ARCHITECTURES.entries()[-1].problem)
    with pytest.raises(BadInput, match="entry point 'resnet34'"):  # not torchvision's in silence
        find_architecture("resnet34")
    assert find_architecture("torchvision:resnet34").name == "torchvision:resnet34"


def test_torchvision_is_not_imported_unless_asked_for() -> None:
    code = (
        "import sys; from badnets.networks.registry import build_network; import badnets.networks.files.own;"
        "build_network('resnet9', class_names=['a', 'b'], input_size=(3, 32, 32), seed=0);"
        "sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_headers_are_read_without_torch(tmp_path: Path) -> None:
    code = "import sys; import badnets.networks.files.header; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0
