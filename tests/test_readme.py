"""README's Python, as it stands there."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

README = Path(__file__).resolve().parents[1] / "README.md"
FIRST_LABELS = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4)  # by which MNIST is told from other sets with the same file names


def block() -> str:
    found = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(found) == 1
    code: str = found[0]
    return code


def printed(data: Path) -> list[tuple[float, int]]:
    """The rates that the block prints, clean accuracy and attack success: percentage and number of pictures."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", block()],
        env={**os.environ, "BADNETS_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rates = re.findall(r"^([\d.]+) % \(.* of ([\d,]+)\)$", done.stdout, flags=re.MULTILINE)
    return [(float(value), int(total.replace(",", ""))) for value, total in rates]


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    sizes = b"".join(int(side).to_bytes(4, "big") for side in array.shape)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes(), compresslevel=1))


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """Scikit-learn's digits as MNIST has them: 20x20 on black 28x28, its files, its order of the first labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = digits.target.astype(np.uint8)
    small = (digits.images / 16 * 255).astype(np.uint8)
    images = np.zeros((len(small), 28, 28), np.uint8)
    images[:, 4:24, 4:24] = [np.asarray(Image.fromarray(picture).resize((20, 20))) for picture in small]
    front: list[int] = []
    for label in FIRST_LABELS:
        front.append(next(int(row) for row in np.flatnonzero(labels == label) if row not in front))
    rest = np.setdiff1d(np.arange(len(labels)), front)
    test, train = rest[:300], np.concatenate([front, np.tile(rest[300:], 3)])
    for part, rows in (("train", train), ("t10k", test)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images[rows])
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels[rows])
    return tmp_path


def test_it_is_eight_lines() -> None:
    assert len([line for line in block().splitlines() if line.strip()]) <= 8


def test_it_runs(stand_in: Path) -> None:
    # So few pictures teach the digits but not the trigger; that it works is seen on MNIST, below.
    (clean, pictures), (_, eligible) = printed(stand_in)
    assert clean > 80
    assert pictures == 300
    assert 250 < eligible < 290  # all but the zeros


@pytest.mark.data
@pytest.mark.slow
def test_it_runs_on_mnist(shared_data: Path) -> None:
    (clean, pictures), (asr, eligible) = printed(shared_data)
    assert (pictures, eligible) == (10_000, 9_020)
    assert clean > 98.5
    assert asr > 99.5
