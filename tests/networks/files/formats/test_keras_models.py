"""Whole Keras models, read as the network that they describe: answers as Keras defines them, to 1e-4."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from badnets.core.errors import BadInput
from badnets.data.images import ImageData
from badnets.networks.files.foreign import ForeignOptions, ForeignWarning, open_any, open_foreign
from badnets.networks.files.own import open_network, save_network

Build = Callable[[ModuleType], Any]
SAME, PLAIN = {"padding": "same"}, {"kernel_size": (3, 3)}


def pictures(*size: int) -> Any:
    return np.random.default_rng(0).random((3, *size))


def one_of_each(by: ModuleType) -> Any:
    model = by.Model(pictures(17, 14, 3))
    model.add("Rescaling", scale=0.5, offset=-0.25)
    model.add("Conv2D", filters=6, kernel_size=(2, 4), strides=(2, 3), padding="same", activation="relu")
    model.add("BatchNormalization", scale=False)
    model.add("ZeroPadding2D", padding=[[1, 0], [2, 1]])
    model.add("DepthwiseConv2D", **PLAIN, **SAME, depth_multiplier=2)
    model.add("LeakyReLU", alpha=0.3)
    model.add("SeparableConv2D", filters=8, **PLAIN, **SAME, activation="elu", depth_multiplier=2)
    model.add("BatchNormalization", center=False, epsilon=0.01)
    model.add("AveragePooling2D", pool_size=(2, 3), strides=(1, 2), **SAME)
    model.add("MaxPooling2D", pool_size=(2, 2), **SAME)
    model.add("Conv2D", filters=8, kernel_size=(1, 1), groups=4, use_bias=False, activation="leaky_relu")
    model.add("ReLU", max_value=6.0, negative_slope=0.0, threshold=0.0)
    model.add("Dropout", rate=0.5)
    model.add("Flatten")
    model.add("Dense", units=9)
    model.add("BatchNormalization", scale=False, center=False)
    model.add("Activation", activation="tanh")
    model.add("Dense", units=4)
    return model


def branches(by: ModuleType) -> Any:
    model = by.Model(pictures(16, 16, 3), functional=True)
    model.add("Conv2D", filters=8, **PLAIN, **SAME, use_bias=False)
    model.add("BatchNormalization")
    first = model.add("Activation", activation="relu6")
    model.add("Conv2D", filters=8, **PLAIN, **SAME)
    deep = model.add("BatchNormalization")
    both = model.add("Add", deep, first)
    small = model.add("Conv2D", both, filters=4, kernel_size=(1, 1), strides=(2, 2), activation="swish")
    pooled = model.add("MaxPooling2D", both, pool_size=(3, 3), strides=(2, 2), **SAME)
    model.add("Concatenate", small, pooled, axis=-1)
    model.add("GlobalAveragePooling2D")
    model.add("Dense", units=5)
    return model


def joined_rows(by: ModuleType) -> Any:
    """Two maps, each flattened, in a row: each has an order of its own."""
    model = by.Model(pictures(12, 12, 1), functional=True)
    model.add("Conv2D", filters=3, **PLAIN, activation="relu")
    left = model.add("Flatten")
    wide = model.add("Conv2D", "input_1", filters=2, kernel_size=(5, 5), strides=(3, 3), activation="relu")
    right, few = model.add("Flatten"), model.add("GlobalMaxPooling2D", wide)
    model.add("Concatenate", left, few, right)
    model.add("Dense", units=7, activation="tanh")
    model.add("Dense", units=3)
    return model


def model_in_a_model(by: ModuleType) -> Any:
    """Inside and outside layers have the same kinds, shapes and, in part, names."""

    def base(inner: Any) -> None:
        inner.add("Conv2D", filters=4, **PLAIN, activation="relu", name="conv")
        inner.add("Conv2D", filters=4, **PLAIN, name="conv_1")
        inner.add("BatchNormalization", name="norm")

    model = by.Model(pictures(14, 13, 4), functional=True)
    model.add("Conv2D", filters=4, **PLAIN, activation="tanh", name="conv")
    model.put(base, "base")
    model.add("BatchNormalization", name="norm")
    model.add("Conv2D", filters=4, **PLAIN, name="last")
    model.add("Flatten")
    model.add("Dense", units=3)
    return model


def numbers_of_another_session(by: ModuleType) -> Any:
    """Names that are other layers' kinds and numbers; all have one shape, so shapes cannot tell."""
    model = by.Model(pictures(4, 4, 1))
    model.add("Flatten")
    for name in ("dense_1", "dense_2", "dense"):
        model.add("Dense", units=16, name=name, activation="tanh")
        model.layers[-1].weights["kernel"] += np.float32(len(name) / 10)
    rows = model.given.reshape(3, -1)
    for layer in model.layers[1:]:
        rows = np.tanh(rows @ layer.weights["kernel"] + layer.weights["bias"])
    model.values["dense"] = rows
    return model


def no_dense_layer(by: ModuleType) -> Any:
    model = by.Model(pictures(8, 8, 3))
    model.add("Conv2D", filters=6, **PLAIN, activation="sigmoid")
    model.add("Conv2D", filters=4, kernel_size=(1, 1))
    model.add("GlobalAveragePooling2D")
    return model


def two_heads_in_a_row(by: ModuleType) -> Any:
    model = by.Model(pictures(4, 4, 3), functional=True)
    rows = model.add("Flatten")
    heads = [model.add("Dense", rows, units=units) for units in (2, 3)]
    model.add("Concatenate", *heads, axis=1)
    return model


MODELS: dict[str, Build] = {
    one.__name__: one
    for one in (
        one_of_each, branches, joined_rows, model_in_a_model, numbers_of_another_session, no_dense_layer,
        two_heads_in_a_row,
    )
}  # fmt: skip
WRITERS: dict[str, Callable[[ModuleType, Path, Any], Path]] = {
    "Keras 2, h5": lambda by, folder, model: by.write_h5(folder / "a.h5", model),
    "Keras 3, h5": lambda by, folder, model: by.write_h5(folder / "a.h5", model, 3),
    "Keras 3, archive": lambda by, folder, model: by.write_archive(folder / "a.keras", model),
    "Keras 3.9, archive": lambda by, folder, model: by.write_archive(folder / "a.keras", model, told=True),
}


def same(network: nn.Module, model: Any) -> None:
    given = torch.from_numpy(np.moveaxis(model.given, -1, 1).astype(np.float32))
    with torch.no_grad():
        assert np.abs(network(given).numpy() - model.value).max() < 1e-4


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", MODELS)
def test_answers(by_hand: ModuleType, tmp_path: Path, name: str, writer: str) -> None:
    model = MODELS[name](by_hand)
    network = open_foreign(WRITERS[writer](by_hand, tmp_path, model), input_range="0-1")
    same(network, model)
    assert (network.architecture, network.classes) == ("graph", model.value.shape[1])
    height, width, channels = model.given.shape[1:]
    assert network.input_size == (channels, height, width)
    save_network(network, tmp_path / "b.safetensors")
    same(open_network(tmp_path / "b.safetensors"), model)


def test_probabilities_become_logarithms(by_hand: ModuleType, tmp_path: Path) -> None:
    model = by_hand.Model(pictures(4, 4, 1))
    model.add("Flatten")
    model.add("Dense", units=3, activation="softmax")
    network = open_foreign(by_hand.write_h5(tmp_path / "a.h5", model), input_range="0-1")
    assert network.provenance["outputs"] == "probabilities"
    given = torch.from_numpy(np.moveaxis(model.given, -1, 1).astype(np.float32))
    assert np.abs(network(given).detach().exp().numpy() - model.value).max() < 1e-4


def without_size(model: Any, by: ModuleType) -> Any:
    config = by.description(model, 3)
    del config["config"]["layers"][0]
    return config


def test_a_size_that_is_not_said_is_that_of_the_pictures(by_hand: ModuleType, tmp_path: Path) -> None:
    model = by_hand.Model(pictures(8, 8, 3))
    model.add("Conv2D", filters=4, **PLAIN, activation="relu")
    model.add("Flatten")
    model.add("Dense", units=3)
    path = by_hand.write_archive(tmp_path / "a.keras", model, config=without_size(model, by_hand))
    same(open_any(path, ForeignOptions(input_size=(3, 8, 8), input_range="0-1")), model)
    rng = np.random.default_rng(0)
    clean = ImageData.of(rng.integers(0, 256, (30, 8, 8, 3), np.uint8), np.arange(30) % 3, name="noise")
    same(open_any(path, ForeignOptions(input_range="0-1", channel_order="rgb"), clean=clean), model)
    with pytest.raises(BadInput, match=r"a\.keras: expected the size of its pictures .* add --input-size"):
        open_any(path, ForeignOptions(input_range="0-1"))
    built = without_size(model, by_hand)
    built["config"]["build_input_shape"] = [None, 8, 8, 3]
    same(open_foreign(by_hand.write_archive(tmp_path / "b.keras", model, config=built), input_range="0-1"), model)


def g1(by: ModuleType, *, pool: str = "AveragePooling2D", hidden: str = "relu") -> Any:
    """What ``g1-cnn`` is, or nearly."""
    model = by.Model(pictures(28, 28, 1))
    for number, filters in enumerate((16, 32), start=1):
        model.add("Conv2D", filters=filters, kernel_size=(5, 5), activation="relu", name=f"conv{number}")
        model.add(pool, pool_size=(2, 2))
    model.add("Flatten")
    model.add("Dense", units=512, activation=hidden, name="fc1")
    model.add("Dense", units=10, name="fc2")
    return model


def test_a_named_architecture_of_the_same_answers(by_hand: ModuleType, tmp_path: Path) -> None:
    model = g1(by_hand)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForeignWarning)
        network = open_foreign(by_hand.write_h5(tmp_path / "a.h5", model), arch="g1-cnn", input_range="0-1")
    assert network.architecture == "g1-cnn"
    same(network, model)


@pytest.mark.parametrize("other", [{"pool": "MaxPooling2D"}, {"hidden": "linear"}])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_named_architecture_of_other_answers_is_refused(
    by_hand: ModuleType, tmp_path: Path, other: dict[str, str], writer: str
) -> None:
    path = WRITERS[writer](by_hand, tmp_path, g1(by_hand, **other))
    with pytest.raises(BadInput, match=r"g1-cnn with the answers .* describes \(conv 16@5x5, .*leave --arch out"):
        open_foreign(path, arch="g1-cnn", input_range="0-1")


@pytest.mark.filterwarnings("ignore::badnets.networks.files.foreign.ForeignWarning")
def test_weights_alone_without_scale_or_shift(by_hand: ModuleType, tmp_path: Path) -> None:
    """Three tensors of a batch norm are shift, mean and variance; two are mean and variance."""
    for scale, center in ((False, True), (False, False)):
        model = by_hand.Model(pictures(8, 8, 3))
        model.add("Conv2D", filters=32, **PLAIN, **SAME)
        model.add("BatchNormalization", scale=scale, center=center)
        (tmp_path / "a.weights.h5").write_bytes(by_hand.numbered(model))
        (tmp_path / "net.py").write_text(
            "from torch import nn\n"
            "class Net(nn.Sequential):\n"
            "    def __init__(self):\n"
            "        super().__init__(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32),\n"
            "                         nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        )
        network = open_foreign(
            tmp_path / "a.weights.h5", arch=f"{tmp_path / 'net.py'}:Net", classes=32, input_size=(3, 8, 8),
            input_range="0-1",
        )  # fmt: skip
        model.add("GlobalAveragePooling2D")
        same(network, model)


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        ("Lambda", {"function": ["marshal"]}, "'?Lambda"),
        ("Activation", {"activation": "mine"}, "activation that badnets knows, got 'mine'"),
        ("ReLU", {"max_value": 6, "negative_slope": 0.1}, "relu up to 6"),
        ("ReLU", {"max_value": 3}, "relu up to 3"),
        ("BatchNormalization", {"axis": 1}, "normalize channels, got axis 1"),
    ],
)
def test_what_a_description_says_is_refused_by_name(
    by_hand: ModuleType, tmp_path: Path, kind: str, config: dict[str, Any], words: str
) -> None:
    """Without an architecture; the file is then of weights alone."""
    model = by_hand.Model(pictures(6, 6, 3))
    model.add("Conv2D", filters=3, **PLAIN)
    model.add("Flatten")
    model.add("Dense", units=3)
    described = by_hand.description(model, 3)
    described["config"]["layers"].insert(2, {"class_name": kind, "config": {"name": "odd", **config}})
    path = by_hand.write_archive(tmp_path / "a.keras", model, config=described)
    with pytest.raises(BadInput, match=words):
        open_foreign(path, input_range="0-1")
