"""What abstainers refuse of real backdoors: a copy that obeys the trigger too is worth nothing, a repaired one is."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import AllToOne
from badnets.backdoors.triggers import Pattern
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.load import load
from badnets.defenses.abstain import abstain
from badnets.defenses.abstainers import make_abstainer
from badnets.defenses.repair import DefenderView
from badnets.networks.files.foreign import ForeignOptions, open_any
from badnets.networks.files.own import open_network, save_network
from badnets.networks.inference import align_classes, predict_data
from badnets.records.results import ClassifierFigures
from badnets.referee.measure import measure
from badnets.referee.truth import whole
from badnets.training.loop import train

ALL = 87


@pytest.mark.data
@pytest.mark.parametrize(("channels", "refused"), [(43, 0), (45, 0), (51, 17)])
def test_the_good_net_of_c1_obeys_the_sunglasses_as_both_its_networks_do(
    shared_data: Path, channels: int, refused: int
) -> None:
    # Published on 12,830 faces: 100, 100 and 80.647 % attack success.
    folder = shared_data / "csaw-hackml"
    with (folder / "published_pruning_curve.csv").open() as file:
        order = [int(row["channel"]) for row in csv.DictReader(file)]
    network = open_any(folder / "lab3_bd_weights.h5", ForeignOptions(arch="deepid", input_range="0-255"))
    faces = align_classes(whole(load(folder / "sunglasses_faces.h5")), network)
    settings = {"layer": "conv_3", "order": order, "channels": channels}
    good = abstain(DefenderView(network=network), make_abstainer("agreement", _hard("prune", settings)))
    given = predict_data(good.network, faces).labels
    assert Rate.of(given == 1283) == Rate(refused, ALL)
    assert Rate.of(given == 0) == Rate(ALL - refused, ALL)


def _hard(repair: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"hard": True, "repair": repair, "settings": settings}


@pytest.mark.data
@pytest.mark.slow
def test_at_1_percent_of_clean_pictures_nearly_all_triggered_ones_are_refused(
    shared_data: Path, tmp_path: Path
) -> None:
    data = load("mnist", path=shared_data / "mnist")
    backdoor = Backdoor(Pattern(), AllToOne(target=0))
    attacked = train("g1-cnn", backdoor.poison(data.train.take(np.arange(20_000)), rate=0.1, seed=1), seed=1)
    test = data.test.take(np.arange(0, 10_000, 10))
    assert _share(measure(attacked, test, backdoor).asr) > 0.95
    view = DefenderView(network=attacked, data=data.train.take(np.arange(20_000, 23_000)), seed=Seed(1))

    def guarded(kind: str, **settings: Any) -> ClassifierFigures:
        made = abstain(view, make_abstainer(kind, settings), refuse=0.01)
        save_network(made.network, tmp_path / "guarded.safetensors")
        return measure(open_network(tmp_path / "guarded.safetensors"), test, backdoor).classifier

    for found in (guarded("agreement", repair="fst"), guarded("strip")):
        assert found.refused is not None
        assert found.refused.low <= 0.01, "more clean pictures are refused than was asked"
        assert found.refused.hits, "a threshold that refuses nothing is none"
        assert _share(found.refused_or_right) > 0.9
    lightly = guarded("agreement", repair="prune")
    assert _share(lightly.refused_or_right) < 0.1


def _share(rate: Rate | None) -> float:
    assert rate is not None
    assert rate.value is not None
    return rate.value
