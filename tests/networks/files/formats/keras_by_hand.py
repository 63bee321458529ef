"""Keras models without Keras: what each layer computes, in numpy and by Keras's definitions (n, h, w, c); and the files
that Keras 2 and 3 make of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SNAKE = {
    "Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d", "SeparableConv2D": "separable_conv2d",
    "BatchNormalization": "batch_normalization", "Dense": "dense", "Sequential": "sequential",
}  # fmt: skip
"""As Keras 3 calls layers with weights in files."""
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}


@dataclass
class Layer:
    """One layer: Keras's class, its settings, its weights by Keras's names and in its order, whose answers it takes."""

    kind: str
    name: str
    config: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    inputs: tuple[str, ...]
    model: Model | None = None


@dataclass
class Model:
    """A model that computes while it is built: ``add`` makes a layer with drawn weights; ``value`` is the answer to
    ``given``, pictures (n, h, w, c)."""

    given: Array
    functional: bool = False
    layers: list[Layer] = field(default_factory=list)
    values: dict[str, Array] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def value(self) -> Array:
        return self.values[self.layers[-1].name] if self.layers else self.given

    def add(self, kind: str, *inputs: str, name: str = "", **config: Any) -> str:
        """The layer's name; ``inputs`` default to the layer before it."""
        number = self.counts[kind] = self.counts.get(kind, -1) + 1
        name = name or f"{kind.lower()}_{number}"
        taken = inputs or ((self.layers[-1].name,) if self.layers else ("input_1",))
        values = [self.values.get(one, self.given) for one in taken]
        weights, config = _drawn(kind, values[0], config)
        self.layers.append(Layer(kind, name, {"name": name, **config}, weights, taken))
        self.values[name] = _computed(kind, values, weights, config)
        return name

    def put(self, inner: Callable[[Model], None], name: str) -> str:
        """A model as a layer."""
        taken = self.layers[-1].name if self.layers else "input_1"
        model = Model(self.value)
        inner(model)
        self.layers.append(Layer("Sequential", name, {}, {}, (taken,), model))
        self.values[name] = model.value
        return name


def _drawn(kind: str, x: Array, config: dict[str, Any]) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    rng = np.random.default_rng([*kind.encode(), *x.shape[1:]])
    channels = x.shape[-1]
    shapes: dict[str, tuple[int, ...]] = {}
    if kind == "Dense":
        shapes = {"kernel": (channels, config["units"]), "bias": (config["units"],)}
    if kind == "Conv2D":
        inside = channels // config.get("groups", 1)
        shapes = {"kernel": (*config["kernel_size"], inside, config["filters"]), "bias": (config["filters"],)}
    if kind == "DepthwiseConv2D":
        times = config.setdefault("depth_multiplier", 1)
        shapes = {"depthwise_kernel": (*config["kernel_size"], channels, times), "bias": (channels * times,)}
    if kind == "SeparableConv2D":
        times, filters = config.setdefault("depth_multiplier", 1), config["filters"]
        deep = (*config["kernel_size"], channels, times)
        shapes = {"depthwise_kernel": deep, "pointwise_kernel": (1, 1, channels * times, filters), "bias": (filters,)}
    if kind == "BatchNormalization":
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        there = (config.setdefault("scale", True), config.setdefault("center", True), True, True)
        shapes = {name: (channels,) for name, one in zip(names, there, strict=True) if one}
    if "bias" in shapes and not config.setdefault("use_bias", True):
        del shapes["bias"]
    drawn = {}
    for name, shape in shapes.items():
        around = rng.normal(0, 1 / max(1, np.prod(shape[:-1])) ** 0.5, shape)
        drawn[name] = (0.4 + rng.random(shape) if name in ("gamma", "moving_variance") else around).astype(np.float32)
    return drawn, config


def _windows(x: Array, config: dict[str, Any], kernel: tuple[int, int], fill: float) -> Array:
    """(n, rows, columns, high, wide, c): what lies under the window at each place."""
    steps = config.get("strides") or ((1, 1) if "kernel_size" in config else kernel)
    around, counts = [(0, 0)], []
    for side, window, step in zip(x.shape[1:3], kernel, steps, strict=True):
        count = -(-side // step) if config.get("padding") == "same" else (side - window) // step + 1
        missing = max((count - 1) * step + window - side, 0) if config.get("padding") == "same" else 0
        around.append((missing // 2, missing - missing // 2))
        counts.append(count)
    padded = np.pad(x, [*around, (0, 0)], constant_values=fill)
    rows = [
        [padded[:, i * steps[0] :][:, : kernel[0], j * steps[1] :][:, :, : kernel[1]] for j in range(counts[1])]
        for i in range(counts[0])
    ]
    return np.stack([np.stack(row, 1) for row in rows], 1)


def _computed(kind: str, values: list[Array], w: dict[str, NDArray[np.float32]], config: dict[str, Any]) -> Array:
    x = values[0]
    function = FUNCTIONS[config.get("activation", "linear")]
    bias = w.get("bias", np.float32(0))
    if kind == "Dense":
        return function(x @ w["kernel"] + bias)
    if kind == "Conv2D":
        groups = config.get("groups", 1)
        filters = np.split(w["kernel"], groups, -1)
        parts = np.split(_windows(x, config, config["kernel_size"], 0), groups, -1)
        maps = [np.einsum("nyxijc,ijcf->nyxf", p, f) for p, f in zip(parts, filters, strict=True)]
        return function(np.concatenate(maps, -1) + bias)
    if kind in ("DepthwiseConv2D", "SeparableConv2D"):
        maps = np.einsum("nyxijc,ijcm->nyxcm", _windows(x, config, config["kernel_size"], 0), w["depthwise_kernel"])
        flat = maps.reshape(*maps.shape[:3], -1)
        return function((flat if kind[0] == "D" else flat @ w["pointwise_kernel"][0, 0]) + bias)
    if kind == "BatchNormalization":
        by = w.get("gamma", 1) / np.sqrt(w["moving_variance"] + config.get("epsilon", 1e-3))
        return np.asarray((x - w["moving_mean"]) * by + w.get("beta", 0))
    if kind == "AveragePooling2D":
        return np.asarray(np.nanmean(_windows(x, config, config["pool_size"], np.nan), (3, 4)))
    if kind == "MaxPooling2D":
        return np.asarray(_windows(x, config, config["pool_size"], -np.inf).max((3, 4)))
    if kind == "LeakyReLU":
        return np.where(x > 0, x, config.get("alpha", config.get("negative_slope")) * x)
    simple: dict[str, Callable[[], Array]] = {
        "Activation": lambda: function(x),
        "ReLU": lambda: np.clip(x, 0, config.get("max_value") or np.inf),
        "Add": lambda: sum(values[1:], x),
        "Concatenate": lambda: np.concatenate(values, -1),
        "Flatten": lambda: x.reshape(len(x), -1),
        "GlobalAveragePooling2D": lambda: x.mean((1, 2)),
        "GlobalMaxPooling2D": lambda: x.max((1, 2)),
        "Dropout": lambda: x,
        "ZeroPadding2D": lambda: np.pad(x, [(0, 0), *config["padding"], (0, 0)]),
        "Rescaling": lambda: x * config["scale"] + config["offset"],
    }
    return simple[kind]()


def description(model: Model, version: int, name: str = "model_1") -> dict[str, Any]:
    """What ``model_config`` or ``config.json`` says."""
    size = [None, *model.given.shape[1:]]
    shape = "batch_input_shape" if version == 2 else "batch_shape"
    first: dict[str, Any] = {"class_name": "InputLayer", "config": {"name": "input_1", shape: size}, "name": "input_1"}
    if model.functional:
        first["inbound_nodes"] = []
    layers = [] if version == 2 and not model.functional else [first]
    for layer in model.layers:
        one: dict[str, Any] = {"class_name": layer.kind, "config": layer.config}
        if layer.model is not None:
            one = description(layer.model, version, layer.name)
        if model.functional:
            one = {**one, "name": layer.name, "inbound_nodes": _inbound(layer.inputs, version)}
        elif version == 2 and not layers:
            one["config"] = {**one["config"], shape: size}
        layers.append(one)
    config: dict[str, Any] = {"name": name, "layers": layers}
    if model.functional:
        ends = ["input_1", 0, 0], [model.layers[-1].name, 0, 0]
        config |= {"input_layers": [ends[0]], "output_layers": [ends[1]] if version == 2 else ends[1]}
    return {"class_name": "Functional" if model.functional else "Sequential", "config": config}


def _inbound(names: tuple[str, ...], version: int) -> list[Any]:
    if version == 2:
        return [[[name, 0, 0, {}] for name in names]]
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, 1], "keras_history": [name, 0, 0]}}
        for name in names
    ]
    return [{"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": {"training": False}}]


def _inside(layer: Layer, above: str = "") -> Iterator[tuple[str, NDArray[np.float32]]]:
    for inner in [] if layer.model is None else layer.model.layers:
        yield from _inside(inner, f"{above}{layer.name}/")
    for name, values in layer.weights.items():
        yield f"{above}{layer.name}/{name}", values


def write_h5(path: Path, model: Model, version: int = 2, *, bare: bool = False) -> Path:
    """As ``model.save("a.h5")``. Keras 2 ends names with ``:0``, and calls the layers of an inner model by their own
    names alone; Keras 3 writes the names around them, and calls depthwise kernels kernels."""
    with h5py.File(path, "w") as file:
        root = file if bare else file.create_group("model_weights")
        root.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group, names = root.create_group(layer.name), []
            for full, values in _inside(layer):
                words = full.split("/")
                called = "/".join(words[-2:]) + ":0" if version == 2 else full
                if version == 3 and layer.kind == "DepthwiseConv2D":
                    called = called.replace("depthwise_kernel", "kernel")
                names.append(called)
                group.create_dataset(called, data=values)
            group.attrs["weight_names"] = [name.encode() for name in names]
        if not bare:
            file.attrs["model_config"] = json.dumps(description(model, version))
    return path


def write_archive(path: Path, model: Model, *, told: bool = False, config: Any = None) -> Path:
    """As ``model.save("a.keras")``: layers by kind and number; newer versions tell (``told``) their names beside."""
    with zipfile.ZipFile(path, "w") as archive:
        text = json.dumps(description(model, 3) if config is None else config)
        archive.writestr("metadata.json", '{"keras_version": "3.5.0"}')
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", numbered(model, told=told))
    return path


def numbered(model: Model, *, told: bool = False) -> bytes:
    """As ``save_weights("a.weights.h5")`` of Keras 3."""
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        _number(file.create_group("layers"), model, told)
        file.create_dataset("optimizer/vars/0", data=np.zeros(3, np.float32))
    return buffer.getvalue()


def _number(group: h5py.Group, model: Model, told: bool) -> None:
    counts: dict[str, int] = {}
    for layer in model.layers:
        word = SNAKE.get(layer.kind, layer.kind.lower())
        counts[word] = counts.get(word, -1) + 1
        own = group.create_group(f"{word}_{counts[word]}" if counts[word] else word)
        if layer.model is not None:
            _number(own.create_group("layers"), layer.model, told)
        values = own.create_group("vars")
        if told:
            values.attrs["name"] = layer.name
        for number, array in enumerate(layer.weights.values()):
            values.create_dataset(str(number), data=array)
