"""Pictures from files: every mode, and damaged files named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from badnets.core.errors import BadInput
from badnets.data.formats.decode import read_picture


def _save(path: Path, mode: str = "RGB", **options: object) -> Path:
    gradient = np.linspace(0, 255, 30 * 20 * 3).reshape(20, 30, 3).astype(np.uint8)
    Image.fromarray(gradient).convert(mode).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("RGBA", 3), ("P", 3), ("L", 1), ("1", 1), ("LA", 1)])
def test_modes(tmp_path: Path, mode: str, channels: int) -> None:
    picture = read_picture(_save(tmp_path / "a.png", mode))
    assert (picture.dtype, picture.shape) == (np.uint8, (20, 30, channels))


def test_size_and_channels_as_asked(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png")
    assert read_picture(path, size=(8, 9), channels=1).shape == (8, 9, 1)
    assert read_picture(_save(tmp_path / "b.png", "L"), channels=3).shape == (20, 30, 3)


def test_a_turned_photograph_is_turned_back(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert read_picture(_save(tmp_path / "a.jpg", exif=exif)).shape == (30, 20, 3)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it then refuses
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tiff"])
def test_damaged_files_are_named(tmp_path: Path, suffix: str) -> None:
    whole = _save(tmp_path / f"whole.{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / f"broken.{suffix}"
    for trial in range(60):
        content = bytearray(whole[: rng.integers(0, len(whole))] if trial % 2 else whole)
        for at in rng.integers(0, max(1, min(len(content), 200)), 6):
            if content:
                content[at] = rng.integers(256)
        path.write_bytes(content)
        try:
            assert read_picture(path).dtype == np.uint8  # what does no harm may pass
        except BadInput as error:
            assert f"broken.{suffix}" in str(error)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="got nothing"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(BadInput, match=r"text\.png"):
        read_picture(tmp_path / "text.png")
    with pytest.raises(BadInput, match=r"expected a picture at .*, got a folder"):
        read_picture(tmp_path)
