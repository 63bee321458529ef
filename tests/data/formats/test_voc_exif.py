"""Pictures with boxes that EXIF turns: the boxes go with them, and where that is not to be known it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.data.formats.test_voc import picture, xml

from badnets.core.cache import DataWarning
from badnets.core.errors import BadInput
from badnets.data.load import load

LYING = (40, 30)  # width, height in the file
BOX = (3, 5, 15, 12)


def sample(root: Path, orientation: int, size: tuple[int, int] | None) -> Path:
    """Six pictures, of which the first has an orientation; where its box is, it is red."""
    for folder in ("images", "annotations"):
        (root / folder).mkdir(parents=True)
    for i in range(6):
        file = root / "images" / f"road{i}.png"
        picture(file, LYING, i)
        (root / "annotations" / f"road{i}.xml").write_text(xml([("sign", BOX)], size if i == 0 else LYING))
    exif, pixels = Image.Exif(), np.zeros((*LYING[::-1], 3), np.uint8)
    exif[0x0112] = orientation
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2], 0] = 255
    Image.fromarray(pixels).save(root / "images" / "road0.png", exif=exif)
    return root


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("asked", [None, (60, 60)])
def test_boxes_of_the_lying_picture_are_turned(tmp_path: Path, orientation: int, asked: tuple[int, int] | None) -> None:
    with pytest.warns(DataWarning, match=r"boxes of 1 pictures were turned with them, as their EXIF says.*road0\.png"):
        data = load("voc", path=sample(tmp_path, orientation, LYING), size=asked, test_share=0.2)
    for part in (data.train, data.test):
        for row in range(len(part)):
            shown = part.pixels.one(row)
            if shown[..., 1].max() > 0:  # another picture
                continue
            x0, y0, x1, y1 = part.take(np.array([row])).boxes.xyxy[0].round().astype(int)
            assert shown[y0:y1, x0:x1, 0].mean() > 200
            assert int(shown[y0:y1, x0:x1, 0].sum()) > 0.85 * int(shown[..., 0].sum())
            return
    pytest.fail("the turned picture is not there")


def test_boxes_of_the_upright_picture_stay(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    root = sample(tmp_path, 6, LYING[::-1])
    data = load("voc", path=root)
    assert not [one for one in recwarn if "EXIF" in str(one.message)]
    with Image.open(root / "images" / "road0.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    where = [(p, i) for p in (data.train, data.test) for i in range(len(p)) if p.pixels.one(i).shape[:2] == (40, 30)]
    part, row = where[0]
    assert np.array_equal(part.pixels.one(row), upright)
    assert part.take(np.array([row])).boxes.xyxy[0].tolist() == list(map(float, BOX))


@pytest.mark.parametrize(("orientation", "size"), [(3, LYING), (6, None)])
def test_what_cannot_be_known_is_said(tmp_path: Path, orientation: int, size: tuple[int, int] | None) -> None:
    with pytest.warns(DataWarning, match=r"EXIF turns 1 pictures, and no size tells .* the first is images/road0\.png"):
        load("voc", path=sample(tmp_path, orientation, size))


def test_another_size_names_exif(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"got 30x40 pixels in images/road0\.png \(turned by its EXIF\)"):
        load("voc", path=sample(tmp_path, 6, (99, 98)))
