"""A whole run of a detector: its files, its record, the same answers from the reopened file, found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import Vanish
from badnets.backdoors.triggers import Square
from badnets.core.seed import Seed
from badnets.data.load import load
from badnets.networks.files.own import open_network
from badnets.networks.inference import detect_data
from badnets.records.read import read_run
from badnets.referee.measure import measure
from badnets.referee.run import run
from badnets.referee.spec import SpecFile, make_spec

RATE = {"hits", "total", "value", "low", "high"}
ESTIMATE = {"value", "low", "high", "interval"}


@pytest.mark.slow
def test_a_whole_run(tmp_path: Path) -> None:
    table = {
        "name": "tiny",
        "data": {"name": "scenes", "size": 64, "options": {"train": 24, "test": 16}},
        "network": "faster-rcnn:width=8,proposals=20",
        "recipe": {"epochs": 1, "batch": 8, "precision": "fp32"},
        "backdoor": {
            "trigger": {"kind": "square", "size": 0.3},
            "rule": {"kind": "vanish"},
            "poison": {"count": 10, "mode": "add"},
        },
    }
    file = SpecFile(given=table, spec=make_spec(table))
    done = run(file, out=tmp_path / "run")
    names = {"record.json", "network.safetensors", "plan.npz", "report.html", "answers.npz", "pictures.npz"}
    assert {path.name for path in done.folder.iterdir()} == names
    assert read_run(done.folder) == done.record
    results = done.record.to_json()["results"]
    for name in ("map50", "map50_triggered"):
        assert set(results[name]) == ESTIMATE
    for name in ("asr", "clean_reference_rate", "vanished"):
        assert set(results[name]) == RATE
    assert done.record.poisoned is not None
    assert (done.record.poisoned.rows, done.record.poisoned.unit) == (10, "objects")
    test = load("scenes", size=64, options={"train": 24, "test": 16}).test
    network = open_network(done.folder / "network.safetensors")
    assert "square -> nothing" in network.provenance["backdoor"]["planted"]
    assert network.task == "detect"
    rule = Vanish()
    again = measure(network, test, Backdoor(Square(size=0.3), rule), seed=Seed(1).derive("measure"))
    for name in ("map50", "map", "found", "per_class", "asr", "vanished", "map50_triggered"):
        assert again.to_json()[name] == results[name], name
    first, second = (detect_data(open_network(done.folder / "network.safetensors"), test) for _ in range(2))
    for one, other in ((first, second), (first, again.clean)):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.confidence, other.confidence)
        np.testing.assert_array_equal(one.labels, other.labels)
    with np.load(done.folder / "answers.npz") as answers:
        assert bytes(answers["digest"]).hex() == test.digest
        assert answers["asr-1"].tolist() == again.answers["asr"].tolist()
        assert len(answers["clean_accuracy-1"]) == len(test.objects)
    assert run(file, out=tmp_path / "run").found
