"""What holds for every label rule; a new one is covered unasked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from badnets.backdoors.rules import NOTHING, RULES, LabelRule
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng

NEEDED: dict[str, dict[str, Any]] = {"source-to-target": {"source": 1, "target": 0}}
"""Settings that a rule cannot do without."""
LABELS = np.arange(40) % 5
NAMES = ["a", "b", "c", "d", "e"]

pytestmark = pytest.mark.parametrize("kind", RULES)


def make(kind: str) -> LabelRule:
    return RULES.make(kind, NEEDED.get(kind)).resolve(NAMES)


def test_rows_are_chosen_by_their_label_alone(kind: str) -> None:
    rule, before = make(kind), LABELS.copy()
    for chosen in (rule.eligible(LABELS), rule.candidates(LABELS), rule.coverable(LABELS)):
        assert (chosen.dtype, chosen.shape) == (np.bool_, LABELS.shape)
        assert np.array_equal(chosen, np.tile(chosen[:5], 8))
    assert rule.eligible(LABELS).any()
    assert rule.candidates(LABELS).any()
    assert rule.eligible(LABELS[:0]).shape == (0,)
    assert rule.unit in ("object", "picture", "place")
    assert np.array_equal(LABELS, before)


def test_planted_labels_are_classes_depend_on_the_row_and_are_hits(kind: str) -> None:
    rule = make(kind)
    planted, again = (rule.relabel(LABELS, 5, RowRng.of(3, 40)) for _ in range(2))
    assert np.array_equal(planted, again)
    assert planted.shape == LABELS.shape
    assert ((planted == NOTHING) | ((planted >= 0) & (planted < 5))).all()
    some = np.array([7, 2, 30])
    assert np.array_equal(rule.relabel(LABELS[some], 5, RowRng.of(3, 40).take(some)), planted[some])
    both = rule.eligible(LABELS) & rule.candidates(LABELS)
    assert rule.hit(planted, LABELS, 5)[both].all()
    if rule.unit != "place":  # where nothing was, there is no right answer
        assert not rule.hit(LABELS, LABELS, 5)[rule.eligible(LABELS)].any()


def test_settings_survive_json_and_wrong_ones_are_named(kind: str) -> None:
    rule = make(kind)
    value = RULES.to_json(rule)
    assert value["kind"] == rule.kind == kind
    assert RULES.from_json(json.loads(json.dumps(value))) == rule
    assert hash(rule) == hash(RULES.from_json(value))
    assert RULES[kind].__doc__
    assert TypeAdapter(RULES[kind]).json_schema()["properties"]["kind"]["const"] == kind
    with pytest.raises(BadInput, match=f"label rule {kind}: unknown key 'rubbish'"):
        RULES.make(kind, {"rubbish": 1})
