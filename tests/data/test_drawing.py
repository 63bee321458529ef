"""Boxes drawn on photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from badnets.data.drawing import draw_objects, save_png


@pytest.mark.parametrize(
    ("shape", "size"),
    [((480, 640, 3), (480, 640)), ((32, 32, 3), (480, 480)), ((100, 40, 1), (500, 200)), ((600, 20, 3), (600, 20))],
)
def test_small_photos_grow_by_a_whole_number(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    before = photo.copy()
    drawn = draw_objects(photo, [])
    assert drawn.shape == (*size, 3)
    scale = size[0] // shape[0]
    assert (drawn[::scale, ::scale] == photo).all(), "nothing was drawn, so only repeated"
    assert (photo == before).all()


def test_the_frame_is_where_the_object_is() -> None:
    drawn = draw_objects(np.zeros((500, 500, 3), np.uint8), [((100, 200, 300, 400), "stop 98.2 %")])
    changed = (drawn != 0).any(2)
    assert changed[200:401, 100].all()
    assert changed[400, 100:301].all()
    assert not changed[215:385, 115:285].any(), "the object itself stays visible"
    assert changed[170:199, 100:200].any(), "its text stands above"
    assert not changed[405:].any()


@pytest.mark.parametrize("box", [(0, 0, 40, 40), (450, 480, 500, 500), (-20, -20, 520, 520), (10, 10, 10, 10)])
def test_objects_at_the_edge_are_drawn_too(box: tuple[float, ...]) -> None:
    assert draw_objects(np.zeros((500, 500, 3), np.uint8), [(box, "a very long name of a class 99.9 %")]).any()


def test_a_written_file_is_whole(tmp_path: Path) -> None:
    picture = draw_objects(np.zeros((40, 40, 3), np.uint8), [((1, 1, 30, 30), "x")])
    save_png(picture, tmp_path / "new" / "out.png")
    with Image.open(tmp_path / "new" / "out.png") as file:
        assert (np.asarray(file) == picture).all()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.png"]
