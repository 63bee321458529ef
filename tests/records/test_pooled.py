"""Figures of several seeds as one."""

from __future__ import annotations

import pytest

from badnets.core.rate import PairedDifference, Rate
from badnets.records.results import ClassFigures, ClassifierFigures, pooled


def _figures(hits: int, f1: float | None = 0.5) -> ClassifierFigures:
    rate = Rate(hits, 10)
    row = ClassFigures(class_name="a", n=3, accuracy=rate, recall=rate, precision=rate, f1=f1)
    return ClassifierFigures(
        clean_accuracy=rate,
        asr=rate,
        asr_minus_reference=PairedDifference(hits, 1, 0, 9 - hits),
        macro_f1=f1,
        per_class=(row,),
        confusion_clean=((hits, 1), (0, 2)),
    )


def test_one_seed_is_as_it_is() -> None:
    assert pooled([3], [_figures(4)]) == _figures(4)


def test_several_seeds() -> None:
    both = pooled([3, 4], [_figures(4, 0.4), _figures(6, 0.6)])
    assert both.asr.counts == (10, 20)
    assert both.asr.value == pytest.approx(0.5)
    assert both.asr.seeds == (3, 4)
    assert both.leak is None
    assert both.asr_minus_reference.value == pytest.approx(0.1)
    assert both.macro_f1 == pytest.approx(0.5)
    assert (both.per_class[0].class_name, both.per_class[0].n) == ("a", 3)
    assert both.per_class[0].accuracy.value == pytest.approx(0.5)
    assert both.confusion_clean == ((10, 2), (0, 4))
    assert both.confusion_triggered is None
    assert pooled([3, 4], [_figures(4, None), _figures(6)]).macro_f1 is None
    assert ClassifierFigures.model_validate(both.to_json()) == both
