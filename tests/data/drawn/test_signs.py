"""The embedded source: drawn traffic signs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from badnets.core.cache import CacheWarning
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed
from badnets.data.drawn import eu, signs, us
from badnets.data.drawn.camera import Pose
from badnets.data.drawn.canvas import Canvas
from badnets.data.drawn.signs import class_names, faces_of, plates_of, render
from badnets.data.images import Splits
from badnets.data.load import load

STYLES = ("us", "eu")

# Only operations that IEEE 754 defines to the last bit are used, so these hold on every machine.
# A change of the drawing changes them: raise VERSION then.
GOLDEN = {
    ("us", 32): "b2fd35e3ed9acbd187f56ffba5895821137320e7a35bf9a3b3ad682f6c9d2ebb",
    ("us", 64): "72a2bb58e62d368172dd2172c63a9a9a85a9162fd57244629b445aef3119c0a1",
    ("eu", 32): "692e7b9bd124edfdfbea9fd14659a6f7fe0635a8bcf85634b2718a8ed74f20d4",
    ("eu", 64): "3faf40b4a0ea9313681d62de8cf44b2293a7c2a72c5165314c76917aa49cd688",
}


def load_signs(progress: Any = None, **options: Any) -> Splits:
    return load("signs", options=options, progress=progress)


def face(style: str, name: str, size: int) -> Image.Image:
    """One clean sign without a scene: RGBA, ``size`` x ``size``."""
    drawn = faces_of(style)[name].draw(size)
    alpha = drawn[..., 3:]
    straight = drawn[..., :3] / np.maximum(alpha, np.float32(1 / 255))
    pixels = np.concatenate([straight, alpha], axis=2) * np.float32(255) + np.float32(0.5)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def one_of_each(style: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(len(class_names(style)), dtype=np.int64)


@pytest.mark.parametrize(("style", "size"), GOLDEN)
def test_the_same_pictures_on_every_machine(style: str, size: int) -> None:
    labels = one_of_each(style)
    images, regions = render(style, labels, labels, Seed(7), size)
    total = hashlib.sha256(images.tobytes() + regions.astype("<f4").tobytes())
    assert total.hexdigest() == GOLDEN[style, size], "the drawing changed: raise VERSION and renew the digest"


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(12)), cut=st.integers(0, 12))
def test_a_row_is_the_same_picture_in_any_batch(order: list[int], cut: int) -> None:
    rows = np.arange(12, dtype=np.int64)
    labels = rows % 16
    whole, where = render("us", labels, rows, Seed(3), 16)
    for part in (np.array(order[:cut], dtype=np.int64), np.array(order[cut:], dtype=np.int64)):
        images, regions = render("us", labels[part], rows[part], Seed(3), 16)
        np.testing.assert_array_equal(images, whole[part])
        np.testing.assert_array_equal(regions, where[part])


def test_the_number_of_threads_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "_PIXELS_AT_ONCE", 32 * 32 * 5)
    rows = np.arange(24, dtype=np.int64)
    drawn = []
    for count in (1, 3):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        drawn.append(render("eu", rows % 17, rows, Seed(1), 32)[0])
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_seeds_and_rows_give_different_pictures() -> None:
    labels = np.zeros(8, dtype=np.int64)
    rows = np.arange(8, dtype=np.int64)
    first, second = (render("us", labels, rows, Seed(seed), 32)[0] for seed in (1, 2))
    assert len(np.unique(first.reshape(8, -1), axis=0)) == 8
    assert not (first == second).all(axis=(1, 2, 3)).any()


def test_progress_counts_up_to_the_end() -> None:
    seen: list[tuple[int, int]] = []
    rows = np.arange(150, dtype=np.int64)
    render("us", rows % 16, rows, Seed(1), 32, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (150, 150)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("style", STYLES)
def test_at_least_twelve_classes_with_distinct_faces(style: str) -> None:
    names = class_names(style)
    assert len(names) >= 12
    drawn = np.stack([np.asarray(face(style, name, 32), dtype=np.float64) for name in names])
    distance = np.abs(drawn[:, None] - drawn[None]).mean(axis=(2, 3, 4))
    assert distance[~np.eye(len(names), dtype=bool)].min() > 2


def test_the_styles_differ_plainly() -> None:
    shared = set(class_names("us")) & set(class_names("eu"))
    assert "stop" in shared
    for name in shared:
        a, b = (np.asarray(face(style, name, 64), dtype=np.float64) for style in STYLES)
        assert np.abs(a - b).mean() > 2


@pytest.mark.parametrize(
    ("style", "name", "at", "color"),
    [
        ("us", "stop", (0.5, 0.15), us.RED),
        ("us", "stop", (0.5, 0.035), us.WHITE),  # the edge
        ("us", "curve", (0.5, 0.12), us.YELLOW),
        ("us", "school", (0.5, 0.17), us.LIME),
        ("us", "do-not-enter", (0.5, 0.5), us.WHITE),
        ("eu", "no-entry", (0.5, 0.2), eu.RED),
        ("eu", "ahead-only", (0.15, 0.5), eu.BLUE),
        ("eu", "priority-road", (0.5, 0.5), eu.YELLOW),
        ("eu", "speed-limit-50", (0.5, 0.07), eu.RED),
    ],
)
def test_faces_have_their_colors_where_they_belong(
    style: str, name: str, at: tuple[float, float], color: tuple[int, int, int]
) -> None:
    picture = face(style, name, 256)
    assert isinstance(picture, Image.Image)
    assert (picture.mode, picture.size) == ("RGBA", (256, 256))
    found = picture.getpixel((int(at[0] * 256), int(at[1] * 256)))
    assert found == (*color, 255)


@pytest.mark.parametrize("style", STYLES)
def test_faces_have_clear_corners_or_a_rounded_plate(style: str) -> None:
    for name in class_names(style):
        alpha = np.asarray(face(style, name, 64))[..., 3]
        assert alpha[0, 0] == 0, name
        assert alpha.max() == 255, name


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [16, 32, 80])
def test_regions_are_tight_boxes_of_the_sign(style: str, size: int) -> None:
    """The box is compared with the pixels that the warped plate really covers."""
    faces = tuple(faces_of(style).values())
    rows = np.arange(40, dtype=np.int64)
    labels = rows % len(faces)
    canvas = Canvas(RowRng(Seed(5), rows), size)
    pose = Pose.of(canvas)
    regions = pose.region(faces, labels, size)
    alpha = plates_of(style, size).seen(labels, pose, size, 4)[:, 3]
    assert regions.dtype == np.float32
    assert (regions >= 0).all()
    assert (regions <= size).all()
    for region, cover in zip(regions, alpha, strict=True):
        ys, xs = np.nonzero(cover > 0.02)
        drawn = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert np.abs(region - drawn).max() <= 1.5


def test_a_red_sign_is_redder_inside_its_region() -> None:
    rows = np.arange(60, dtype=np.int64)
    images, regions = render("us", np.zeros(60, dtype=np.int64), rows, Seed(2), 32)
    redder = 0
    for image, (x0, y0, x1, y1) in zip(images.astype(np.float64), np.rint(regions).astype(int), strict=True):
        redness = image[..., 0] - image[..., 1:].mean(axis=2)
        inside = np.zeros((32, 32), dtype=bool)
        inside[y0:y1, x0:x1] = True
        redder += redness[inside].mean() > redness[~inside].mean()
    assert redder >= 54


def test_splits_are_balanced_shuffled_and_independent() -> None:
    splits = load("signs-us", size=16, options={"train": 50, "test": 33}, select=0.4)
    assert (len(splits.train), len(splits.select), len(splits.test)) == (
        50 - len(splits.select),
        len(splits.select),
        33,
    )
    assert len(splits.select) > 0
    counts = np.bincount(splits.test.labels, minlength=16)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(splits.test.labels) < 0).any()
    assert splits.train.name == splits.test.name == "signs-us"
    assert splits.class_names == class_names("us")
    assert splits.test.targets.region is not None
    train = {image.tobytes() for image in splits.train.images()}
    assert not train & {image.tobytes() for image in splits.test.images()}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache keeps signs; empty at first."""
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path))
    return tmp_path / "signs"


def test_the_cache_gives_the_same_data_without_drawing(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: dict[str, Any] = {"style": "eu", "size": 16, "train": 20, "test": 17}
    fresh = load_signs(**wanted)
    assert len(list(kept.iterdir())) == 2
    drawn, _ = signs.order("eu", 16, 20, Seed(0).derive("signs", "eu", "train")).draw(None)
    np.testing.assert_array_equal(fresh.train.images(), drawn)
    monkeypatch.setattr(signs, "render", lambda *_: pytest.fail("drawn"))
    seen: list[tuple[str, int, int]] = []
    again = load_signs(**wanted, progress=lambda *step: seen.append(step))
    assert (again.train.digest, again.test.digest) == (fresh.train.digest, fresh.test.digest)
    assert seen[-1] == ("drawing signs", 37, 37)


def test_what_the_pictures_depend_on_is_in_the_key_of_the_cache(kept: Path) -> None:
    changes: list[dict[str, Any]] = [{}, {"style": "eu"}, {"size": 17}, {"train": 21}, {"seed": 1}]
    for change in changes:
        wanted: dict[str, Any] = {"size": 16, "train": 20, "test": 17, **change}
        load_signs(**wanted)
    assert len(list(kept.iterdir())) == 2 + 2 + 2 + 1 + 2


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other", "objects"])
def test_a_damaged_cache_file_is_drawn_again(kept: Path, damage: str) -> None:
    wanted: dict[str, Any] = {"size": 16, "train": 20, "test": 16}
    fresh = load_signs(**wanted)
    path = max(kept.iterdir(), key=lambda p: p.stat().st_size)  # the training set has more pictures
    content = path.read_bytes()
    if damage == "other":
        with path.open("wb") as file:
            np.savez(file, images=np.zeros((1, 2)), regions=np.zeros(3))
    elif damage == "objects":
        with path.open("wb") as file:
            np.savez(file, images=np.array([{}], dtype=object), regions=np.zeros(3))
    else:
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "changed": changed, "empty": b""}[damage])
    with pytest.warns(CacheWarning, match="damaged in the cache, and made anew"):
        assert load_signs(**wanted).train.digest == fresh.train.digest
    assert path.read_bytes() == content


def test_without_a_writable_cache_it_goes_on_after_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "file"))
    with pytest.warns(CacheWarning, match="cannot be written") as caught:
        splits = load_signs(size=16, train=16, test=16)
    assert len(caught) == 1
    assert len(splits.train) == 16


def settings_of(changes: dict[str, Any]) -> dict[str, Any]:
    return {"size": 16, "train": 16, "test": 16, **changes}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"style": "uk"}, "us or eu"),
        ({"size": 15}, "at least 16"),
        ({"train": 15}, "train"),
        ({"test": 3}, "test"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        load_signs(**settings_of(wrong))


def test_wrong_labels_and_rows_are_named() -> None:
    rows = np.arange(3, dtype=np.int64)
    with pytest.raises(BadInput, match=r"0\.\.15"):
        render("us", rows + 14, rows, Seed(1), 16)
    with pytest.raises(BadInput, match="one row number"):
        render("us", rows, rows[:2], Seed(1), 16)


def test_no_pictures_is_no_error() -> None:
    none = np.zeros(0, dtype=np.int64)
    images, regions = render("us", none, none, Seed(1), 32)
    assert (images.shape, regions.shape) == ((0, 32, 32, 3), (0, 4))
