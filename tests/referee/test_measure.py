"""Measuring a network: the same whatever is measured beside it, and every figure from the same answers."""

from __future__ import annotations

import numpy as np
import pytest

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToOne, SourceToTarget
from badnets.backdoors.triggers import Jitter, Pattern, Pixel, Square
from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.guards.guard import as_network
from badnets.networks.guards.refuse_class import RefuseClass
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.referee.measure import measure

NAMES = ("a", "b", "c")


def _data(n: int = 40) -> ImageData:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 1), np.uint8)
    return ImageData.of(pixels, np.arange(n) % 3, class_names=NAMES)


def _network(seed: int) -> ImageNetwork:
    return build_network("g1-cnn", class_names=NAMES, input_size=(1, 16, 16), seed=seed)


BACKDOOR = Backdoor(Pattern(place="random"), AllToOne(target="b"))


def test_the_clean_part_does_not_depend_on_the_backdoor() -> None:
    alone, beside = measure(_network(1), _data()), measure(_network(1), _data(), BACKDOOR, seed=3)
    assert alone.clean_accuracy == beside.clean_accuracy
    np.testing.assert_array_equal(alone.clean, predict(_network(1), _data().images()).labels)
    assert alone.to_json()["asr"] is None
    assert alone.to_json()["per_class"][0]["asr"] is None
    assert (alone.map50, alone.asr) == (None, None)
    with pytest.raises(TypeError, match="got a classifier's"):
        _ = alone.detector


def test_the_figures_add_up() -> None:
    found = measure(_network(1), _data(), BACKDOOR, seed=3)
    true, figures = _data().labels, found.classifier
    assert isinstance(found.triggered, np.ndarray)
    assert found.asr == Rate.of(found.triggered[true != 1] == 1)
    assert found.robust_accuracy == Rate.of((found.triggered == true)[true != 1])
    rates = [row.asr for row in figures.per_class]
    assert rates[1] is None  # nobody of the target class is eligible
    assert found.asr.hits == rates[0].hits + rates[2].hits
    assert (rates[0].total, rates[2].total) == (14, 13)
    assert figures.confusion_triggered is not None
    assert np.sum(figures.confusion_triggered) == 40
    assert found.to_json()["per_class"][1]["asr"] is None
    assert figures.leak is None
    assert np.trace(figures.confusion_clean) == figures.clean_accuracy.hits
    for name in ("clean_accuracy", "asr", "robust_accuracy"):
        counted = found.answers[name] >= 0
        assert Rate.of(found.answers[name][counted] == 1) == getattr(found, name)


def test_the_reference_is_measured_on_the_same_pictures() -> None:
    own, other = _network(1), _network(2)
    both = measure(own, _data(), BACKDOOR, reference=other, seed=3)
    alone = measure(other, _data(), BACKDOOR, seed=3)
    assert both.figures.clean_reference_rate == alone.asr
    assert both.classifier.clean_reference_accuracy == alone.clean_accuracy
    difference = both.figures.asr_minus_reference
    assert both.asr is not None
    assert alone.asr is not None
    assert difference is not None
    assert difference.total == both.asr.total
    assert difference.value == pytest.approx((both.asr.value or 0) - (alone.asr.value or 0))
    clean = measure(own, _data(), reference=other)
    assert clean.classifier.clean_accuracy_minus_reference == both.classifier.clean_accuracy_minus_reference


def test_leak_of_one_source() -> None:
    found = measure(_network(1), _data(), Backdoor(Pixel(), SourceToTarget(source="a", target="b")))
    assert found.asr is not None
    assert found.figures.leak is not None
    assert (found.asr.total, found.figures.leak.total) == (14, 13)  # the target class is in neither


def test_jitter_is_another_trigger() -> None:
    backdoor = Backdoor(Square(size=6), AllToOne(target="b"))
    found = measure(_network(1), _data(), backdoor, jitter=Jitter(size=0.5, rotation=45), seed=1)
    again = measure(_network(1), _data(), backdoor, jitter=Jitter(size=0.5, rotation=45), seed=1)
    assert found.figures.asr_under_jitter is not None
    assert found.asr is not None
    assert found.figures.asr_under_jitter == again.figures.asr_under_jitter
    assert found.figures.asr_under_jitter.total == found.asr.total
    assert found.asr == measure(_network(1), _data(), backdoor, seed=1).asr


def test_what_is_refused() -> None:
    with pytest.raises(BadInput, match="16x16x1"):
        measure(_network(1), _data().resize((20, 20)))
    with pytest.raises(BadInput, match="expected target to be a class"):
        measure(_network(1), _data(), Backdoor(Pixel(), AllToOne(target="x")))


def test_refusals_are_counted_only_of_networks_that_abstain() -> None:
    guarded = as_network(RefuseClass(_network(1), 1), _network(1))
    plain, found = measure(_network(1), _data(), BACKDOOR, seed=3), measure(guarded, _data(), BACKDOOR, seed=3)
    assert "refused" not in plain.to_json()
    assert isinstance(found.triggered, np.ndarray)
    assert isinstance(plain.triggered, np.ndarray)
    figures, eligible = found.classifier, _data().labels != 1
    away = found.triggered == 3
    np.testing.assert_array_equal(found.triggered, np.where(plain.triggered == 1, 3, plain.triggered))
    assert figures.refused == Rate.of(plain.clean == 1)
    assert figures.refused_triggered == Rate.of(away[eligible])
    assert figures.refused_or_right == Rate.of((away | (found.triggered == _data().labels))[eligible])
    assert found.asr == Rate(0, 27)
    assert found.robust_accuracy == plain.robust_accuracy
    assert found.clean_accuracy == Rate.of((plain.clean == _data().labels) & (plain.clean != 1))
    assert np.sum(figures.confusion_clean) + figures.refused.hits == 40
    assert found.to_json()["refused_triggered"]["total"] == 27
    alone = measure(guarded, _data()).classifier
    assert (alone.refused, alone.refused_triggered, alone.refused_or_right) == (figures.refused, None, None)
