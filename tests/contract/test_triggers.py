"""What every trigger must keep, asked of each entry of the table with its defaults and with what it takes besides."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from badnets.backdoors.trigger import Trigger
from badnets.backdoors.triggers import (
    TRIGGERS,
    Jitter,
    Random,
    takes_jitter,
    with_jitter,
)
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

SHAPES = [(28, 28, 1), (32, 40, 3)]
DTYPES = [np.uint8, np.float32, np.float64, np.float16]


def variants() -> list[Any]:
    """Each trigger, and each stamp also at random places and with jitter."""
    out = []
    for kind, family in TRIGGERS.items():
        trigger: Any = family()
        out.append(pytest.param(trigger, id=kind))
        if takes_jitter(trigger):
            moving = dataclasses.replace(trigger, place=Random(of="region"), opacity=0.6)
            out.append(pytest.param(moving, id=f"{kind}-random"))
            out.append(pytest.param(with_jitter(moving, Jitter()), id=f"{kind}-jitter"))
    return out


def pictures(n: int, shape: tuple[int, int, int], dtype: Any = np.uint8) -> Any:
    pixels = np.random.default_rng(5).integers(0, 256, (n, *shape), dtype=np.uint8)
    return pixels if dtype == np.uint8 else (pixels / 255).astype(dtype)


def regions(n: int) -> Any:
    rng = np.random.default_rng(6)
    low = rng.uniform(-1, 8, (n, 2))
    return np.concatenate([low, low + rng.uniform(8, 20, (n, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize("trigger", variants())
@pytest.mark.parametrize("shape", SHAPES, ids=["grey", "color"])
class TestLaws:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_argument_dtype_shape_range_and_mask(self, trigger: Trigger, shape: Any, dtype: Any) -> None:
        images = pictures(6, shape, dtype)
        before, rng = images.copy(), RowRng.of(1, 6)
        images.setflags(write=False)
        for where in (None, regions(6)):
            out = trigger.apply(images, where, rng)
            mask = trigger.mask(images, where, rng)
            assert np.array_equal(images, before)
            assert type(out) is np.ndarray
            assert not np.shares_memory(out, images)
            assert (out.dtype, out.shape) == (images.dtype, images.shape)
            assert out.min() >= 0
            assert out.max() <= (255 if dtype == np.uint8 else 1)
            assert (mask.dtype, mask.shape) == (np.float32, images.shape[:3])
            assert mask.min() >= 0
            assert 0 < mask.max() <= 1
            changed = (out != images).any(axis=3)
            assert changed.any()
            assert not (changed & (mask == 0)).any()

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_a_batch_is_its_images_one_by_one(self, trigger: Trigger, shape: Any, dtype: Any) -> None:
        images, where, rng = pictures(9, shape, dtype), regions(9), RowRng.of(3, 9)
        out, mask = trigger.apply(images, where, rng), trigger.mask(images, where, rng)
        for row in range(9):
            one = slice(row, row + 1)
            assert np.array_equal(trigger.apply(images[one], where[one], rng.take(one)), out[one])
            assert np.array_equal(trigger.mask(images[one], where[one], rng.take(one)), mask[one])
        order = np.array([4, 1, 8])
        assert np.array_equal(trigger.apply(images[order], where[order], rng.take(order)), out[order])

    def test_deterministic_per_seed(self, trigger: Trigger, shape: Any) -> None:
        images = pictures(8, shape)
        first, again, other = (trigger.apply(images, None, RowRng.of(seed, 8)) for seed in (1, 1, 2))
        assert np.array_equal(first, again)
        random = dataclasses.is_dataclass(trigger) and isinstance(getattr(trigger, "place", None), Random)
        assert np.array_equal(first, other) is not random

    def test_no_images(self, trigger: Trigger, shape: Any) -> None:
        none = pictures(0, shape)
        for where in (None, regions(0)):
            assert trigger.apply(none, where, RowRng.of(1, 0)).shape == (0, *shape)
            assert trigger.mask(none, where, RowRng.of(1, 0)).shape == (0, *shape[:2])

    def test_wrong_shapes_and_types_are_refused(self, trigger: Trigger, shape: Any) -> None:
        images, rng = pictures(2, shape), RowRng.of(1, 2)
        for wrong in (images[0], images[..., None], np.concatenate([images] * 2, axis=3), images.astype(np.int64)):
            with pytest.raises(BadInput, match="expected images"):
                trigger.apply(wrong, None, rng)
        with pytest.raises(BadInput, match=r"expected floats in 0\.\.1"):
            trigger.apply(images.astype(np.float32), None, rng)

    def test_floats_of_another_range(self, trigger: Trigger, shape: Any) -> None:
        images, rng = pictures(4, shape), RowRng.of(1, 4)
        out = trigger.apply(images.astype(np.float64), None, rng, high=255)
        assert np.abs(out - trigger.apply(images, None, rng)).max() <= 0.5 + 1e-6

    def test_a_mapped_file_is_only_read(self, trigger: Trigger, shape: Any, tmp_path: Any) -> None:
        images = pictures(4, shape)
        np.save(tmp_path / "images.npy", images)
        mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
        out = trigger.apply(mapped, None, RowRng.of(1, 4))
        assert type(out) is np.ndarray
        assert np.array_equal(out, trigger.apply(images, None, RowRng.of(1, 4)))


@pytest.mark.parametrize("trigger", variants())
def test_json_round_trip(trigger: Trigger) -> None:
    value = TRIGGERS.to_json(trigger)
    assert value["kind"] == trigger.kind
    back = TRIGGERS.from_json(json.loads(json.dumps(value)))
    assert back == trigger
    assert type(back) is type(trigger)
    assert hash(back) == hash(trigger)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_every_setting_is_documented(kind: str) -> None:
    schema = TypeAdapter(TRIGGERS[kind]).json_schema()
    assert TRIGGERS[kind].__doc__
    assert "Source:" in TRIGGERS[kind].__doc__
    assert "Differs from the paper:" in TRIGGERS[kind].__doc__.replace("\n    ", " ")
    for name, setting in schema["properties"].items():
        assert name == "kind" or setting.get("description"), f"{kind}.{name} says nothing"


@pytest.mark.parametrize("kind", TRIGGERS)
def test_frozen_and_keyword_only(kind: str) -> None:
    trigger = TRIGGERS[kind]()
    with pytest.raises(dataclasses.FrozenInstanceError):
        trigger.kind = "other"  # type: ignore[assignment, misc]
    assert all(f.kw_only for f in dataclasses.fields(trigger))
    assert trigger.kind == kind
