from __future__ import annotations

import numpy as np
import pytest

from badnets.backdoors.preview import graph_paper, render_preview
from badnets.backdoors.triggers import TRIGGERS, At, Jitter, Picture, Square
from badnets.core.errors import BadInput


@pytest.mark.parametrize("kind", TRIGGERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_trigger(kind: str, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (28, 32, channels), dtype=np.uint8)
    sheet = render_preview(TRIGGERS[kind](), picture, scale=3)
    assert sheet.mode == "RGB"
    assert sheet.width > 4 * 32 * 3
    pixels = np.asarray(sheet)
    enlarged = picture.repeat(3, 0).repeat(3, 1)
    bottom = [pixels.shape[0] - top for top in range(1, 40)]
    found = any(
        np.array_equal(pixels[b - 84 : b, gap : gap + 96], np.broadcast_to(enlarged, (84, 96, 3)))
        for b in bottom
        for gap in range(4, 30)
    )
    assert found  # the clean picture is there, enlarged by whole pixels


def test_the_sticker_is_where_the_region_says() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    square = Square(size=0.5, color=(255, 0, 0), place=At(of="region"))
    small = render_preview(square, picture, scale=1, region=np.array([0, 0, 8, 8], np.float32))
    large = render_preview(square, picture, scale=1)
    red = [int((np.asarray(s) == [255, 0, 0]).all(axis=2).sum()) for s in (small, large)]
    assert red == [3 * 16, 3 * 256]  # trigger, with trigger, difference


def test_jitter_and_default_scale() -> None:
    sheet = render_preview(Picture(jitter=Jitter()), np.zeros((32, 32, 3), np.uint8))
    assert sheet.width >= 4 * 256


def test_graph_paper_is_quiet() -> None:
    paper = graph_paper(32, 32, 3)
    assert paper.shape == (32, 32, 3)
    assert set(np.unique(paper)) == {150, 176}


@pytest.mark.parametrize("picture", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)])
def test_wrong_pictures(picture: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(BadInput, match="expected a picture uint8"):
        render_preview(Square(), picture)


def test_wrong_scale() -> None:
    with pytest.raises(BadInput, match="whole-number scale"):
        render_preview(Square(), np.zeros((8, 8, 3), np.uint8), scale=0)
