"""Laws of triggers over settings, sizes and regions that nobody thought of."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from badnets.backdoors.trigger import TRIGGERS
from badnets.backdoors.triggers import (
    At,
    Blend,
    Checkerboard,
    Corner,
    Jitter,
    Pattern,
    Picture,
    Pixel,
    Random,
    Sinusoid,
    Square,
    Warp,
)
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

unit = st.floats(0, 1, allow_nan=False)
of = st.sampled_from(["image", "region"])
corners = st.sampled_from(["top-left", "top-right", "bottom-left", "bottom-right"])
places = st.one_of(
    st.builds(Corner, corner=corners, distance=st.integers(0, 4), of=of),
    st.builds(At, x=unit, y=unit, of=of),
    st.builds(lambda a, b, of: Random(low=min(a, b), high=max(a, b), of=of), unit, unit, of),
)
side = st.one_of(st.integers(1, 12), st.floats(0.01, 1))
sizes = st.one_of(side, st.tuples(side, side))
colors = st.one_of(st.integers(0, 255), st.tuples(*[st.integers(0, 255)] * 3))
jitters = st.none() | st.builds(Jitter, size=st.floats(0, 0.9), rotation=st.floats(0, 180), light=st.floats(0, 1))
stamp: dict[str, Any] = {"place": places, "opacity": st.floats(0.001, 1), "jitter": jitters}
triggers = st.one_of(
    st.builds(Pixel, color=colors, **stamp),
    st.builds(Pattern, size=sizes, color=colors, **stamp),
    st.builds(Square, size=sizes, color=colors, **stamp),
    st.builds(Checkerboard, size=sizes, cell=st.integers(1, 5), **stamp),
    st.builds(Picture, size=sizes, **stamp),
    st.builds(Blend, seed=st.integers(0, 3), opacity=st.floats(0.001, 1)),
    st.builds(Sinusoid, delta=st.floats(0.1, 255), frequency=st.floats(0.1, 20)),
    st.builds(Warp, grid=st.integers(2, 6), strength=st.floats(0.01, 4), seed=st.integers(0, 3)),
)


@st.composite
def batches(draw: Any) -> tuple[Any, Any, RowRng]:
    n, h, w = draw(st.integers(0, 5)), draw(st.integers(4, 20)), draw(st.integers(4, 20))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    images = rng.integers(0, 256, (n, h, w, draw(st.sampled_from([1, 3]))), dtype=np.uint8)
    if draw(st.booleans()):
        images = (images / 255).astype(np.float32)
    where = None
    if draw(st.booleans()):
        low = rng.uniform(-3, 3, (n, 2))
        where = np.concatenate([low, low + rng.uniform(2, 16, (n, 2))], axis=1).astype(np.float32)
    return images, where, RowRng.of(draw(st.integers(0, 9)), n)


@settings(max_examples=300, deadline=None)
@given(triggers, batches())
def test_laws(trigger: Any, batch: Any) -> None:
    images, where, rng = batch
    before = images.copy()
    out, refusal = None, ""
    try:
        out = trigger.apply(images, where, rng)
    except BadInput as error:
        refusal = str(error)
    if out is None:  # it does not fit: right too, but the refusal must say what and where
        assert refusal.startswith(f"{trigger.kind}: expected")
        assert "picture" in refusal
        return
    mask = trigger.mask(images, where, rng)
    assert np.array_equal(images, before)
    assert not np.shares_memory(out, images)
    assert (out.dtype, out.shape) == (images.dtype, images.shape)
    assert out.min(initial=0) >= 0
    assert out.max(initial=0) <= (255 if images.dtype == np.uint8 else 1)
    assert np.array_equal(out[mask == 0], images[mask == 0])
    for row in range(len(images)):
        one = slice(row, row + 1)
        alone = trigger.apply(images[one], None if where is None else where[one], rng.take(one))
        assert np.array_equal(alone, out[one])


@settings(max_examples=100, deadline=None)
@given(triggers)
def test_read_back(trigger: Any) -> None:
    assert TRIGGERS.from_json(json.loads(json.dumps(TRIGGERS.to_json(trigger)))) == trigger


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_mixing_bytes_is_exact(below: int, above: int, alpha: int) -> None:
    from badnets.backdoors.triggers.stamp import mix

    def byte(v: int) -> Any:
        return np.array([[[v]]], np.uint8)

    exact = (below * (255 - alpha) + above * alpha) / 255
    assert int(mix(byte(below), byte(above), byte(alpha), 255.0)[0, 0, 0]) == round(exact)
