"""What a Keras model's own description says: the same layers in the same order, as the architecture ``graph`` has them.

Keras 1 to 3: ``Sequential`` and functional models, one in another too. Nothing in a description is run: layers that are
somebody's code (``Lambda``, classes of one's own) are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import ValidationError

from badnets.core.errors import BadInput, first_line
from badnets.core.limits import LAYERS
from badnets.core.text import brief
from badnets.networks.architecture import InputSize
from badnets.networks.architectures.graph import (
    INPUT,
    Activation,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Join,
    Layer,
    Norm,
    Pad,
    Pool,
    Scale,
    Shape,
    Sides,
    is_taken,
)
from badnets.networks.files.formats.keras_settings import (
    ACTIVATIONS,
    Config,
    activation,
    bias,
    four,
    numbers,
    pair,
    whole,
)

_DEEPEST = 20  # models in each other
_SAME_ANSWER = frozenset({
    "InputLayer", "GaussianNoise", "GaussianDropout", "AlphaDropout", "SpatialDropout2D", "ActivityRegularization",
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    "RandomCrop",
})  # fmt: skip
"""Layers that change nothing when a network answers."""
_JOINS: dict[str, Any] = {
    "Add": "add", "Multiply": "multiply", "Average": "mean", "Maximum": "largest", "Subtract": "less",
    "Concatenate": "append",
}  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """Where the weights of one of Keras's layers belong: to ``layer``, and of a separable convolution the first ones to
    ``depthwise``. A batch ``norm`` may lack its ``scale`` or its ``center``."""

    layer: str = ""
    depthwise: str = ""
    norm: bool = False
    scale: bool = True
    center: bool = True


@dataclass(frozen=True)
class KerasModel:
    """``layers`` of the network, and what the weights of Keras's layers are: by their names (``named``), and by kind
    and number as Keras 3 files them (``numbered``); of models in models ``above/below``. ``input_size`` is None where
    the description has none; then ``outputs``, how many numbers it gives, is not known either."""

    layers: tuple[Layer, ...]
    named: Mapping[str, Weights]
    numbered: Mapping[str, Weights]
    input_size: InputSize | None
    outputs: int | None
    channels_last: bool


@dataclass(frozen=True)
class _Above:
    """The models around a layer, with a slash behind each: by name, and by kind and number."""

    named: str = ""
    numbered: str = ""


@dataclass
class _Reader:
    layers: dict[str, Layer] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)  # empty while the size of the pictures is not known
    by_name: dict[str, Weights] = field(default_factory=dict)
    by_number: dict[str, Weights] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)  # of each name, the last number behind it
    input_size: InputSize | None = None
    channels_last: bool = True

    def named(self, name: str) -> str:
        """A free name that begins like Keras's."""
        plain = re.sub(r"\W", "_", name)[:150] or "layer"
        plain = plain if re.match("[A-Za-z_]", plain) else f"layer_{plain}"
        number = self.used.get(plain, 0)
        while (name := f"{plain}_{number}" if number else plain) in self.layers or is_taken(name):
            number += 1
        self.used[plain] = number
        return name

    def put(self, layer: Layer) -> str:
        LAYERS.check(len(self.layers) + 1, "a Keras model")
        if self.input_size is not None:
            self.shapes = self.shapes or {INPUT: self.input_size}
            with torch.device("meta"):  # nothing is allocated, and no weight is drawn
                _, self.shapes[layer.name] = layer.make(*[self.shapes[one] for one in layer.inputs])
        self.layers[layer.name] = layer
        return layer.name


def read_model(description: Config) -> KerasModel:
    """The network that ``model_config`` or ``config.json`` describes. Raises BadInput for what is not plain layers, or
    has several inputs or outputs."""
    reader = _Reader()
    try:
        last = _model(reader, description, INPUT, _Above(), 0)
    except (ValidationError, AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"expected a whole description of a Keras model, got a damaged one ({_first(error)})") from None
    if not reader.layers or last != list(reader.layers)[-1]:
        raise BadInput("expected one output of the described model, from its last layer, got others")
    shape = reader.shapes.get(last, ())
    if len(shape) > 1:
        raise BadInput(f"expected a number for each class as the model's answer, got maps {list(shape)}")
    outputs = shape[0] if shape else None
    return KerasModel(
        layers=tuple(reader.layers.values()),
        named=reader.by_name,
        numbered=reader.by_number,
        input_size=reader.input_size,
        outputs=outputs,
        channels_last=reader.channels_last,
    )


def _first(error: Exception) -> str:
    """What is wrong, in a few words."""
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        field = ".".join(map(str, problem["loc"]))
        return brief(f"{field or 'a layer'} cannot be {brief(problem.get('input'), 30)}", 80)
    return brief(first_line(error), 80)


def _model(reader: _Reader, model: Config, given: str, above: _Above, depth: int) -> str:
    """Put the layers of a model, whose input is the answer of ``given``; the name of the layer with its answer."""
    if depth > _DEEPEST:
        raise BadInput(f"expected at most {_DEEPEST} models in each other, got more")
    config = model.get("config", {})
    kind, layers = str(model.get("class_name")), config if isinstance(config, list) else config.get("layers")
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(layers, list):
        raise BadInput(f"expected a Sequential or functional Keras model, got {brief(kind, 40)}")
    outputs: dict[str, str] = {}
    counts: dict[str, int] = {}
    last = given
    _note_size(reader, config, depth)
    for layer in layers:
        kind, own = str(layer.get("class_name")), layer.get("config", {})
        name = str(layer.get("name") or (own.get("name") if isinstance(own, dict) else None) or kind)
        word = _snake(kind)
        if kind != "InputLayer" or model.get("class_name") != "Sequential":
            counts[word] = counts.get(word, -1) + 1
        alias = f"{word}_{counts[word]}" if counts.get(word) else word
        sources = list(_sources(layer)) if "inbound_nodes" in layer else None
        if kind == "InputLayer":
            if sum(one.get("class_name") == "InputLayer" for one in layers) > 1:
                raise BadInput("expected one input of the described model, got several")
            _note_size(reader, own, depth)
            outputs[name] = last = given
            continue
        if sources is not None and (not sources or any(one not in outputs for one in sources)):
            raise BadInput(f"expected layers before it as inputs of {brief(name, 40)!r}, got others")
        _note_size(reader, own, depth)
        taken = [outputs[one] for one in sources] if sources is not None else [last]
        place = _Above(f"{above.named}{name}", f"{above.numbered}{alias}")
        last = outputs[name] = _layer(reader, kind, name, layer, taken, place, depth)
    wanted = config.get("output_layers") if isinstance(config, dict) else None
    ends = _ends(wanted)
    if len(ends) > 1:
        raise BadInput(f"expected one output of the described model, got {len(ends)}")
    if ends and ends[0] not in outputs:
        raise BadInput(f"expected a layer as the model's output, got {brief(ends[0], 40)!r}")
    return outputs[ends[0]] if ends else last


def _ends(wanted: Any) -> list[str]:
    if not isinstance(wanted, list) or not wanted:
        return []
    return [str(wanted[0])] if isinstance(wanted[0], str) else [str(one[0]) for one in wanted if one]


def _sources(layer: Config) -> Iterator[str]:
    """Names of the layers whose answers it takes."""
    nodes = layer["inbound_nodes"]
    if len(nodes) > 1:
        raise BadInput(f"expected layers that are used once, got {brief(layer.get('name'), 40)!r} more often")

    def walk(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            history = value.get("config", {}).get("keras_history") if isinstance(value.get("config"), dict) else None
            if value.get("class_name") == "__keras_tensor__" and history:
                yield str(history[0])
            else:
                for inner in value.values():
                    yield from walk(inner)
        elif isinstance(value, list):
            if len(value) in (3, 4) and isinstance(value[0], str) and isinstance(value[1], int):
                yield value[0]  # Keras 1 and 2: name, node, tensor, more
            else:
                for inner in value:
                    yield from walk(inner)

    yield from walk(nodes)


def _note_size(reader: _Reader, config: Any, depth: int) -> None:
    shape = None
    if isinstance(config, dict):
        keys = ("batch_shape", "batch_input_shape", "build_input_shape")
        shape = next((config[key] for key in keys if config.get(key)), None)
    if depth or reader.input_size is not None or not isinstance(shape, list) or len(shape) != 4:
        return
    sides = shape[1:]
    if all(isinstance(side, int) and 0 < side < 1 << 14 for side in sides):
        last = config.get("data_format") != "channels_first" and sides[2] <= 64
        height, width, channels = sides if last else (sides[1], sides[2], sides[0])
        reader.input_size = (channels, height, width)


def _snake(kind: str) -> str:
    """As Keras 3 calls layers in files: ``BatchNormalization`` is ``batch_normalization``."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()


def _layer(reader: _Reader, kind: str, name: str, layer: Config, given: list[str], place: _Above, depth: int) -> str:
    """Put one layer of Keras's, as one or several; the name of that with its answer."""
    config = layer.get("config", {})
    if kind in ("Sequential", "Functional", "Model"):
        return _model(reader, layer, given[0], _Above(f"{place.named}/", f"{place.numbered}/"), depth + 1)
    if not isinstance(config, dict):
        raise BadInput(f"expected a table as the settings of layer {brief(name, 40)!r}, got something else")
    if config.get("data_format") == "channels_first":
        reader.channels_last = False
    if kind in _SAME_ANSWER:
        return given[0]
    if kind in _JOINS:
        axis = config.get("axis", -1)
        if kind == "Concatenate" and axis not in _channel_axes(reader, given[0]):
            raise BadInput(f"expected layer {brief(name, 40)!r} to join channels, got axis {brief(axis)}")
        return reader.put(Join(name=reader.named(name), inputs=tuple(given), how=_JOINS[kind]))
    last, weights = _put(reader, kind, reader.named(name), config, given[0])
    reader.by_name[place.named] = reader.by_number[place.numbered] = weights
    return last


def _channel_axes(reader: _Reader, given: str) -> tuple[int, ...]:
    """The numbers that the axis of channels, or of features, may have in the answer of a layer."""
    if reader.input_size is None:
        return -1, 1, 3
    if len(reader.shapes.get(given, reader.input_size)) == 1:
        return -1, 1
    return (-1, 3) if reader.channels_last else (1,)


def _put(reader: _Reader, kind: str, name: str, config: Config, given: str) -> tuple[str, Weights]:
    """Put a layer with one input; the layer with its answer, and where its weights belong."""
    source: dict[str, Any] = {"name": name, "inputs": (given,)}
    if kind in ("Conv2D", "Convolution2D", "DepthwiseConv2D", "SeparableConv2D"):
        return _conv(reader, kind, name, config, given)
    if kind == "Dense":
        features = whole(config, "units", "output_dim")
        last = reader.put(Dense(**source, features=features, bias=bias(config)))
        return _activated(reader, name, config.get("activation"), last), Weights(name)
    if kind == "BatchNormalization":
        axis = config.get("axis", -1)
        if (axis[0] if isinstance(axis, list) and len(axis) == 1 else axis) not in _channel_axes(reader, given):
            raise BadInput(f"expected layer {name!r} to normalize channels, got axis {brief(axis, 20)}")
        settings = {"epsilon": config.get("epsilon", 1e-3), "momentum": 1 - config.get("momentum", 0.99)}
        scale, center = (bool(config.get(key, True)) for key in ("scale", "center"))
        return reader.put(Norm(**source, **settings)), Weights(name, norm=True, scale=scale, center=center)
    return _bare(reader, kind, source, config), Weights()


def _bare(reader: _Reader, kind: str, source: dict[str, Any], config: Config) -> str:
    """Put a layer without weights."""
    name, given = source["name"], source["inputs"][0]
    if kind in ACTIVATIONS:
        function = config.get("activation") if kind == "Activation" else ACTIVATIONS[kind]
        return _activated(reader, name, function, given, config, own_name=True)
    made: dict[str, Callable[[], Layer]] = {
        "MaxPooling2D": lambda: _pool(reader, source, config, "max"),
        "AveragePooling2D": lambda: _pool(reader, source, config, "mean"),
        "GlobalAveragePooling2D": lambda: GlobalPool(**source, how="mean", keep=bool(config.get("keepdims", False))),
        "GlobalMaxPooling2D": lambda: GlobalPool(**source, how="max", keep=bool(config.get("keepdims", False))),
        "Flatten": lambda: Flatten(**source),
        "Dropout": lambda: Dropout(**source, rate=min(config.get("rate", config.get("p", 0.5)), 0.99)),
        "ZeroPadding2D": lambda: Pad(**source, sides=four(config, "padding")),
        "Cropping2D": lambda: Pad(**source, sides=four(config, "cropping"), cut=True),
        "Rescaling": lambda: Scale(**source, by=numbers(config.get("scale", 1)), plus=numbers(config.get("offset", 0))),
    }
    if kind not in made:
        raise BadInput(f"expected layers that badnets knows, got {brief(kind, 40)} ({name})")
    return reader.put(made[kind]())


def _conv(reader: _Reader, kind: str, name: str, config: Config, given: str) -> tuple[str, Weights]:
    kernel, stride, dilation = (
        pair(config, *keys) for keys in (("kernel_size",), ("strides", "subsample"), ("dilation_rate",))
    )
    sides = _same(reader, config, given, kernel, stride, dilation)
    if sides[0] != sides[1] or sides[2] != sides[3]:
        given = reader.put(Pad(name=reader.named(f"{name}_pad"), inputs=(given,), sides=sides))
        sides = (0, 0, 0, 0)
    window: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": (sides[0], sides[2]), "dilation": dilation}
    with_bias = bias(config)
    if kind in ("Conv2D", "Convolution2D"):
        filters, groups = whole(config, "filters", "nb_filter"), int(config.get("groups") or 1)
        last = reader.put(Conv(name=name, inputs=(given,), filters=filters, groups=groups, bias=with_bias, **window))
        return _activated(reader, name, config.get("activation"), last), Weights(name)
    channels, alone = _channels(reader, given), kind == "DepthwiseConv2D"
    filters = channels * int(config.get("depth_multiplier") or 1)
    first = name if alone else reader.named(f"{name}_depthwise")
    deep = Conv(name=first, inputs=(given,), filters=filters, groups=channels, bias=with_bias and alone, **window)
    last, weights = reader.put(deep), Weights(name, depthwise=first)
    if not alone:
        filters = whole(config, "filters")
        last = reader.put(Conv(name=name, inputs=(last,), filters=filters, kernel=(1, 1), bias=with_bias))
    return _activated(reader, name, config.get("activation"), last), weights


def _channels(reader: _Reader, name: str) -> int:
    """Of the maps that a layer gives."""
    return _maps(reader, name)[0]


def _maps(reader: _Reader, name: str) -> tuple[int, int, int]:
    """Channels, height and width of what a layer gives."""
    if not reader.shapes and reader.input_size is None:
        raise BadInput("expected the size of the pictures in the model's description, got none")
    shape = reader.shapes.get(name, reader.input_size or ())
    if len(shape) != 3:
        raise BadInput(f"expected maps before a window that slides over them, got {list(shape)}")
    return shape[0], shape[1], shape[2]


def _same(
    reader: _Reader,
    config: Config,
    given: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> Sides:
    """Keras's "same": as many outputs as ``ceil(side / stride)``; an odd number of zeros has one more at the end."""
    how = config.get("padding", config.get("border_mode", "valid"))
    if how == "valid":
        return 0, 0, 0, 0
    if how != "same":
        raise BadInput(f"expected padding 'valid' or 'same', got {brief(repr(how), 40)}")
    windows = [far * (side - 1) + 1 for side, far in zip(kernel, dilation, strict=True)]
    sides: list[int] = []
    maps = (0, 0) if stride == (1, 1) else _maps(reader, given)[1:]
    for window, step, side in zip(windows, stride, maps, strict=True):
        missing = window - 1 if step == 1 else max((-(-side // step) - 1) * step + window - side, 0)
        sides += [missing // 2, missing - missing // 2]
    return sides[0], sides[1], sides[2], sides[3]


def _pool(reader: _Reader, source: dict[str, Any], config: Config, how: Literal["max", "mean"]) -> Pool:
    kernel = pair(config, "pool_size")
    stride = pair(config, "strides") if config.get("strides") is not None else kernel
    padding = _same(reader, config, source["inputs"][0], kernel, stride, (1, 1))
    return Pool(**source, how=how, kernel=kernel, stride=stride, padding=padding)


def _activated(
    reader: _Reader, called: str, function: Any, given: str, config: Config | None = None, *, own_name: bool = False
) -> str:
    """Put the function of an answer, if it is one; ``config`` has the settings of a layer that is nothing else."""
    used = activation(function, config)
    if used is None:
        return given
    name = called if own_name else reader.named(f"{called}_{used.word}")
    return reader.put(Activation(name=name, inputs=(given,), function=used.function, slope=used.slope))
