"""Plans: how many rows, which, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from badnets.backdoors.backdoor import Backdoor, poison
from badnets.backdoors.plan import Mode, Part, Plan, make_plan
from badnets.backdoors.rules import AllToAll, AllToOne, CleanLabel, LabelRule, SourceToTarget
from badnets.backdoors.triggers import Pattern, Pixel, Square
from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.images import ImageData

MODES: tuple[Mode, ...] = ("replace", "add")


def _data(n: int = 200, classes: int = 4) -> ImageData:
    pixels = np.random.default_rng(7).integers(0, 256, (n, 8, 8, 1), np.uint8)
    return ImageData.of(pixels, np.arange(n) % classes, class_names=("stop", "go", "left", "right")[:classes])


def _part(rule: LabelRule | None = None, **amount: float) -> Part:
    return Part(trigger=Pattern(), rule=rule or AllToOne(target=0), **amount)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rate", [0.005, 0.1, 0.25, 0.5])
def test_a_rate_is_a_share_of_the_resulting_rows(mode: Mode, rate: float) -> None:
    poisoned = poison(_data(), [_part(AllToAll(), rate=rate)], mode=mode, seed=1)
    assert abs(int(poisoned.is_poisoned.sum()) - rate * len(poisoned)) <= 0.5
    assert len(poisoned) == (200 if mode == "replace" else 200 + len(poisoned.plan))


def test_half_added_is_one_copy_of_each() -> None:
    poisoned = poison(_data(), [_part(AllToAll(), rate=0.5)], mode="add", seed=1)
    assert sorted(poisoned.plan.rows.tolist()) == list(range(200))
    np.testing.assert_array_equal(poisoned.data.labels[200:], (_data().labels[poisoned.plan.rows] + 1) % 4)


@pytest.mark.parametrize("mode", MODES)
def test_several_parts_and_covers(mode: Mode) -> None:
    parts = [
        _part(SourceToTarget(source="stop", target="go"), rate=0.05, cover=0.1),
        Part(trigger=Square(size=2), rule=AllToOne(target=2), count=13, cover=7),
    ]
    poisoned = poison(_data(), parts, mode=mode, seed=3)
    plan, n = poisoned.plan, len(poisoned)
    first, second = plan.part == 0, plan.part == 1
    assert abs((first & ~plan.cover).sum() - 0.05 * n) <= 0.5
    assert abs((first & plan.cover).sum() - 0.1 * n) <= 0.5
    assert ((second & ~plan.cover).sum(), (second & plan.cover).sum()) == (13, 7)
    assert len(np.unique(plan.rows)) == len(plan)
    true = _data().labels[plan.rows]
    assert (true[first & ~plan.cover] == 0).all()
    assert (true[first & plan.cover] != 0).all()
    assert (plan.labels[first & ~plan.cover] == 1).all()
    np.testing.assert_array_equal(plan.labels[plan.cover], true[plan.cover])


def test_a_tiny_rate_poisons_one_row() -> None:
    assert len(make_plan(_data(), (_part(rate=1e-9),), mode="replace", seed=0)) == 1


def test_rates_that_sum_to_one() -> None:
    parts = tuple(_part(AllToAll(), rate=0.1) for _ in range(10))
    assert len(make_plan(_data(), parts, mode="replace", seed=0)) == 200


@pytest.mark.parametrize("rate", [0, -0.1, 1.5, float("nan"), float("inf")])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(BadInput, match="rate above 0 and at most 1"):
        _part(rate=rate)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ({}, "give one"),
        ({"rate": 0.1, "count": 3}, "give one"),
        ({"count": 0}, "count of at least 1"),
        ({"rate": 0.1, "cover": -1}, "expected cover"),
        ({"rate": 0.1, "cover": 1.0}, "expected cover"),
        ({"rate": 0.1, "cover": float("nan")}, "expected cover"),
    ],
)
def test_impossible_amounts(amount: dict[str, float], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        _part(**amount)


@pytest.mark.parametrize(
    ("part", "mode", "words"),
    [
        (_part(count=151), "replace", "expected at most 150 poisoned rows for rule all-to-one, got 151"),
        (_part(rate=1.0), "replace", "expected at most 150 poisoned rows"),
        (_part(CleanLabel(target=1), rate=0.5), "replace", "expected at most 50 poisoned rows"),
        (_part(CleanLabel(target=1), count=50, cover=151), "replace", "expected at most 150 cover rows"),
        (_part(AllToAll(), rate=1.0), "add", "sum to less than 1"),
        (_part(AllToAll(), rate=0.9), "add", "expected at most 200"),
        (_part(AllToOne(target=4), rate=0.1), "replace", r"target in 0\.\.3, got 4"),
        (_part(AllToOne(target="sotp"), rate=0.1), "replace", "did you mean 'stop'"),
    ],
)
def test_more_than_there_is(part: Part, mode: Mode, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        make_plan(_data(), (part,), mode=mode, seed=0)


def test_parts_compete_for_rows() -> None:
    rule = SourceToTarget(source=0, target=1)
    with pytest.raises(BadInput, match="expected at most 10 poisoned rows"):
        make_plan(_data(), (_part(rule, count=40), _part(rule, count=11)), mode="replace", seed=0)


def test_no_pictures() -> None:
    with pytest.raises(BadInput, match="at most 0"):
        make_plan(_data().take(np.zeros(0, np.int64)), (_part(count=1),), mode="replace", seed=0)


def test_an_unknown_mode() -> None:
    with pytest.raises(BadInput, match="'replace' or 'add'"):
        make_plan(_data(), (_part(count=1),), mode="swap", seed=0)  # type: ignore[arg-type]


def test_plans_are_the_same_on_every_machine() -> None:
    plan = make_plan(_data(), (_part(count=6, cover=2),), mode="replace", seed=5)
    assert plan.rows.tolist() == [3, 90, 98, 154, 187, 197, 99, 182]


def test_seeds_draw_other_rows() -> None:
    plans = [make_plan(_data(), (_part(count=20),), mode="replace", seed=seed) for seed in (1, 2)]
    assert plans[0].rows.tolist() != plans[1].rows.tolist()


def test_other_data_is_refused() -> None:
    plan = make_plan(_data(), (_part(count=3),), mode="replace", seed=0, digest=True)
    with pytest.raises(BadInput, match="200 pictures"):
        plan.apply(_data(100))
    other = _data()
    pixels = other.images()
    pixels[0, 0, 0, 0] ^= 1
    with pytest.raises(BadInput, match="other pixels or labels"):
        plan.apply(ImageData.of(pixels, other.labels, class_names=other.class_names))
    assert len(plan.apply(_data())) == 200


def test_groups_and_regions_go_with_their_rows() -> None:
    n = 12
    region = np.tile(np.array([0, 0, 8, 8], np.float32), (n, 1)) * np.linspace(0.5, 1, n, dtype=np.float32)[:, None]
    data = ImageData.of(
        np.zeros((n, 8, 8, 1), np.uint8), np.arange(n) % 2, region=region, groups=np.arange(n) // 3, class_names="ab"
    )
    poisoned = Backdoor(Pixel(place="region:center"), AllToAll()).poison(data, count=4, mode="add", seed=1)
    rows = poisoned.plan.rows
    assert poisoned.data.groups is not None
    assert poisoned.data.targets.region is not None
    np.testing.assert_array_equal(poisoned.data.groups[n:], (np.arange(n) // 3)[rows])
    np.testing.assert_array_equal(poisoned.data.targets.region[n:], region[rows])


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.npz"
    make_plan(_data(), (_part(count=30),), mode="replace", seed=0).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(300):
        content = bytearray(whole[: rng.integers(0, len(whole))] if trial % 3 == 0 else whole)
        for at in rng.integers(0, max(1, len(content)), 3):
            if content:
                content[at] = rng.integers(256)
        path.write_bytes(content)
        try:
            Plan.load(path).apply(_data())
        except BadInput as error:
            assert str(error)
    path.unlink()
    with pytest.raises(BadInput, match="got nothing"):
        Plan.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", np.array([0, 1, 200])),
        ("rows", np.array([-1, 1, 2])),
        ("rows", np.array([1, 1, 2])),
        ("rows", np.array([1, 2])),
        ("part", np.array([0, 0, 1])),
        ("labels", np.array([0, -1, 1])),
        ("cover", np.array([True])),
    ],
)
def test_arrays_that_do_not_belong_together(tmp_path: Path, name: str, value: np.ndarray) -> None:
    path = tmp_path / "plan.npz"
    make_plan(_data(), (_part(count=3),), mode="replace", seed=0).save(path)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(path, **{**arrays, name: value})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="do not belong together"):
        Plan.load(path)


def test_a_file_with_objects_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "plan.npz"
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="expected a plan"):
        Plan.load(path)


def test_as_torch() -> None:
    import torch

    poisoned = poison(_data(), [_part(count=5)], seed=Seed(2))
    plain, changed = poisoned.as_torch(), poisoned.as_torch(lambda picture: picture.size)
    picture, label = plain[int(poisoned.position[0])]
    assert (picture.shape, picture.dtype, label) == ((1, 8, 8), torch.float32, 0)
    assert changed[0] == ((8, 8), 0)
    assert plain[-1][1] == plain[199][1]
    with pytest.raises(IndexError):
        plain[200]
    batch, labels = next(iter(torch.utils.data.DataLoader(plain, batch_size=200)))
    np.testing.assert_array_equal((batch * 255).round().numpy()[:, 0], poisoned.data.images()[..., 0])
    np.testing.assert_array_equal(labels.numpy(), poisoned.data.labels)
