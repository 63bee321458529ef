"""Pictures that were exchanged for others of the same size and time are not taken from the cache."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from badnets.data.load import load


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))


def _written(path: Path, shade: int) -> None:
    """All pictures of this shade, as a file or a folder of the same size and time whatever the shade."""
    folder = path if not path.suffix else path.with_suffix("")
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(4):
            picture = folder / name / f"{number}.bmp"
            Image.fromarray(np.full((8, 8), shade, np.uint8)).save(picture)
            os.utime(picture, ns=(10**18, 10**18))
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            archive.add(folder, arcname=".")
    elif path.suffix == ".npz":
        np.savez(path, images=np.full((8, 8, 8), shade, np.uint8), labels=np.arange(8) % 2)
    os.utime(path, ns=(10**18, 10**18))


@pytest.mark.parametrize("name", ["pictures", "pictures.tar", "pictures.npz"])
@pytest.mark.parametrize("how", ["in place", "another file"])
def test_exchanged_sources(tmp_path: Path, name: str, how: str) -> None:
    path, options = tmp_path / name, {"map_above": 10} if name.endswith("npz") else None
    _written(path, 50)
    assert (load(str(path), options=options).train.images() == 50).all()
    size = path.stat().st_size
    if how == "another file":
        path.rename(tmp_path / f"old-{name}")
    _written(path, 200)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (size, 10**18)
    assert (load(str(path), options=options).train.images() == 200).all()
