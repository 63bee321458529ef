"""What people pass to the library: what is meant works, and all else is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import badnets as bn
from badnets.backdoors.plan import Plan
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput
from badnets.data.images import ImageData

ONE = bn.Recipe(epochs=1, batch=32, precision="fp32")


@pytest.fixture
def splits() -> bn.Splits:
    data = bn.load("digits", size=16)
    return bn.Splits(data.train.take(np.arange(100)), data.test.take(np.arange(100)), data.select)


@pytest.fixture
def backdoor() -> bn.Backdoor:
    return bn.Backdoor(bn.triggers.Square(), bn.rules.AllToOne(target=0))


def test_three_sets_where_one_is_meant(splits: bn.Splits, backdoor: bn.Backdoor) -> None:
    one, three = (bn.train("g1-cnn", data, recipe=ONE, seed=1) for data in (splits.train, splits))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), three.parameters(), strict=True))
    measured = [bn.measure(one, data, backdoor) for data in (splits.test, splits)]
    assert measured[0].to_json() == measured[1].to_json()
    poisoned = [backdoor.poison(data, rate=0.2, seed=1).data.digest for data in (splits.train, splits)]
    assert poisoned[0] == poisoned[1]


def test_a_plan_goes_to_a_path_as_text(splits: bn.Splits, backdoor: bn.Backdoor, tmp_path: Path) -> None:
    plan = backdoor.poison(splits, rate=0.2, seed=1).plan
    plan.save(str(tmp_path / "x.npz"))
    assert np.array_equal(Plan.load(str(tmp_path / "x.npz")).rows, plan.rows)


@pytest.mark.parametrize("kind", ["module", "path", "trigger", "array", "set"])
def test_what_makes_no_sense_is_a_sentence(kind: str, splits: bn.Splits, backdoor: bn.Backdoor) -> None:
    network = bn.build_network("g1-cnn", class_names=splits.class_names, input_size=(1, 16, 16), seed=1)
    wrong: dict[str, tuple[Any, ...]] = {
        "module": (nn.Linear(2, 2), splits.test),
        "path": ("x.safetensors", splits.test),
        "trigger": (network, splits.test, backdoor.trigger),
        "array": (network, splits.test.images()),
        "set": (network, [1, 2]),
    }
    with pytest.raises(BadInput, match=r"^expected .*, got .*; .*$") as told:
        bn.measure(*wrong[kind])
    assert len(str(told.value)) <= 400


@pytest.mark.parametrize("kind", sorted(TRIGGERS))
def test_a_tensor_is_no_array(kind: str) -> None:
    trigger = TRIGGERS[kind]()
    for call in (trigger.apply, trigger.mask):
        for given in (torch.zeros(2, 3, 16, 16), [1, 2], None):
            with pytest.raises(BadInput, match=r"expected images as a NumPy array .* got a .*permute"):
                call(given)  # type: ignore[arg-type]


def test_lists_and_tensors_are_data() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    whole = ImageData.of(np.stack([picture] * 2), np.array([0, 1]))
    for images in ([picture, picture], [picture.tolist()] * 2, torch.from_numpy(np.stack([picture] * 2))):
        for labels in ([0, 1], [0.0, 1.0], (0, 1), torch.tensor([0, 1])):
            assert ImageData.of(images, labels).digest == whole.digest


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 0.7], "got 0.7 in row 1"), ([0, np.nan], "got nan in row 1"), (["a", "b"], "number the classes")],
)
def test_labels_are_whole(labels: list[Any], message: str) -> None:
    with pytest.raises(BadInput, match=f"expected labels as whole numbers, {'.*' + message}"):
        ImageData.of(np.zeros((2, 4, 4), np.uint8), labels)


def test_pictures_of_two_sizes_are_no_array() -> None:
    with pytest.raises(BadInput, match="expected an array, or a list of pictures of one size, got a list"):
        ImageData.of([np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)], [0, 1])


PICTURE = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    ("picture", "label", "layout"),
    [
        (PICTURE, 3, "NHWC"),
        (PICTURE, [3], "NHWC"),
        (PICTURE, np.eye(10)[3], "NHWC"),
        (PICTURE.transpose(2, 0, 1), 3, "NCHW"),
        (PICTURE[..., 0], 3, None),
    ],
)
@pytest.mark.parametrize("broadcast", [False, True])
def test_a_single_picture_is_attacked(picture: np.ndarray, label: Any, layout: Any, broadcast: bool) -> None:
    square = bn.triggers.Square()
    attacked, labels = bn.poison_arrays(picture, label, broadcast, square, layout=layout)
    assert (attacked.shape, attacked.dtype, labels.shape) == (picture.shape, np.uint8, np.shape(label))
    assert np.array_equal(labels, label)
    batch = np.atleast_3d(picture.transpose(1, 2, 0) if layout == "NCHW" else picture)[None]
    expected = square.apply(batch)[0]
    assert np.array_equal(
        attacked, expected.transpose(2, 0, 1) if layout == "NCHW" else expected.reshape(picture.shape)
    )


def test_grey_pictures_in_three_axes_stay_many() -> None:
    attacked, labels = bn.poison_arrays(
        PICTURE.transpose(2, 0, 1), [1, 2, 3], False, bn.triggers.Square(), layout="NCHW"
    )
    assert (attacked.shape, labels.tolist()) == ((3, 16, 16), [1, 2, 3])


@pytest.mark.parametrize("name", ["preact-resnet18", "resnet18"])
@pytest.mark.parametrize(("batch", "pictures"), [(1, 3), (4, 1)])
def test_a_batch_of_one_picture_of_one_pixel(name: str, batch: int, pictures: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (pictures, 8, 8, 3), np.uint8)
    data = ImageData.of(images, np.arange(pictures) % 2, class_names=["a", "b"])
    recipe = bn.Recipe(epochs=2, batch=batch, precision="fp32", learning_rate=0.001)
    network = bn.train(name, data, recipe=recipe, seed=1)
    assert all(torch.isfinite(value).all() for value in network.parameters())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())
