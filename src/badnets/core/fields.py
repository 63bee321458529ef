"""Figures as fields of records: read from their JSON, with the ends of intervals computed anew from the counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from badnets.core.errors import BadInput
from badnets.core.rate import JSON, Contrast, Estimate, Interval, Mean, Number, PairedDifference, Rate, parts_of

F = TypeVar("F", bound=Interval)


def _reader(kind: type[F]) -> PlainValidator:
    """From the JSON of a figure of this kind, or of its mean over seeds."""

    def read(value: Any) -> F | Mean[F]:
        if isinstance(value, kind | Mean):
            return value
        try:
            if value.get("seeds"):
                seeds = tuple(int(own["seed"]) for own in value["seeds"])
                return Mean(seeds, tuple(kind.from_json(own) for own in value["seeds"]))  # type: ignore[attr-defined]
            return kind.from_json(value)  # type: ignore[attr-defined,no-any-return]  # every kind has it
        except BadInput as error:
            raise ValueError(str(error)) from None
        except KeyError as missing:
            raise ValueError(f"expected {_words(kind)} with its counts, got one without {missing}") from None
        except (AttributeError, TypeError):
            raise ValueError(f"expected {_words(kind)} with its counts, got a {type(value).__name__}") from None

    return PlainValidator(read)


def _words(kind: type[Interval]) -> str:
    name = next(name for name, known in _KINDS.items() if known is kind)
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _schema(**properties: str) -> WithJsonSchema:
    number = {"type": ["number", "null"]}
    own: JSON = {"value": number, "low": number, "high": number}
    own |= {name: {"type": kind} for name, kind in properties.items()}
    seeds = {"type": "array", "items": {"type": "object"}, "description": "of several seeds, each one's own"}
    return WithJsonSchema({"type": "object", "required": ["value"], "properties": {**own, "seeds": seeds}})


_written = PlainSerializer(lambda figure: figure.to_json(), return_type=dict)
_KINDS: Mapping[str, type[Interval]] = {
    "rate": Rate,
    "paired difference": PairedDifference,
    "contrast": Contrast,
    "estimate": Estimate,
    "number": Number,
}

_PAIRED = _schema(both="integer", first_only="integer", second_only="integer", neither="integer", total="integer")

Share = Annotated[Rate | Mean[Rate], _reader(Rate), _written, _schema(hits="integer", total="integer")]
"""A rate, of one seed or over several."""
Difference = Annotated[PairedDifference | Mean[PairedDifference], _reader(PairedDifference), _written, _PAIRED]
"""A paired difference, of one seed or over several."""
Score = Annotated[Estimate | Mean[Estimate], _reader(Estimate), _written, _schema(interval="string")]
"""An estimate, of one seed or over several."""


def _read_any(value: Any) -> Interval:
    if isinstance(value, Interval):
        return value
    kind = _KINDS.get(str(value.get("kind"))) if isinstance(value, Mapping) else None
    if kind is None:
        raise ValueError(f"expected a figure of a known kind ({', '.join(_KINDS)}), got something else")
    read: Interval = _reader(kind).func(value)  # type: ignore[call-arg]  # the plain form of a validator
    return read


def _write_any(figure: Interval) -> JSON:
    part = parts_of(figure)[0]
    return {"kind": next(name for name, kind in _KINDS.items() if type(part) is kind), **figure.to_json()}


Figure = Annotated[
    Interval, PlainValidator(_read_any), PlainSerializer(_write_any, return_type=dict), _schema(kind="string")
]
"""Any figure; its JSON says its ``kind``."""
