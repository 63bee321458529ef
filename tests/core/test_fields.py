"""Figures as fields: written, read again, and what is no figure refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from badnets.core.fields import Difference, Figure, Score, Share
from badnets.core.rate import Contrast, Estimate, Interval, Mean, Number, PairedDifference, Rate

SINGLE: list[Interval] = [
    Rate(3, 4),
    Rate(0, 0),
    PairedDifference(5, 3, 1, 1),
    PairedDifference(0, 0, 0, 0),
    Contrast(Rate(3, 4), Rate(1, 9)),
    Estimate(0.9, (0.85, 0.93)),
    Estimate(-0.1, (-0.2, 0.05), paired=True),
    Estimate(None, (None, None)),
    Number(17.5),
    Number(None),
]
FIGURES = [*SINGLE, *(Mean((3, 5), (one, one)) for one in SINGLE), Mean((1, 2), (Rate(0, 0), Rate(1, 7)))]
OWN: list[tuple[Any, Interval]] = [
    (Share, Rate(3, 4)),
    (Difference, PairedDifference(5, 3, 1, 1)),
    (Score, Estimate(0.9, (0.85, 0.93))),
]


@pytest.mark.parametrize("figure", FIGURES, ids=str)
def test_every_figure_comes_back_from_its_json(figure: Interval) -> None:
    adapter = TypeAdapter(Figure)
    written = json.loads(adapter.dump_json(figure))
    again = adapter.validate_python(written)
    assert again == figure
    assert again.ends == figure.ends
    assert json.loads(adapter.dump_json(again)) == written
    assert adapter.validate_python(figure) is figure


@pytest.mark.parametrize(("kind", "figure"), OWN)
def test_a_field_of_one_kind_takes_it_and_its_mean(kind: Any, figure: Interval) -> None:
    adapter = TypeAdapter(kind)
    for one in (figure, Mean((1, 2, 3), (figure, figure, figure))):
        assert adapter.validate_python(json.loads(adapter.dump_json(one))) == one
        assert adapter.validate_python(one) is one


def test_intervals_are_computed_anew_from_the_counts() -> None:
    seeds = [{"seed": seed, "hits": 60, "total": 60, "value": 1.0, "low": 0.94, "high": 1.0} for seed in (1, 2, 3)]
    old = {"hits": 180, "total": 180, "value": 1.0, "low": 1.0, "high": 1.0, "seeds": seeds}
    read = TypeAdapter(Share).validate_python(old)
    assert read == Mean((1, 2, 3), (Rate(60, 60),) * 3)
    assert read.low == pytest.approx(0.9398, abs=5e-5)


@pytest.mark.parametrize(
    ("kind", "value", "figure"),
    [
        (Share, {"hits": 1, "total": 2}, Rate(1, 2)),
        (Share, {"hits": 1, "total": 2, "value": 0.5, "low": 0.1, "high": 0.9, "seeds": []}, Rate(1, 2)),
        (Share, {"hits": 1, "total": 2, "seeds": None}, Rate(1, 2)),
        (Difference, {"both": 2, "first_only": 1, "second_only": 0, "neither": 3}, PairedDifference(2, 1, 0, 3)),
        (Score, {"value": 0.5, "low": 0.4, "high": 0.6}, Estimate(0.5, (0.4, 0.6))),
    ],
)
def test_older_forms_are_read(kind: Any, value: dict[str, Any], figure: Interval) -> None:
    assert TypeAdapter(kind).validate_python(value) == figure


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Share, {"hits": 3, "total": 2}),
        (Share, {"value": 0.5}),
        (Share, 0.5),
        (Share, Estimate(0.5, (0.4, 0.6))),
        (Share, {"seeds": [{"hits": 1, "total": 2}]}),
        (Score, {"hits": 1, "total": 2}),
        (Figure, {"value": 0.5}),
        (Figure, {"kind": "guess", "value": 0.5}),
        (Figure, 0.5),
    ],
)
def test_what_is_no_such_figure_is_refused_in_words(kind: Any, value: Any) -> None:
    with pytest.raises(ValidationError, match=r"(a rate|an estimate|a figure|hits <= total)"):
        TypeAdapter(kind).validate_python(value)


def test_the_schema_says_what_a_figure_looks_like() -> None:
    class Record(BaseModel):
        share: Share

    own = Record.model_json_schema()["properties"]["share"]["properties"]
    assert set(own) == {"value", "low", "high", "hits", "total", "seeds"}
