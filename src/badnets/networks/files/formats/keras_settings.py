"""Settings of one of Keras's layers, as its versions write them; what is not as it should be is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.networks.architectures.graph import Sides

Config = Mapping[str, Any]


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
    if not all(isinstance(one, int | float) for one in given):
        raise BadInput(f"expected numbers to scale pictures by, got {brief(value, 40)}")
    return tuple(map(float, given))
