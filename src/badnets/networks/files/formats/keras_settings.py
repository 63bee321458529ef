"""Settings of one of Keras's layers, as its versions write them; what is not as it should be is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.networks.architectures.graph import Function, Sides

Config = Mapping[str, Any]
_FUNCTIONS: dict[str, Function | None] = {
    "linear": None, "relu": "relu", "relu6": "relu6", "elu": "elu", "selu": "selu", "gelu": "gelu", "swish": "silu",
    "silu": "silu", "sigmoid": "sigmoid", "tanh": "tanh", "softplus": "softplus", "softmax": "softmax",
    "log_softmax": "log-softmax", "leaky_relu": "leaky-relu", "hard_swish": "hard-swish", "hard_silu": "hard-swish",
}  # fmt: skip
_SLOPES = {"elu": 1.0, "leaky_relu": 0.2}
ACTIVATIONS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "Softmax": "softmax", "Activation": ""}
"""Layers that are a function, and nothing else."""


def bias(config: Config) -> bool:
    """Whether a layer adds one."""
    return bool(config.get("use_bias", config.get("bias", True)))


def whole(config: Config, *keys: str) -> int:
    """The whole number under the first of ``keys`` that is there."""
    for key in keys:
        if isinstance(config.get(key), int):
            return int(config[key])
    raise BadInput(f"expected a whole number as {keys[0]} of {brief(config.get('name'), 40)!r}, got another value")


def pair(config: Config, *keys: str) -> tuple[int, int]:
    """Height and width under the first of ``keys`` that is there; one number is both."""
    if "kernel_size" in keys and "nb_row" in config:  # Keras 1
        return whole(config, "nb_row"), whole(config, "nb_col")
    value = next((config[key] for key in keys if config.get(key) is not None), 1)
    both = value if isinstance(value, list) else [value, value]
    if len(both) != 2 or not all(isinstance(side, int) and 0 < side < 1 << 14 for side in both):
        raise BadInput(f"expected two sizes as {keys[0]} of {brief(config.get('name'), 40)!r}, got {brief(value, 40)}")
    return both[0], both[1]


def four(config: Config, key: str) -> Sides:
    """Top, bottom, left, right."""
    value = config.get(key, 1)
    rows = value if isinstance(value, list) else [value, value]
    pairs = [row if isinstance(row, list) else [row, row] for row in rows]
    if len(pairs) != 2 or not all(len(p) == 2 and all(isinstance(n, int) and n >= 0 for n in p) for p in pairs):
        raise BadInput(f"expected sizes as {key} of {brief(config.get('name'), 40)!r}, got {brief(value, 40)}")
    return pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]


def numbers(value: Any) -> tuple[float, ...]:
    """One number or several."""
    given = value if isinstance(value, list) else [value]
    if not all(_is_number(one) and math.isfinite(one) for one in given):
        raise BadInput(f"expected numbers to scale pictures by, got {brief(value, 40)}")
    return tuple(map(float, given))


@dataclass(frozen=True)
class Used:
    """A function: ``word`` is Keras's for it."""

    function: Function
    word: str
    slope: float


def activation(function: Any, config: Config | None) -> Used | None:
    """The function that Keras calls ``function``, a word or a table; None for one that changes nothing. ``config`` has
    the settings of a layer that is nothing else."""
    if isinstance(function, dict):  # Keras 3, and functions that are layers
        inner = function.get("config")
        word, config = str(function.get("class_name")), inner if isinstance(inner, dict) else {}
        function = ACTIVATIONS.get(word) or (inner if isinstance(inner, str) else word)
    if function is None:
        return None
    config = config or {}
    word = str(function)
    slope, most = _SLOPES.get(word, 0.01), config.get("max_value")
    below = next((config[key] for key in ("negative_slope", "alpha") if config.get(key) is not None), None)
    if below is not None and not _is_number(below):
        raise BadInput(f"expected a number as the slope of {brief(word, 40)!r}, got {brief(repr(below), 40)}")
    slope = slope if below is None else float(below)
    if word == "relu" and most is not None:
        word = "relu6" if most == 6 and not below else f"relu up to {brief(most, 10)}"
    if word == "relu" and below:
        word = "leaky_relu"
    if word == "gelu" and config.get("approximate"):
        return Used("gelu-tanh", word, slope)
    if word not in _FUNCTIONS or config.get("threshold"):
        raise BadInput(f"expected an activation that badnets knows, got {brief(word, 40)!r}")
    known = _FUNCTIONS[word]
    return None if known is None else Used(known, word, slope)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
