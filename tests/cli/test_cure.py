"""``badnets cure``, and ``--finding`` of ``repair`` and ``guard``."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from badnets.core.files import file_digest
from badnets.defenses.repair import REPAIRS
from badnets.defenses.repairs import make_repair
from badnets.defenses.repairs.invert import Invert
from badnets.networks.files.own import open_network
from badnets.records.finding import Finding

Badnets = Any
Found = Any
MODEL = "network.safetensors"
ON_DIGITS = "--data digits --size 16 --pictures 60"
CURE = f"cure --out cured.safetensors {ON_DIGITS}"


@pytest.fixture
def network(tiny_run: Path) -> Any:
    return open_network(tiny_run / MODEL)


@pytest.fixture
def model(tiny_run: Path) -> Path:
    return tiny_run / MODEL


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch, found: Found, network: Any) -> Callable[..., None]:
    """``audited(label, ...)``: what the audit will find; and repairs take few steps."""

    def tell(label: int | None, **changes: Any) -> None:
        value = json.loads((found(network, label, name="told", **changes) / "finding.json").read_text("utf-8"))
        value.pop("sha256", None)
        finding = Finding.model_validate({k: v for k, v in value.items() if k in Finding.model_fields})
        monkeypatch.setattr("badnets.referee.audit.audit_case", lambda case, watcher: finding)

    def quick(kind: str, settings: Any) -> Any:
        few = {"rounds": 1, "starts": 1, "epochs": 1, "steps": 5, "fewest": 1, "screening": 50}
        known = {name for name in few if name in REPAIRS[kind].__dataclass_fields__}
        return make_repair(kind, {**settings, **{name: few[name] for name in known}})

    monkeypatch.setattr("badnets.referee.cure.make_repair", quick)
    short = partial(Invert, rounds=1, starts=1, steps=5, fewest=1)
    monkeypatch.setattr("badnets.defenses.repairs.unlearn.Invert", short)
    return tell


def test_it_audits_repairs_and_certifies(badnets: Badnets, audited: Any, model: Path, tmp_path: Path) -> None:
    audited(7)
    value = badnets.done(f"{CURE} --json", model).json
    assert value["format"] == "badnets/cure/1"
    assert value["finding"]["target"] == {"label": 7, "class_name": "7"}
    certificate = value["certificate"]
    assert certificate["method"]["kind"] == "unlearn"
    assert certificate["method"]["finding"] == ["cured.finding"]
    assert "the suspects (7)" in certificate["chosen"]
    assert json.loads((tmp_path / "cured.json").read_text("utf-8")) == certificate
    assert json.loads((tmp_path / "cured.finding" / "finding.json").read_text("utf-8"))["verdict"] == "backdoored"
    for name in ("cured.safetensors", "cured.html", "cured.finding/report.html"):
        assert (tmp_path / name).exists(), name
    badnets.refused("expected no finding at cured.finding, got one", CURE, model)
    said = badnets.done(f"{CURE} --force", model)
    assert "Backdoored towards" in said.out
    assert "finding  cured.finding" in said.out


def test_few_pictures_of_a_class(badnets: Badnets, audited: Any, model: Path) -> None:
    audited(7)
    value = badnets.done(f"{CURE} --pictures 40 --json", model).json["certificate"]
    assert value["method"]["kind"] == "distill"
    assert value["trace"][0]["suspects"] == ["7"]


def test_could_not_tell_is_repaired_to_be_on_the_safe_side(badnets: Badnets, audited: Any, model: Path) -> None:
    audited(None, verdict="cannot-tell", kind=None, trigger=None)
    assert badnets.done(f"{CURE} --json", model).json["certificate"]["method"]["classes"] == [9]


def test_nothing_to_go_by(badnets: Badnets, audited: Any, model: Path) -> None:
    audited(None, verdict="cannot-tell", kind=None, trigger=None, classes=())
    said = badnets(f"{CURE} --json", model)
    assert said.code == 3
    assert said.json["certificate"] is None


def test_nothing_to_cure(badnets: Badnets, audited: Any, model: Path, tmp_path: Path) -> None:
    audited(None, verdict="nothing-found", kind=None, trigger=None)
    said = badnets(f"{CURE} --json", model)
    assert said.code == 0
    assert said.json["finding"]["verdict"] == "nothing-found"
    assert said.json["certificate"] is None
    assert not list(tmp_path.glob("cured.*s*"))
    assert (tmp_path / "cured.finding" / "finding.json").exists()
    said = badnets(f"{CURE} --force", model)
    assert said.code == 0
    assert "No network was written; --anyway repairs the most suspicious class." in said.out
    anyway = badnets.done(f"{CURE} --force --anyway --json", model).json["certificate"]
    assert anyway["method"]["classes"] == [9]


def test_an_interrupted_audit(badnets: Badnets, audited: Any, model: Path) -> None:
    audited(None, verdict="cannot-tell", stopped="interrupted")
    assert badnets(f"{CURE} --anyway --json", model).code == 130


def test_wrong_use(badnets: Badnets, model: Path) -> None:
    badnets.refused("expected clean pictures to audit and to repair with (--data)", "cure --out c.safetensors", model)
    badnets.refused("expected --set data.NAME=VALUE", f"{CURE} --set epochs=3", model)


def test_a_repair_by_a_finding(badnets: Badnets, found: Found, network: Any, model: Path) -> None:
    few = "--set rounds=1 --set starts=1 --set epochs=1 --set steps=5 --set fewest=1"
    line = f"repair {ON_DIGITS} --method invert {few} --out r.safetensors --no-reactivation --json"
    mine, other = (found(network, 7, name=n, network_sha256=s) for n, s in (("a", file_digest(model)), ("b", "c" * 64)))
    value = badnets.done(line, model, "--finding", mine).json
    assert "the suspects (7)" in value["chosen"]
    both = badnets.done(f"{line} --force", model, "--finding", mine, "--finding", found(network, 3, name="c")).json
    assert "the suspects (3; 7)" in both["chosen"]
    badnets.refused("expected a finding of this network", f"{line} --force", model, "--finding", other)
    badnets.refused("unknown key 'finding'", line.replace(f"invert {few}", "fine-tune"), model, "--finding", mine)
    line = f"repair {ON_DIGITS} --method unlearn --out u.safetensors"
    badnets.refused("expected either a trigger (--set trigger=FILE) or a finding (--finding), got neither", line, model)


def test_a_guard_by_a_finding(badnets: Badnets, found: Found, network: Any, model: Path) -> None:
    line = f"guard {ON_DIGITS} --method refuse-class --out g.safetensors --json"
    other = found(network, 7, name="b", network_sha256="c" * 64)
    value = badnets.done(line, model, "--finding", found(network, 7)).json
    assert value["chosen"] == "the class '7', of the finding"
    badnets.refused("expected a finding of this network", f"{line} --force", model, "--finding", other)
