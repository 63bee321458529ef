from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic.dataclasses import dataclass

from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import file_digest
from badnets.data.load import load
from badnets.defenses.repair import Work
from badnets.defenses.repairs import make_repair
from badnets.networks.files.own import open_network, through_file
from badnets.records.certificate import Certificate
from badnets.referee.case import Interrupted, RepairCase
from badnets.referee.certify import certify
from badnets.referee.evaluate import evaluate
from badnets.referee.run import Finished

DIGITS = {"data": "digits", "settings": ("size=16",)}
QUICK = {"epochs": 2}

SEEN: list[tuple[Work, dict[str, Any]]] = []
"""What the methods below were given, with the network's provenance."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Changes nothing and remembers what it saw."""

    needs_data: ClassVar[bool] = True
    kind: Literal["watch"] = "watch"

    def repair(self, work: Work) -> str:
        SEEN.append((work, dict(work.view.network.provenance)))
        return "nothing"


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Halves the weights, keeps that, halves them again, and is stopped."""

    needs_data: ClassVar[bool] = True
    kind: Literal["stopped"] = "stopped"

    def repair(self, work: Work) -> str:
        for _ in range(2):
            with torch.no_grad():
                for weight in work.network.parameters():
                    weight.div_(2)
            if not work.trace:
                work.keep()
                work.row(1, 2)
        raise KeyboardInterrupt


@dataclass(frozen=True, kw_only=True)
class Hopeless:
    """Comes to nothing on networks that say nothing of being repaired: on the second one."""

    needs_data: ClassVar[bool] = True
    kind: Literal["hopeless"] = "hopeless"

    def repair(self, work: Work) -> str:
        SEEN.append((work, dict(work.view.network.provenance)))
        if len(SEEN) > 1:
            raise CannotTell("expected a finite loss, got nan")
        return "nothing"


@pytest.fixture(autouse=True)
def _forget() -> None:
    SEEN.clear()


@pytest.fixture
def case(tmp_path: Path, finished: Finished) -> Callable[..., RepairCase]:
    """A case of the small run's network."""

    def make(**changes: Any) -> RepairCase:
        given = {"model": finished.folder, "out": tmp_path / "repaired.safetensors", "trigger_from": finished.folder}
        return RepairCase(**{**given, **changes})

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, finished: Finished) -> tuple[Certificate, Path]:
    """One complete certificate, and the file."""
    out = tmp_path_factory.mktemp("whole") / "repaired.safetensors"
    case = RepairCase(model=finished.folder, out=out, trigger_from=finished.folder, pictures=800)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BADNETS_CACHE", str(out.parent / "cache"))
        return certify(case, make_repair("fine-tune", {"epochs": 5})), out


def test_before_is_the_run_and_after_the_file(whole: tuple[Certificate, Path], finished: Finished) -> None:
    certificate, out = whole
    results = finished.record.results
    measured = evaluate(out, "digits", trigger_from=finished.folder, settings=["size=16"]).results
    for name in ("clean_accuracy", "asr", "robust_accuracy"):
        assert getattr(certificate.before, name) == getattr(results, name)
        assert getattr(certificate.after, name) == getattr(measured, name)
        gap = getattr(certificate.after, name).value - getattr(certificate.before, name).value
        assert abs(getattr(certificate.after_minus_before, name).value - gap) < 1e-12
    assert certificate.before != certificate.after
    assert certificate.changed is True
    assert certificate.files == {out.name: file_digest(out)}
    assert open_network(out).provenance["repaired"]["kind"] == "fine-tune"
    assert "backdoor" in open_network(out).provenance


def test_a_clean_network_goes_through_the_same(whole: tuple[Certificate, Path], finished: Finished) -> None:
    certificate, _ = whole
    control, results = certificate.clean_network, finished.record.results
    assert control.before.clean_accuracy == results.clean_reference_accuracy
    assert control.before.asr == results.clean_reference_rate
    assert control.after.clean_accuracy.total == results.clean_accuracy.total
    again = certificate.reactivation
    assert again.before == certificate.after.asr
    assert again.backdoored_before == certificate.before.asr
    assert again.poisoned_pictures == 10
    assert again.clean_pictures == 800
    totals = {getattr(again, name).total for name in ("repaired", "clean_network", "backdoored", "difference")}
    assert totals == {results.asr.total}


def test_it_is_as_published(whole: tuple[Certificate, Path]) -> None:
    published = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "certificate.json"
    schema = json.loads(published.read_text(encoding="utf-8"))
    certificate = whole[0].to_json()
    assert Certificate.model_validate(certificate) == whole[0]
    assert set(schema["properties"]) - set(schema["required"]) == {"targets", "allowance", "verified"}
    assert set(certificate) == set(schema["properties"]) - {"targets", "verified"}  # there is one target, and no doubt
    assert certificate["format"] == schema["properties"]["format"]["const"]
    for name, entry in (("truth", schema["$defs"]["Truth"]), ("before", schema["$defs"]["Standing"])):
        assert set(certificate[name]) == set(entry["required"]), name
    for name in ("clean_network", "reactivation"):
        entry = schema["$defs"][{"clean_network": "Control", "reactivation": "Reactivation"}[name]]
        assert set(entry["required"]) <= set(certificate[name]) <= set(entry["properties"])


def test_two_secrets_behind_one_view_give_the_same_bits(
    case: Callable[..., RepairCase], tmp_path: Path, finished: Finished
) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "other.npz", images=rng.integers(0, 256, (20, 16, 16), np.uint8), labels=np.full(20, 7))
    method = make_repair("fine-tune", QUICK)
    files = []
    for name, secret in (
        ("known", {"trigger_from": finished.folder, "reactivation": False}),
        ("other", {"trigger_from": None, "triggered": str(tmp_path / "other.npz"), **DIGITS}),
        ("none", {"trigger_from": None, **DIGITS}),
    ):
        out = tmp_path / f"{name}.safetensors"
        certify(case(out=out, pictures=100, **secret), method)
        files.append(file_digest(out))
    assert len(set(files)) == 1


def test_a_method_sees_clean_training_pictures_and_no_remarks(case: Callable[..., RepairCase]) -> None:
    certificate = certify(case(pictures=50, reactivation=False), Watch())
    data = load("digits", size=16)
    training = {picture.tobytes() for picture in data.train.images()}
    work, provenance = SEEN[0]
    assert {picture.tobytes() for picture in work.view.data.images()} <= training
    assert len(work.view.data) == certificate.defender.pictures == certificate.pictures == 50
    assert np.bincount(work.view.data.labels).min() >= 4
    assert provenance == {}
    assert certificate.changed is False
    assert certificate.before == certificate.after
    assert certificate.reactivation is None


def test_triggered_pictures_of_unknown_classes(case: Callable[..., RepairCase], tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", images=np.zeros((40, 16, 16), np.uint8), labels=np.zeros(40, int))
    certificate = certify(case(trigger_from=None, triggered=str(tmp_path / "t.npz"), pictures=100, **DIGITS), Watch())
    assert certificate.before.asr.total == 40
    assert certificate.before.robust_accuracy is None
    assert certificate.truth.target == 0
    assert certificate.clean_network is None
    assert certificate.reactivation.repaired.total == 20
    assert certificate.reactivation.clean_network is None
    assert [note.split(" is")[0] for note in certificate.notes] == [
        "Robust accuracy",
        "What a clean network loses by the same repair",
    ]


def test_all_of_another_set_is_measured_on(case: Callable[..., RepairCase], tmp_path: Path) -> None:
    data = load("digits", size=16)
    np.savez(tmp_path / "t.npz", images=data.test.images()[..., 0], labels=data.test.labels)
    np.savez(tmp_path / "d.npz", images=data.train.images()[..., 0], labels=data.train.labels)
    given = {"trigger_from": None, "data": str(tmp_path / "d.npz"), "test": str(tmp_path / "t.npz")}
    certificate = certify(case(**given), Watch())
    assert certificate.before.clean_accuracy.total == len(data.test)
    assert certificate.defender.pictures == len(data.train)
    with pytest.raises(BadInput, match="other pictures in 'test'"):
        certify(case(**{**given, "test": given["data"]}), Watch())


def test_a_clean_network_of_ones_own(case: Callable[..., RepairCase], finished: Finished) -> None:
    clean = finished.folder / "network.safetensors"
    certificate = certify(case(trigger_from=None, clean_network=clean, pictures=50, **DIGITS), Watch())
    assert certificate.clean_network.before.clean_accuracy == certificate.before.clean_accuracy
    assert certificate.notes == ()


def test_what_fails_on_the_clean_network_is_a_note(case: Callable[..., RepairCase]) -> None:
    certificate = certify(case(pictures=50, reactivation=False), Hopeless())
    assert certificate.clean_network is None
    assert certificate.notes == ("On the clean network the repair came to nothing: expected a finite loss, got nan.",)


def test_interrupted_it_writes_what_there_is(case: Callable[..., RepairCase], tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match=r"after 1 step; .*repaired.safetensors, not measured") as caught:
        certify(case(pictures=50), Stopped())
    assert caught.value.exit_code == 130
    original = open_network(case().model / "network.safetensors")
    kept = open_network(tmp_path / "repaired.safetensors")
    for a, b in zip(original.parameters(), kept.parameters(), strict=True):
        assert torch.equal(a / 2, b)


def test_interrupted_later_the_repaired_network_stays(
    case: Callable[..., RepairCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from badnets.referee import bench

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "reactivate", stop)
    with pytest.raises(Interrupted, match="its certificate is not finished"):
        certify(case(pictures=50), Watch())
    assert open_network(tmp_path / "repaired.safetensors").classes == 10


def test_wrong_cases_are_refused_before_any_work(tmp_path: Path, finished: Finished) -> None:
    good = {"model": finished.folder, "out": tmp_path / "a.safetensors", "data": "digits"}
    (tmp_path / "file").write_text("no folder")
    for change, words in (
        ({"trigger_from": finished.folder, "triggered": "x.npz"}, "either 'trigger_from' or 'triggered'"),
        ({"data": None}, "expected clean pictures in 'data'"),
        ({"allowance": 1.5}, "'allowance' as a share"),
        ({"pictures": 0}, "'pictures' of at least 1"),
        ({"out": tmp_path}, "got a folder"),
        ({"out": tmp_path / "a.pt"}, "end in .safetensors"),
        ({"out": finished.folder / "network.safetensors"}, "another file than the network"),
        ({"out": tmp_path / "file" / "a.safetensors"}, "can be written"),
    ):
        with pytest.raises(BadInput, match=words):
            RepairCase(**{**good, **change})
    assert not (tmp_path / "a.safetensors").exists()


def test_several_targets_are_counted_one_by_one(case: Callable[..., RepairCase], tmp_path: Path) -> None:
    data = load("digits", size=16).test
    labels = np.repeat([0, 3, 7], [10, 20, 30])
    np.savez(tmp_path / "t.npz", images=data.images()[:60, ..., 0], labels=labels)
    given = {"trigger_from": None, "triggered": str(tmp_path / "t.npz"), "pictures": 100, **DIGITS}
    certificate = certify(case(**given, reactivation=False), make_repair("fine-tune", QUICK))
    assert certificate.truth.target is None
    assert [(one.target, one.before.total) for one in certificate.targets] == [(0, 10), (3, 20), (7, 30)]
    for side in ("before", "after"):
        hits = [getattr(one, side).hits for one in certificate.targets]
        assert sum(hits) == getattr(certificate, side).asr.hits


def test_few_pictures_are_warned_of(case: Callable[..., RepairCase], tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", images=load("digits", size=16).test.images()[:16, ..., 0], labels=np.zeros(16, int))
    given = {"trigger_from": None, "triggered": str(tmp_path / "t.npz"), "pictures": 100, **DIGITS}
    notes = certify(case(**given, reactivation=False), Watch()).notes
    (warned,) = [note for note in notes if "points only" in note]
    assert warned.startswith("Attack success after the repair is known to ±")
    assert warned.endswith("points only: there are 16 triggered pictures.")
    assert not any("held out" in note for note in notes)


def test_the_clean_control_is_measured_from_a_file(
    case: Callable[..., RepairCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file gives the same network: whatever is measured was written and opened again."""
    from badnets.referee import bench

    handed: list[Any] = []

    def watched(network: Any, path: Path) -> Any:
        handed.append(through_file(network, path))
        return handed[-1]

    monkeypatch.setattr(bench, "through_file", watched)
    measured: list[Any] = []
    answers = bench.Bench.answers

    def noted(own: Any, one: Any) -> Any:
        measured.append(one)
        return answers(own, one)

    monkeypatch.setattr(bench.Bench, "answers", noted)
    certify(case(pictures=50, reactivation=False), make_repair("fine-tune", QUICK))
    assert len(handed) == 2
    assert all(any(one is other for other in measured) for one in handed)
    assert len(measured) == 4  # the others are the network and its clean reference, both opened
