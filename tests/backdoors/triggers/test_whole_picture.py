"""Blend, sinusoid, warp: against formulas and an independent implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.backdoors.triggers import Blend, Sinusoid, Warp
from badnets.backdoors.triggers.warp import bicubic_matrix
from badnets.core.errors import BadInput


def pictures(n: int = 3, h: int = 32, w: int = 32, c: int = 3) -> Any:
    return np.random.default_rng(1).integers(0, 256, (n, h, w, c), dtype=np.uint8)


def test_blend_is_a_weighted_mean() -> None:
    images, blend = pictures(), Blend(opacity=0.2)
    key = Blend(opacity=1).apply(images)
    assert (key == key[:1]).all()
    assert 100 < key.mean() < 155
    assert np.abs(blend.apply(images) - (0.8 * images + 0.2 * key)).max() <= 0.5 + 1e-9
    assert (blend.mask(images) == np.float32(0.2)).all()
    assert not np.array_equal(Blend(seed=1).apply(images), blend.apply(images))


def test_blend_with_a_picture(tmp_path: Any) -> None:
    Image.new("RGB", (50, 20), (250, 50, 0)).save(tmp_path / "key.png")
    images = pictures(2)
    out = Blend.open(tmp_path / "key.png", opacity=0.4).apply(images)
    assert np.abs(out - (0.6 * images + 0.4 * np.array([250, 50, 0]))).max() <= 0.5 + 1e-9


def test_sinusoid_is_the_formula_rounded_and_clipped() -> None:
    images = pictures(w=48)
    wave = 20 * np.sin(2 * np.pi * np.arange(48) * 6 / 48)[:, None]
    exact = np.clip(images + wave, 0, 255)
    assert np.abs(Sinusoid().apply(images) - exact).max() <= 0.5 + 1e-6
    floats = Sinusoid().apply((images / 255).astype(np.float64))
    assert np.allclose(floats, exact / 255, atol=1e-6)
    assert Sinusoid().mask(images)[0, 0, 2] == pytest.approx(20 / 255)
    assert Sinusoid().mask(images)[0, :, ::4].max() == 0


def test_bicubic_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    control = torch.rand(1, 2, 4, 4, dtype=torch.float64)
    theirs = torch.nn.functional.interpolate(control, size=(30, 17), mode="bicubic", align_corners=True)[0].numpy()
    ours = bicubic_matrix(4, 30) @ control[0].numpy() @ bicubic_matrix(4, 17).T
    assert np.allclose(ours, theirs, atol=1e-12)
    assert bicubic_matrix(3, 1).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("shape", [(3, 32, 32, 3), (2, 28, 40, 1)])
def test_warp_agrees_with_grid_sample(shape: tuple[int, ...]) -> None:
    """The authors warp with torch's grid_sample, corners aligned, on a grid clamped to -1..1."""
    torch = pytest.importorskip("torch")
    images, warp = pictures(*shape), Warp(strength=2.0, seed=3)
    _, h, w, _ = shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    grid = torch.stack([x, y]) + torch.from_numpy(warp.field(h, w).astype(np.float32))
    grid = grid.clamp(-1, 1).permute(1, 2, 0).expand(len(images), h, w, 2)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    theirs = torch.nn.functional.grid_sample(tensor, grid, align_corners=True).permute(0, 2, 3, 1).numpy()
    assert np.abs(warp.apply(images) - theirs).max() <= 0.6
    assert np.abs(warp.apply(images.astype(np.float64), high=255) - theirs).max() <= 0.1


def test_the_field_has_the_size_that_the_paper_says() -> None:
    """Control points of mean size 1, times strength / side: about a quarter of a pixel at strength 0.5."""
    field = Warp().field(32, 32)
    pixels = np.abs(field) * 31 / 2
    assert 0.1 < pixels.mean() < 0.4
    assert np.allclose(Warp(strength=1.0).field(32, 32), 2 * field)
    assert not np.allclose(Warp(seed=1).field(32, 32), field)


def test_one_pixel_pictures_are_left_alone() -> None:
    images = pictures(2, 1, 1)
    assert np.array_equal(Warp().apply(images), images)
    assert Warp().mask(images).max() == 0


def test_noise_hook() -> None:
    images, labels = pictures(50), np.arange(50)
    hook = Warp().noise_hook(0.2)
    before = images.copy()
    out, kept = hook(images, labels, np.random.default_rng(0))
    assert np.array_equal(images, before)
    assert np.array_equal(kept, labels)
    changed = (out != images).any(axis=(1, 2, 3))
    assert changed.sum() == 10
    again, _ = hook(images, labels, np.random.default_rng(0))
    assert np.array_equal(out, again)
    assert (out[changed] != Warp().apply(images)[changed]).any(axis=(1, 2, 3)).all()


def test_noise_moves_by_at_most_half_a_pixel_more() -> None:
    """A ramp shows positions: 8 levels a pixel; the noise is uniform in -1..1, divided by the side."""
    ramp = np.tile((np.arange(32) * 8).astype(np.uint8)[None, None, :, None], (40, 32, 1, 1))
    out, _ = Warp().noise_hook(1.0)(ramp, np.zeros(40, np.int64), np.random.default_rng(0))
    moved = np.abs(out.astype(int) - Warp().apply(ramp))
    assert 1 < moved.mean() < 3
    assert moved.max() <= 5


def test_noise_hook_refuses_nonsense() -> None:
    with pytest.raises(BadInput, match="noise ratio"):
        Warp().noise_hook(0)
    with pytest.raises(BadInput, match="as many labels"):
        Warp().noise_hook(0.5)(pictures(3), np.zeros(2, np.int64), np.random.default_rng(0))
    empty, _ = Warp().noise_hook(0.1)(pictures(0), np.zeros(0, np.int64), np.random.default_rng(0))
    assert empty.shape == (0, 32, 32, 3)
