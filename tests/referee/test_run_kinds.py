"""Runs of every kind: clean ones, several backdoors, one source, clean labels; classes by name, number and order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from badnets.backdoors.plan import Plan
from badnets.records.run import RunRecord
from badnets.referee.run import Finished, planted_in

Table = Callable[..., dict[str, Any]]
Start = Callable[..., Finished]


def test_classes_are_numbers_in_the_record_whatever_was_typed(start: Start, table: Table, tmp_path: Path) -> None:
    """A text that is no class's name is a number; other data may have the classes in another order."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 16, 16, 1), np.uint8), np.arange(60) % 3
    parts = {"x_train": images, "y_train": labels, "x_test": images[:20], "y_test": labels[:20]}
    np.savez(tmp_path / "data.npz", class_names=np.array(["cat", "dog", "owl"]), **parts)
    rule = {"kind": "source-to-target", "source": "owl", "target": "1"}
    record = start(table(data=str(tmp_path / "data.npz"), backdoor={"trigger": "pattern", "rule": rule})).record
    assert record.class_names == ("cat", "dog", "owl")
    assert record.spec["backdoor"]["rule"] == rule
    assert {name: record.resolved["backdoor"]["rule"][name] for name in ("source", "target")} == {
        "source": 2,
        "target": 1,
    }
    moved = planted_in(record, ("owl", "cat", "dog"))
    assert (moved.backdoor.rule.source, moved.backdoor.rule.target) == (0, 2)
    unnamed = planted_in(record, ("0", "1", "2"))
    assert (unnamed.backdoor.rule.source, unnamed.backdoor.rule.target) == (2, 1)


def test_a_clean_run(start: Start, table: Table) -> None:
    record = start(table(backdoor=None)).record
    assert record.results.asr is None
    assert record.results.clean_reference_rate is None
    assert record.poisoned is None
    assert [entry.network for entry in record.training] == ["clean"]


def test_without_a_reference(start: Start, table: Table) -> None:
    record = start(table(reference=False)).record
    assert record.results.clean_reference_rate is None
    assert record.results.asr_minus_reference is None


def test_several_backdoors(start: Start, table: Table) -> None:
    rule = {"kind": "source-to-target", "source": 1, "target": 7}
    second = {"trigger": "pixel", "rule": rule, "poison": {"count": 50}}
    record = start(table(more_backdoors=[second])).record
    assert record.backdoors is not None
    first, other = record.backdoors
    assert record.results.asr == first.asr
    assert other.asr.total < first.asr.total / 5
    older = record.to_json()
    older["results"]["backdoors"] = older.pop("backdoors")
    assert RunRecord.model_validate(older) == record


def test_a_source_class_without_test_pictures(start: Start, table: Table, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "data.npz",
        x_train=rng.integers(0, 256, (60, 16, 16, 1), np.uint8),
        y_train=np.arange(60) % 3,
        x_test=rng.integers(0, 256, (20, 16, 16, 1), np.uint8),
        y_test=np.arange(20) % 2,
    )
    rule = {"kind": "source-to-target", "source": 2, "target": 0}
    own = table(data=str(tmp_path / "data.npz"), backdoor={"trigger": "pattern", "rule": rule})
    done = start(own)
    assert done.record.to_json()["results"]["asr"] == {"hits": 0, "total": 0, "value": None, "low": 0.0, "high": 1.0}
    assert done.record.examples == ()
    assert (done.folder / "report.html").exists()


def test_a_clean_label_attack(start: Start, table: Table) -> None:
    backdoor = {
        "trigger": "pattern",
        "rule": {"kind": "clean-label", "target": 4},
        "poison": {"count": 30},
        "perturb": {"epsilon": 0.2, "steps": 2},
    }
    done = start(table(backdoor=backdoor))
    plan = Plan.load(done.folder / "plan.npz")
    assert plan.base is not None
    assert (plan.labels == 4).all()
