"""Figures as fields of records: read from their JSON, with the ends of intervals computed anew from the counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from badnets.core.errors import BadInput
from badnets.core.rate import JSON, Contrast, Estimate, Interval, Mean, Number, PairedDifference, Rate, parts_of

_KINDS: Mapping[str, type[Interval]] = {
    "rate": Rate,
    "paired difference": PairedDifference,
    "contrast": Contrast,
    "estimate": Estimate,
    "number": Number,
}


_COUNTS = ("hits", "total", "both", "first_only", "second_only", "neither")
_NUMBERS = ("value", "low", "high")


def _check_numbers(value: Mapping[str, Any]) -> None:
    """Counts are whole numbers that a machine can count to, other figures numbers or nothing."""
    for name in _COUNTS:
        if not isinstance(count := value.get(name, 0), int) or abs(count) >= 1 << 63:
            raise TypeError(name)
    if not isinstance(value.get("seed", 0), int):
        raise TypeError("seed")
    for name in _NUMBERS:
        if not isinstance(number := value.get(name), float | int | None) or abs(number or 0) > 1e300:
            raise TypeError(name)
    for name in {"first", "second"} & value.keys():
        _check_numbers(value[name])


def _read(value: Any, name: str) -> Any:
    """From the JSON of a figure of the kind ``name``, or of its mean over seeds."""
    kind: Any = _KINDS[name]
    if isinstance(value, kind | Mean):
        return value
    expected = f"expected {'an' if name[0] in 'aeiou' else 'a'} {name} with its counts"
    try:
        _check_numbers(value)
        if seeds := value.get("seeds"):
            for one in seeds:
                _check_numbers(one)
            return Mean(tuple(int(one["seed"]) for one in seeds), tuple(kind.from_json(one) for one in seeds))
        return kind.from_json(value)
    except BadInput as error:
        raise ValueError(str(error)) from None
    except KeyError as missing:
        raise ValueError(f"{expected}, got one without {missing}") from None
    except (AttributeError, TypeError, OverflowError):
        raise ValueError(f"{expected}, got a {type(value).__name__}") from None


def _read_any(value: Any) -> Any:
    if isinstance(value, Interval):
        return value
    name = str(value.get("kind")) if isinstance(value, Mapping) else ""
    if name not in _KINDS:
        raise ValueError(f"expected a figure of a known kind ({', '.join(_KINDS)}), got something else")
    return _read(value, name)


def _write_any(figure: Interval) -> JSON:
    part = parts_of(figure)[0]
    return {"kind": next(name for name, kind in _KINDS.items() if type(part) is kind), **figure.to_json()}


def _reader(name: str) -> PlainValidator:
    return PlainValidator(lambda value: _read(value, name))


def _schema(**properties: str) -> WithJsonSchema:
    number = {"type": ["number", "null"]}
    shape: JSON = {"value": number, "low": number, "high": number}
    shape |= {name: {"type": kind} for name, kind in properties.items()}
    seeds = {"type": "array", "items": {"type": "object"}, "description": "of several seeds, each one's own"}
    return WithJsonSchema({"type": "object", "required": ["value"], "properties": {**shape, "seeds": seeds}})


_written = PlainSerializer(lambda figure: figure.to_json(), return_type=dict)
_PAIRED = _schema(both="integer", first_only="integer", second_only="integer", neither="integer", total="integer")

Share = Annotated[Rate | Mean[Rate], _reader("rate"), _written, _schema(hits="integer", total="integer")]
"""A rate, of one seed or over several."""
Difference = Annotated[PairedDifference | Mean[PairedDifference], _reader("paired difference"), _written, _PAIRED]
"""A paired difference, of one seed or over several."""
Score = Annotated[Estimate | Mean[Estimate], _reader("estimate"), _written, _schema(interval="string")]
"""An estimate, of one seed or over several."""
Figure = Annotated[
    Interval, PlainValidator(_read_any), PlainSerializer(_write_any, return_type=dict), _schema(kind="string")
]
"""Any figure; its JSON says its ``kind``."""
