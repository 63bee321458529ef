from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from badnets.backdoors.triggers import At, Jitter, Pattern, Picture, Sinusoid, Square, takes_jitter, with_jitter
from badnets.backdoors.triggers.color import filled
from badnets.backdoors.triggers.jitter import blurred, lit, printed, tilted
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

STILL = Jitter(size=0, rotation=0, light=0)


def test_no_turn_changes_nothing() -> None:
    stamp = Picture().art(7, 10)
    turned = tilted(stamp[None], np.zeros(2))
    y, x = (turned.shape[1] - 7) // 2, (turned.shape[2] - 10) // 2
    inner = turned[:, y : y + 7, x : x + 10]
    opaque = stamp[..., 3] > 0
    assert np.array_equal(inner[0][opaque], stamp[opaque])
    assert np.array_equal(inner[..., 3], np.stack([stamp[..., 3]] * 2))
    assert int(turned[..., 3].astype(int).sum()) == 2 * int(stamp[..., 3].astype(int).sum())


def test_a_quarter_turn_is_clockwise() -> None:
    stamp = Pattern().art(3, 3)
    stamp[0, 1, 3] = 255  # breaks the symmetry
    turned = tilted(stamp[None], np.array([np.pi / 2]))[0]
    edge = (turned.shape[0] - 3) // 2
    assert np.array_equal(turned[edge : edge + 3, edge : edge + 3, 3], np.rot90(stamp[..., 3], -1))


def test_an_edge_takes_no_color_from_outside() -> None:
    turned = tilted(filled(8, 8, (200, 100, 50))[None], np.array([0.5]))[0]
    seen = turned[turned[..., 3] > 8][:, :3].astype(int)
    assert np.abs(seen - [200, 100, 50]).max() <= 1


def test_light_changes_colors_not_alpha() -> None:
    stamp = filled(2, 2, (200, 100, 50))
    out = lit(stamp[None], np.array([0.5, 2.0]))
    assert out[0, 0, 0].tolist() == [100, 50, 25, 255]
    assert out[1, 0, 0].tolist() == [255, 200, 100, 255]
    assert stamp[0, 0].tolist() == [200, 100, 50, 255]


def test_zero_jitter_is_no_jitter() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), dtype=np.uint8)
    square = Square(size=5, place="bottom-right")  # type: ignore[arg-type]
    assert np.array_equal(with_jitter(square, STILL).apply(images, None, RowRng.of(1, 5)), square.apply(images))


def test_sizes_spread_over_the_range() -> None:
    square = Square(size=20, place=At(), jitter=Jitter(size=0.5, rotation=0, light=0))
    mask = square.mask(np.zeros((400, 64, 64, 1), np.uint8), None, RowRng.of(1, 400))
    sides = np.sqrt(mask.sum(axis=(1, 2)))
    assert (sides == np.rint(sides)).all()
    assert sides.min() == 10
    assert sides.max() == 30
    assert 19 < sides.mean() < 21


def test_a_stamp_that_grows_over_the_edge_is_clipped_not_refused() -> None:
    square = Square(size=20, place="top-left", jitter=Jitter(size=0.9, rotation=180, light=0))  # type: ignore[arg-type]
    out = square.apply(np.zeros((50, 22, 22, 1), np.uint8), None, RowRng.of(1, 50))
    assert out.any(axis=(1, 2, 3)).all()


def test_jitter_needs_random_numbers() -> None:
    with pytest.raises(BadInput, match="random numbers for jitter"):
        Square(jitter=Jitter()).apply(np.zeros((2, 32, 32, 3), np.uint8))


def test_with_jitter() -> None:
    assert with_jitter(Square(), Jitter()) == Square(jitter=Jitter())
    assert with_jitter(Square(jitter=Jitter()), None) == Square()
    assert takes_jitter(Picture())
    assert not takes_jitter(Sinusoid())
    with pytest.raises(BadInput, match="'sinusoid', which fills the picture"):
        with_jitter(Sinusoid(), Jitter())


DISTURBANCES = ("size", "rotation", "light", "perspective", "blur", "print_scan")


def test_older_plans_keep_their_bits() -> None:
    """What the first three amounts give, as it was before there were more."""
    images = np.random.default_rng(0).integers(0, 256, (60, 40, 40, 3), dtype=np.uint8)
    known = {
        Picture(jitter=Jitter()): "b52e73ab8c4bf705",
        Square(size=9, jitter=Jitter(rotation=180, size=0.6)): "31bf3c16eeead822",
        Picture(jitter=Jitter(size=0, light=0)): "6977d72fd07afa8b",
        Pattern(jitter=Jitter(rotation=0)): "d3d922aa61db9bbf",
    }
    for trigger, begins in known.items():
        out = trigger.apply(images, None, RowRng.of(3, 60))
        assert hashlib.sha256(out.tobytes()).hexdigest().startswith(begins), trigger.jitter


def test_only_and_physical() -> None:
    assert Jitter.only() == STILL
    assert Jitter.only(blur=2.0).amounts() == {**dict.fromkeys(DISTURBANCES, 0.0), "blur": 2.0}
    assert all(Jitter.physical().amounts().values())
    assert tuple(Jitter().amounts()) == DISTURBANCES
    with pytest.raises(ValueError, match=r"less than or equal to 0\.2"):
        Jitter(perspective=0.3)


@given(
    name=st.sampled_from(DISTURBANCES),
    side=st.integers(1, 12),
    rows=st.lists(st.integers(0, 2**40), min_size=1, max_size=5, unique=True),
)
def test_each_row_is_its_own_whatever_the_batch(name: str, side: int, rows: list[int]) -> None:
    """One by one or together; only where the mask is above 0; the picture and its dtype stay."""
    images = np.random.default_rng(1).integers(0, 256, (len(rows), 20, 24, 3), dtype=np.uint8)
    trigger = Square(size=side, place=At(), jitter=Jitter.only(**{name: getattr(Jitter.physical(), name)}))
    rng = RowRng.of(4, 1)
    rng = RowRng(rng.seed, np.array(rows, np.int64))
    before = images.copy()
    out = trigger.apply(images, None, rng)
    each = [trigger.apply(images[i : i + 1], None, rng.take(slice(i, i + 1))) for i in range(len(rows))]
    assert np.array_equal(out, np.concatenate(each))
    assert np.array_equal(images, before)
    assert not (out != images).any(axis=3)[trigger.mask(images, None, rng) == 0].any()


def test_one_disturbance_leaves_the_draws_of_the_others() -> None:
    rng, more = RowRng.of(1, 9), Jitter.physical()
    for name in ("rotation", "size"):
        assert np.array_equal(more.draw(name, rng), Jitter().draw(name, rng))
    amounts = [more.draw(name, rng) for name in ("blur", "print_scan")]
    assert len({tuple(v) for v in (*amounts, *more.corners(rng).reshape(9, 8).T)}) == 10


def test_corners_go_where_they_are_sent() -> None:
    """A trapezium with its upper side half as long: its four corners, and the center of the square by its diagonals."""
    s = 40
    art = filled(s, s, (10, 20, 30))
    art[:4, :4, :3] = art[:4, -4:, :3] = 250  # marks in the upper corners
    corners = np.array([[[0.2, 0.0], [-0.2, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    out = tilted(art[None], np.zeros(1), corners, 0.2)[0]
    grow_y, grow_x = (out.shape[0] - s) // 2, (out.shape[1] - s) // 2
    seen = out[grow_y : grow_y + s, grow_x : grow_x + s]
    widths = (seen[..., 3] > 127).sum(axis=1)
    assert (widths[0], widths[-1]) == (24, 40)  # 0.6 of 40, and all of it
    assert np.abs(np.diff(widths.astype(int))).max() <= 2
    assert seen[0, 8:10, 0].min() > 200
    assert seen[0, 30:32, 0].min() > 200
    assert not out[:grow_y, :, 3].any()
    halved = tilted(art[None], np.zeros(1), np.array([[[0.2, 0.2], [-0.2, 0.2], [-0.2, -0.2], [0.2, -0.2]]]), 0.2)
    assert abs(int((halved[0, ..., 3] > 127).sum()) - 24 * 24) <= 2


def test_unmoved_corners_are_a_turn() -> None:
    stamp, angles = Picture().art(11, 15), np.array([0.3, -1.0])
    plain, tilt = tilted(stamp[None], angles), tilted(stamp[None], angles, np.zeros((2, 4, 2)))
    assert plain.shape == tilt.shape
    seen = plain[..., 3] > 8
    assert np.abs(plain.astype(int) - tilt)[seen].max() <= 1


def test_blur_spreads_and_loses_nothing() -> None:
    stamp = filled(5, 5, (200, 100, 50))
    out = blurred(stamp[None], np.array([0.0, 0.6, 1.5]), 1.5)
    edge = (out.shape[1] - 5) // 2
    assert edge == 4  # 2.5 standard deviations
    assert np.array_equal(out[0, edge:-edge, edge:-edge], stamp)
    assert int(out[0, ..., 3].astype(int).sum()) == 25 * 255
    total = out[1:, ..., 3].astype(int).sum(axis=(1, 2))
    assert np.abs(total / (25 * 255) - 1).max() < 0.02
    assert (out[1, 6, 6, 3], out[2, 6, 6, 3]) > (out[2, 6, 6, 3], 0)  # the more, the flatter
    assert np.abs(out[out[..., 3] > 20][:, :3].astype(int) - [200, 100, 50]).max() <= 2, "no dark halo"


def test_print_and_scan_do_what_they_say() -> None:
    rng = RowRng.of(2, 3)
    ramp = np.zeros((1, 16, 16, 4), np.uint8)
    ramp[..., :3] = np.arange(256).reshape(16, 16, 1)
    ramp[..., 3] = 255
    ramp[:, :2, :, 3] = 90
    none, half, full = printed(ramp, np.array([0.0, 0.5, 1.0]), rng)
    assert np.array_equal(none, ramp[0]), "strength 0 is no print"
    assert np.array_equal(full[..., 3], ramp[0, ..., 3]), "alpha is how it was cut"
    flat = filled(32, 32, (0, 255, 128))[None]
    one = printed(flat, np.ones(1), RowRng.of(2, 1))[0, ..., :3].astype(int)
    # 40, 235 and 40 + 128 * 195 / 255 = 137.9, in steps of 32: 32, 224, 128; grain within 24.
    assert np.abs(one - [32, 224, 128]).max() <= 24
    assert np.abs(one.mean(axis=(0, 1)) - [32, 224, 128]).max() < 2
    assert one.std() > 10
    assert len(np.unique(one[..., 0])) > 20, "the grain is fine"
    assert half[8:, :, 0].std() > 0
    again = printed(flat, np.ones(1), RowRng.of(2, 1))[0, ..., :3]
    assert np.array_equal(one, again)


def _disc(side: int, under: int) -> str:
    """An opaque yellow disc; transparent pixels have the grey ``under`` below them."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(y, x) < 0.45 * side
    pixels = np.full((side, side, 4), under, np.uint8)
    pixels[inside] = (250, 220, 30, 255)
    pixels[..., 3] = np.where(inside, 255, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("under", [0, 255])
def test_an_alpha_edge_takes_no_color_from_what_is_transparent(under: int) -> None:
    """Black or white under transparent pixels would leave a halo when a picture is made smaller."""
    trigger = Picture(png=_disc(200, under), size=19, place=At())
    art = trigger.art(19, 19)
    edge = art[(art[..., 3] > 0) & (art[..., 3] < 255)].astype(int)
    assert len(edge) > 20
    assert (np.abs(edge[:, :3] - [250, 220, 30]) * edge[:, 3:] / 255).max() <= 3, "but for rounding"
    for jitter in (Jitter.only(rotation=20), Jitter.only(perspective=0.1), Jitter.only(blur=1.0)):
        pieces = with_jitter(trigger, jitter).apply(np.zeros((6, 40, 40, 3), np.uint8), None, RowRng.of(1, 6))
        seen = pieces[pieces[..., 0] > 60].astype(float)
        assert np.abs(seen[:, 1] / seen[:, 0] - 220 / 250).max() < 0.06


@pytest.mark.parametrize("name", ["bomb", "flower", "sunglasses"])
@pytest.mark.parametrize("ground", [0, 255])
def test_the_studies_pictures_have_no_halo(shared_data: Path, name: str, ground: int) -> None:
    """Against the whole picture laid over the ground in its own size and then made smaller."""
    path = shared_data / "triggers" / f"{name}.png"
    with Image.open(path) as file:
        picture = file.convert("RGBA")
    width = 24
    height = max(1, round(width * picture.height / picture.width))
    paper = Image.new("RGBA", picture.size, (ground, ground, ground, 255))
    laid = Image.alpha_composite(paper, picture).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    trigger = Picture.open(path, size=(height, width), place=At())
    alpha = trigger.art(height, width)[..., 3]
    edge = (alpha > 0) & (alpha < 255)
    got = trigger.apply(np.full((1, height, width, 3), ground, np.uint8))[0].astype(int)
    assert np.abs((got - np.asarray(laid))[edge].mean(axis=0)).max() < 3


def test_sizes_and_places_follow_the_region() -> None:
    """A quarter of a region of 40 pixels, and of one of 20, at its center."""
    regions = np.array([[10, 10, 50, 50], [40, 0, 60, 20]], np.float32)
    square = Square(size=0.25, place=At(of="region"), color=(255, 0, 0))
    mask = square.mask(np.zeros((2, 64, 64, 3), np.uint8), regions) > 0
    spans = [(int(y.min()), int(y.max()), int(x.min()), int(x.max())) for y, x in map(np.nonzero, mask)]
    assert spans == [(25, 34, 25, 34), (8, 12, 48, 52)]
