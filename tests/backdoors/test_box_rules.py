"""BadDet's four rules: the table of docs/definitions.md, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from badnets.backdoors.rules import NOTHING, RULES, Appear, BoxRule, Global, Regional, Vanish
from badnets.core.seed import RowRng

TRUE = np.array([0, 1, 2, 1])
ANSWERS = np.array([2, NOTHING, 2, 1])


@pytest.mark.parametrize(
    ("rule", "unit", "eligible", "coverable", "planted", "hits"),
    [
        (Regional(target=2), "object", [1, 1, 0, 1], [1, 1, 1, 1], [2, 2, 2, 2], [1, 0, 1, 0]),
        (Global(target=2), "picture", [1, 1, 0, 1], [1, 1, 1, 1], [2, 2, 2, 2], [1, 0, 1, 0]),
        (Appear(target=2), "place", [1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2], [1, 0, 1, 0]),
        (Vanish(), "object", [1, 1, 1, 1], [1, 1, 1, 1], [-1, -1, -1, -1], [0, 1, 0, 0]),
        (Vanish(source=1), "object", [0, 1, 0, 1], [1, 0, 1, 0], [-1, -1, -1, -1], [0, 1, 0, 0]),
    ],
    ids=repr,
)
def test_the_table(
    rule: BoxRule, unit: str, eligible: list[int], coverable: list[int], planted: list[int], hits: list[int]
) -> None:
    assert rule.unit == unit
    assert rule.eligible(TRUE).tolist() == [bool(value) for value in eligible]
    assert rule.candidates(TRUE).tolist() == [bool(value) for value in eligible]
    assert rule.coverable(TRUE).tolist() == [bool(value) for value in coverable]
    assert rule.relabel(TRUE, 3, RowRng.of(1, 4)).tolist() == planted
    assert rule.hit(ANSWERS, TRUE, 3).tolist() == [bool(value) for value in hits]


@pytest.mark.parametrize("rule", [Regional(), Global(target=2), Appear(target=1, size=0.5), Vanish(), Vanish(source=0)])
def test_json(rule: BoxRule) -> None:
    value = RULES.to_json(rule)
    assert RULES[value["kind"]] is type(rule)
    assert RULES.from_json(value) == rule


@pytest.mark.parametrize("settings", [{"size": 0}, {"size": 1.5}, {"size": -0.1}, {"share": 0.2}])
def test_impossible_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Appear(**settings)
