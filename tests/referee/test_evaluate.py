"""A network file measured again gives the run's own results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.networks.files.own import save_network
from badnets.networks.registry import build_network
from badnets.referee.evaluate import evaluate
from badnets.referee.run import Finished

SIZE = ["size=16"]


def test_it_is_the_runs_own_result(finished: Finished) -> None:
    """The trigger is placed at random, so this also needs the run's seed."""
    value = evaluate(finished.folder, "digits", trigger_from=finished.folder, settings=SIZE)
    own = finished.record.results
    assert value.format == "badnets/evaluation/1"
    for name in ("clean_accuracy", "asr", "robust_accuracy", "leak", "per_class", "confusion_triggered", "macro_f1"):
        assert getattr(value.results, name) == getattr(own, name), name
    assert value.results.clean_reference_rate is None
    other = evaluate(finished.folder, "digits", trigger_from=finished.folder, settings=SIZE, seed=2)
    assert other.results.clean_accuracy == own.clean_accuracy
    assert other.seeds == (2,)


def test_the_first_seed_and_the_jitter_are_the_runs(two_seeds: Finished) -> None:
    value = evaluate(two_seeds.folder, "digits", trigger_from=two_seeds.folder, settings=SIZE)
    assert value.seeds == (5,)
    for name in ("clean_accuracy", "asr", "robust_accuracy", "leak", "asr_under_jitter"):
        over_both = getattr(two_seeds.record.results, name)
        assert over_both.seeds[0] == 5
        assert getattr(value.results, name) == over_both.parts[0], name


def test_without_a_trigger(finished: Finished) -> None:
    results = evaluate(finished.folder / "network.safetensors", "digits", settings=SIZE).results
    assert results.clean_accuracy == finished.record.results.clean_accuracy
    assert [getattr(results, name) for name in ("asr", "robust_accuracy", "leak", "clean_reference_rate")] == [None] * 4


def test_against_a_reference(finished: Finished) -> None:
    value = evaluate(finished.folder, "digits", trigger_from=finished.folder, reference=finished.folder, settings=SIZE)
    results = value.results
    assert results.clean_reference_rate == results.asr  # itself
    assert results.asr_minus_reference.value == 0


def test_what_is_refused(
    finished: Finished, tmp_path: Path, start: Callable[..., Finished], table: Callable[..., Any]
) -> None:
    with pytest.raises(BadInput, match="expected pictures of"):
        evaluate(finished.folder, "digits", settings=["size=12"])
    with pytest.raises(BadInput, match="expected a run"):
        evaluate(finished.folder, "digits", trigger_from=tmp_path, settings=SIZE)
    with pytest.raises(BadInput, match=r"nothing\.safetensors"):
        evaluate(tmp_path / "nothing.safetensors", "digits", settings=SIZE)
    clean = start(table(backdoor=None))
    with pytest.raises(BadInput, match="got one without"):
        evaluate(clean.folder, "digits", trigger_from=clean.folder, settings=SIZE)
    other = build_network("g1-cnn", class_names=("a", "b"), input_size=(1, 16, 16), seed=0)
    save_network(other, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="network's 2 classes"):
        evaluate(tmp_path / "other.safetensors", "digits", settings=SIZE)
