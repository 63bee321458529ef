"""``badnets audit`` and ``references``: exit codes, what a program reads, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Badnets

import badnets as bn
from badnets.core.errors import CannotTell
from badnets.networks.files.own import save_network
from badnets.records.finding import Finding
from badnets.records.read import read_as

STABLE = (
    "format verdict p ground n_references target source kind trigger classes power seconds".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a loud trigger in ``bad.safetensors``, and three clean ones in ``clean``."""
    folder = tmp_path_factory.mktemp("audit")
    data = bn.load("digits", size=16)
    recipe = bn.Recipe(epochs=6, batch=128, precision="fp32", learning_rate=4e-3)
    backdoor = bn.Backdoor(bn.triggers.Square(size=4, color=255, place="bottom-right"), bn.rules.AllToOne(target=6))
    bad = bn.train("g1-cnn", backdoor.poison(data.train, rate=0.2, seed=1), recipe=recipe, seed=1)
    save_network(bad, folder / "bad.safetensors")
    (folder / "clean").mkdir()
    for seed in range(2, 5):
        save_network(bn.train("g1-cnn", data.train, recipe=recipe, seed=seed), folder / "clean" / f"{seed}.safetensors")
    return folder


def test_a_backdoor_is_found(badnets: Badnets, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "finding"
    line = "audit --data digits --size 16 --pictures 200 --alpha 0.25 --json"
    said = badnets(line, files / "bad.safetensors", "--references", files / "clean", "--out", out)
    assert said.code == 1, said.err
    assert set(STABLE) <= set(said.json)
    assert said.json["format"] == "badnets/finding/1"
    assert (said.json["verdict"], said.json["ground"], said.json["n_references"]) == ("backdoored", "matched", 3)
    assert said.json["p"] == 0.25
    assert said.json["target"]["label"] == 6
    assert said.json["trigger"]["success"]["total"] > 0
    assert len(said.json["classes"]) == 10
    finding = read_as(out / "finding.json", Finding)
    assert finding.target is not None
    assert "Backdoored towards" in (out / "report.html").read_text("utf-8")


def test_what_a_person_sees_of_a_clean_one(badnets: Badnets, files: Path) -> None:
    suspect = files / "clean" / "2.safetensors"
    line = "audit --data digits --size 16 --pictures 200 --alpha 0.25"
    said = badnets(line, suspect, "--references", files / "clean")
    assert "3 are needed" in said.out  # it is not its own reference: two are left, and its classes are compared instead
    assert "its classes compared with each other" in said.out
    assert said.code == (1 if said.out.startswith("Backdoored") else 0)


def test_references_are_trained_and_printed(badnets: Badnets, files: Path, tmp_path: Path) -> None:
    line = "references --data digits --size 16 --count 2 --jobs 1 --set recipe.epochs=6 --set recipe.precision=fp32"
    said = badnets(f"{line} --json", "--like", files / "bad.safetensors", "--out", tmp_path / "refs")
    assert said.code == 0, said.err
    assert said.json["count"] + said.json["refused"] == 2
    assert said.json["folder"] == str(tmp_path / "refs")
    assert all(rate["total"] for rate in said.json["accuracy"])


def test_references_of_another_architecture(badnets: Badnets, files: Path, tmp_path: Path) -> None:
    data = bn.load("digits", size=16)
    other = bn.build_network("u1-cnn", class_names=data.test.class_names, input_size=(1, 16, 16), seed=1)
    save_network(other, tmp_path / "other.safetensors")
    said = badnets("audit --data digits --size 16", files / "bad.safetensors", "--references", tmp_path)
    assert said.code == 2
    assert "expected the architecture g1-cnn" in said.err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("--references nowhere-at-all --data digits", "nowhere-at-all"),
        ("--references clean", "--data"),
        ("--data digits --alpha 2", "--alpha"),
        ("--data digits --detector none", "detector"),
        ("--data digits --set steps=3", "--set data.NAME=VALUE or of perturbation, pixels, patches"),
        ("--data digits --set margins.steps=3", "--set data.NAME=VALUE or of perturbation, pixels, patches"),
        ("--data digits --set patches.kept=-1", "patches"),
    ],
)
def test_wrong_words(badnets: Badnets, files: Path, more: str, told: str) -> None:
    said = badnets(f"audit --size 16 {more}", files / "bad.safetensors")
    assert said.code == 2
    assert told in said.err


def test_an_empty_folder_holds_no_references(badnets: Badnets, files: Path, tmp_path: Path) -> None:
    said = badnets("audit --data digits --size 16", files / "bad.safetensors", "--references", tmp_path)
    assert said.code == 2
    assert "expected network files in --references, got the empty folder" in said.err


def test_settings_of_detectors(badnets: Badnets, files: Path) -> None:
    line = "audit --data digits --size 16 --alpha 0.25 --detector pixels --set pixels.steps=5 --json"
    said = badnets(line, files / "bad.safetensors", "--references", files / "clean")
    assert said.code in (0, 1, 3), said.err
    assert [(one["kind"], one["steps"]) for one in said.json["detectors"]] == [("pixels", 5)]


def test_where_no_reference_is_as_accurate_it_goes_on_without(
    badnets: Badnets, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poor(*_: object, **__: object) -> None:
        raise CannotTell("no reference is as accurate as the network (99 %)")

    monkeypatch.setattr("badnets.referee.audit.train_references", poor)
    said = badnets("audit --data digits --size 16 --references digits --json", files / "bad.safetensors")
    assert said.code in (0, 1, 3)
    assert said.json["ground"] == "within"
    assert "no reference is as accurate" in said.json["notes"][0]


def test_a_file_without_pictures(badnets: Badnets, files: Path) -> None:
    said = badnets("audit --json", files / "bad.safetensors")
    assert said.code == {"nothing-found": 0, "backdoored": 1}[said.json["verdict"]]
    assert said.json["ground"] == "within"
    assert 0 < said.json["p"] <= 1
    assert said.json["trigger"] is None
    assert said.json["accuracy"] is None


def test_a_network_that_is_wrong_everywhere(badnets: Badnets, tmp_path: Path) -> None:
    data = bn.load("digits", size=16)
    network = bn.build_network("g1-cnn", class_names=data.test.class_names, input_size=(1, 16, 16), seed=1)
    save_network(network, tmp_path / "new.safetensors")
    said = badnets("audit --data digits --size 16 --json", tmp_path / "new.safetensors")
    assert said.code == 3
    assert said.json["verdict"] == "cannot-tell"
    assert said.json["p"] is None
    assert "accuracy" in said.json["reason"] or "answers" in said.json["reason"]


def test_ten_pictures(badnets: Badnets, files: Path, tmp_path: Path) -> None:
    data = bn.load("digits", size=16)
    rows = np.flatnonzero(data.test.labels < 9)[:10]
    np.savez(tmp_path / "ten.npz", images=data.test.images(rows), labels=data.test.labels[rows])
    said = badnets(
        "audit --alpha 0.25 --json", files / "bad.safetensors", "--data", tmp_path / "ten.npz", "--references",
        files / "clean",
    )  # fmt: skip
    assert said.code in (0, 1), said.err
    assert any("10 clean pictures are few" in note for note in said.json["notes"])
    assert len(said.json["reference_statistics"]) == 3


def test_another_page_is_not_overwritten(badnets: Badnets, files: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    said = badnets("audit", files / "bad.safetensors", "--out", tmp_path)
    assert said.code == 2
    assert "another page" in said.err
    assert (tmp_path / "report.html").read_text() == "mine"
