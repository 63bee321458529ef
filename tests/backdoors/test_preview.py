from __future__ import annotations

import numpy as np
import pytest

from badnets.backdoors.preview import graph_paper, render_preview
from badnets.backdoors.triggers import TRIGGERS, At, Jitter, Picture, Square, takes_jitter
from badnets.backdoors.triggers.jitter import NAMES as JITTER_NAMES
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


@pytest.mark.parametrize("kind", TRIGGERS)
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (90, 3)])
def test_a_second_row_of_disturbances_for_stamps_alone(kind: str, side: int, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 120, (side, side + 4, channels), dtype=np.uint8)
    plain, more = (render_preview(TRIGGERS[kind](), picture, disturbed=d) for d in (False, True))
    assert np.array_equal(np.asarray(more)[: plain.height, : plain.width], np.asarray(plain))
    assert (more.height > plain.height) == takes_jitter(TRIGGERS[kind]())
    assert more.width == plain.width


def test_the_strip_shows_each_disturbance_from_near_by() -> None:
    """A white square of 6 on black: one panel for each disturbance, all of one size, no two the same."""
    trigger = Square(size=6, color=(255, 255, 255), place=At())
    picture = np.zeros((64, 64, 3), np.uint8)
    plain, more = (render_preview(trigger, picture, disturbed=d) for d in (False, True))
    strip = np.asarray(more)[plain.height :]
    black = (strip == 0).all(axis=2)
    bottom = np.flatnonzero(black.any(axis=1))[-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], black[bottom].astype(int), [0]])))
    panels = [strip[: bottom + 1, a:b] for a, b in edges.reshape(-1, 2)]
    assert len(panels) == len(JITTER_NAMES)
    assert len({panel.shape for panel in panels}) == 1
    squares = [panel[-panel.shape[1] :] for panel in panels]
    assert len({panel.tobytes() for panel in squares}) == len(JITTER_NAMES)
    assert all(panel[len(panel) // 2, len(panel) // 2].min() > 90 for panel in squares), "the stamp is in the middle"
    assert set(JITTER_NAMES) == set(Jitter().amounts())


def test_a_stamp_that_fills_its_picture_or_hangs_over_has_a_strip() -> None:
    region = np.array([20, 20, 28, 28], np.float32)
    hanging = Picture(size=1.0, place=At(x=1.0, y=1.0, of="region"))
    for trigger in (Square(size=1.0, place="center"), hanging):  # type: ignore[arg-type]
        sheet = render_preview(trigger, np.zeros((30, 40, 3), np.uint8), region=region, disturbed=True)
        assert sheet.height > 256
