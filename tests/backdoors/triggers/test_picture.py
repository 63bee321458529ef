from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers import At, Blend, Corner, Picture
from badnets.core.errors import BadInput


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """6 x 4 (width x height): left half opaque red, right half transparent."""
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, :3] = 255, 0, 0, 255
    Image.fromarray(pixels).save(tmp_path / "half.png")
    return tmp_path / "half.png"


def test_own_size_and_transparency(file: Path) -> None:
    grey = np.full((1, 10, 10, 3), 90, np.uint8)
    out = Picture.open(file, size="own", place=Corner(distance=0)).apply(grey)
    assert (out[0, 6:, 4:7] == [255, 0, 0]).all()
    assert int((out != grey).any(axis=3).sum()) == 12


def test_the_file_travels_inside(file: Path) -> None:
    trigger = Picture.open(file, size=(4, 6))
    assert trigger.path == "half.png"  # of the path only the name is kept
    value = json.loads(json.dumps(TRIGGERS.to_json(trigger)))
    file.unlink()
    assert TRIGGERS.from_json(value) == trigger
    assert np.array_equal(trigger.art(4, 6), TRIGGERS.from_json(value).art(4, 6))  # type: ignore[attr-defined]
    assert "png=" not in repr(trigger)


def test_one_number_keeps_the_shape(file: Path) -> None:
    images = np.zeros((1, 60, 60, 3), np.uint8)
    fitted = Picture.open(file, size=12, place=At())
    assert [a.tolist() for a in fitted.sides(np.array([[0, 0, 60, 60.0]]))] == [[8], [12]]
    both = Picture.open(file, size=(0.5, 0.1), place=At())
    assert [a.tolist() for a in both.sides(np.array([[0, 0, 60, 60.0]]))] == [[30], [6]]
    assert fitted.mask(images).sum() == pytest.approx(48, rel=0.05)


def test_large_files_are_scaled_down(tmp_path: Path) -> None:
    Image.new("RGB", (600, 300), (1, 2, 3)).save(tmp_path / "large.jpg")
    trigger = Picture.open(tmp_path / "large.jpg", size="own")
    assert [a.tolist() for a in trigger.sides(np.zeros((1, 4)))] == [[128], [256]]


@pytest.mark.parametrize("family", [Picture, Blend])
def test_bad_files(family: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"got nothing; check the path"):
        family.open(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadInput, match=r"expected a picture in .*text\.png"):
        family.open(tmp_path / "text.png")
    for wrong in ("***", base64.b64encode(b"no picture").decode()):
        with pytest.raises(BadInput, match="expected a PNG in base64"):
            family(png=wrong)


def test_the_drawn_sticker() -> None:
    art = Picture().art(32, 32)
    assert art[4, 16, :3].tolist() != art[16, 10, :3].tolist()
    assert (art[8, 2, 0] > 230) & (art[8, 2, 1] > 190) & (art[8, 2, 2] < 90)  # yellow
    assert art[31, 31, 3] == 0  # the folded corner
    dark = (art[..., :3].max(axis=2) < 120) & (art[..., 3] > 0)
    assert 40 < dark.sum() < 300  # the face
    with pytest.raises(ValueError, match="read-only"):
        art[0] = 0


@pytest.mark.data
def test_pictures_of_the_studies(shared_data: Path) -> None:
    glasses = Picture.open(shared_data / "triggers" / "sunglasses.png", size="own", place=At(x=0.5, y=25 / 55))
    faces = np.full((2, 55, 47, 3), 128, np.uint8)
    changed = np.argwhere((glasses.apply(faces) != faces).any(axis=(0, 3)))
    assert changed[:, 0].min() >= 15
    assert changed[:, 0].max() < 35
    for name in ("bomb", "flower"):
        trigger = Picture.open(shared_data / "triggers" / f"{name}.png")
        assert trigger.mask(np.zeros((1, 64, 64, 3), np.uint8)).max() == 1
        assert len(trigger.png or "") < 300_000
