"""``badnets list networks``: ours, other packages', and the forms that a name may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from badnets.networks.architecture import Architecture

Call = Any


def build(classes: int, input_size: tuple[int, int, int]) -> nn.Module:
    """A third party's architecture."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(input_size[0], classes))


THEIRS = Architecture(name="tiny-of-theirs", summary="for a test", build=build)


def test_networks(badnets: Call, plugins: Callable[..., None]) -> None:
    plugins("badnets.networks", **{"tiny-of-theirs": THEIRS, "broken": None})
    items = {item["name"]: item for item in badnets("list networks --json").json["items"]}
    assert items["tiny-of-theirs"]["package"]
    assert "problem" in items["broken"]
    assert {"torchvision:NAME", "timm:NAME", "path/to/file.py:CLASS", "wrn-28-10", "resnet20"} <= set(items)
    lines = badnets("list networks").out.splitlines()
    assert any(line.startswith("tiny-of-theirs ") for line in lines)
    assert [line.split()[0] for line in lines if "wrn-16-1" in line] == ["wrn-10-1"]  # sizes of one shape, in one line
    assert [line.split()[0] for line in lines if line.startswith("resnet")] == ["resnet9", "resnet18", "resnet20"]
