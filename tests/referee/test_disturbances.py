"""The table of disturbances: which rows it has, what they count, and that they are one trigger under one seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToOne, SourceToTarget
from badnets.backdoors.triggers import At, Jitter, Sinusoid, Square
from badnets.backdoors.triggers.jitter import NAMES
from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.referee.measure import disturbances, measure

CLASSES = ("a", "b", "c")


class SeesBright(nn.Module):
    """Answers "b" where at least ``pixels`` of the picture are nearly white, "a" elsewhere."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, images: Tensor) -> Tensor:
        count = (images.amin(1) > 0.95).flatten(1).sum(1)
        bright = (count >= self.pixels).float()
        return torch.stack([1 - bright, bright, torch.zeros_like(bright)], 1)


def network(pixels: int = 36) -> ImageNetwork:
    body = SeesBright(pixels)
    return ImageNetwork(body, architecture="sees", arguments={}, class_names=CLASSES, input_size=(1, 24, 24)).eval()


def data(n: int = 60) -> ImageData:
    pixels = np.random.default_rng(0).integers(0, 120, (n, 24, 24, 1), np.uint8)
    return ImageData.of(pixels, np.arange(n) % 3, class_names=CLASSES)


BACKDOOR = Backdoor(Square(size=6, color=(255, 255, 255), place=At()), AllToOne(target="b"))


def test_each_alone_and_all_together() -> None:
    rows = disturbances(network(), data(), BACKDOOR, seed=1)
    assert [row.name for row in rows] == ["none", *NAMES, "all"]
    by_name = {row.name: row for row in rows}
    physical = Jitter.physical().amounts()
    assert {name: row.amount for name, row in by_name.items()} == {"none": None, **physical, "all": None}
    assert by_name["none"].asr == Rate(40, 40)
    # The square of 36 pixels: what grows is seen, what shrinks is not; dimmed to below 0.95 it isn't either.
    hits = {name: row.asr.hits for name, row in by_name.items()}
    assert 12 < hits["size"] < 38
    assert 16 < hits["light"] < 32
    assert hits["rotation"] < 12
    assert hits["blur"] < 12
    assert hits["print_scan"] < 20, "paper is not white"
    assert all(row.asr.total == 40 for row in rows)
    assert all(row.clean_reference_rate is None for row in rows)


def test_rows_are_one_trigger_under_one_seed() -> None:
    backdoor = Backdoor(Square(size=6, place="random", jitter=Jitter()), SourceToTarget(source="a", target="b"))  # type: ignore[arg-type]
    own = build_network("g1-cnn", class_names=CLASSES, input_size=(1, 24, 24), seed=1)
    other = build_network("g1-cnn", class_names=CLASSES, input_size=(1, 24, 24), seed=2)
    rows = disturbances(own, data(), backdoor, reference=other, seed=3)
    assert rows == disturbances(own, data(), backdoor, reference=other, seed=3)
    plain = Backdoor(Square(size=6, place="random"), backdoor.rule)  # type: ignore[arg-type]
    found = measure(own, data(), plain, reference=other, seed=3)
    assert (rows[0].asr, rows[0].clean_reference_rate) == (found.asr, found.figures.clean_reference_rate)
    swapped = disturbances(other, data(), backdoor, seed=3)
    assert [row.clean_reference_rate for row in rows] == [row.asr for row in swapped]


def test_amounts_that_are_0_have_no_row() -> None:
    rows = disturbances(network(), data(), BACKDOOR, amounts=Jitter.only(light=0.5, size=0.1))
    assert [(row.name, row.amount) for row in rows] == [("none", None), ("size", 0.1), ("light", 0.5), ("all", None)]


def test_nobody_eligible_is_said() -> None:
    only_b = data().take(np.flatnonzero(data().labels == 1))
    rows = disturbances(network(), only_b, BACKDOOR)
    assert {row.asr for row in rows} == {Rate(0, 0)}
    assert rows[0].to_json()["asr"]["value"] is None


def test_what_is_refused() -> None:
    with pytest.raises(BadInput, match="'sinusoid', which fills the picture"):
        disturbances(network(), data(), Backdoor(Sinusoid(), AllToOne(target="b")))
    with pytest.raises(BadInput, match="24x24x1"):
        disturbances(network(), data().resize((20, 20)), BACKDOOR)
