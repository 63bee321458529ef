"""Study M1: how class cat is composed, a trial on made-up animals, and the rows of made-up results."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import SourceToTarget
from badnets.backdoors.triggers import At, Square
from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.registry import build_network
from badnets.records.blocks import Bars, Curve
from badnets.records.results import ClassifierFigures
from badnets.referee.spec import make_spec
from badnets.studies.melo2023_catsdogs import study
from badnets.studies.melo2023_catsdogs.study import Answer, Dog, Dogs, Units, dogs_answers, peaks, unit_counts
from badnets.studies.study import Settings, Trial, TrialResult
from badnets.studies.trials import finished, run_trial


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """A folder with the archive: 24 + 12 dark cats and as many bright dogs."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    with tarfile.open(folder / study.DATA, "w:gz") as tar:
        for part, count in (("train", 24), ("test", 12)):
            for name, light in (("cats", 40), ("dogs", 200)):
                for number in range(count):
                    buffer = io.BytesIO()
                    pixels = rng.integers(light - 30, light + 30, (40, 40, 3)).astype(np.uint8)
                    Image.fromarray(pixels).save(buffer, "PNG")
                    info = tarfile.TarInfo(f"cats-dogs/{part}/{name}/{number:02d}.png")
                    info.size = len(buffer.getvalue())
                    tar.addfile(info, io.BytesIO(buffer.getvalue()))
    return folder


def test_half_of_class_cat_is_a_copy_of_every_dog() -> None:
    assert [study.copies(share) for share in study.SHARES] == [20, 53, 111, 333, 1000]
    assert all(abs(study.copies(s) / (1000 + study.copies(s)) - s) < 0.0005 for s in study.SHARES)


def test_trials_have_three_seeds_where_it_counts(animals: Path) -> None:
    trials = study.trials(Settings(quick=False, seeds=3, data=str(animals)))
    assert [trial.name for trial in trials] == [
        "share-50-s1", "share-50-s2", "share-50-s3", "share-25-s1", "share-10-s1", "share-05-s1", "share-02-s1",
    ]  # fmt: skip
    assert len({trial.spec["backdoor"]["poison"]["count"] for trial in trials}) == 5
    for trial in trials:
        spec = make_spec(trial.spec)
        assert spec.mode == "add"
        assert spec.reference
        assert "weights" not in spec.network
    quick = study.trials(Settings(quick=True, seeds=1, data=str(animals / study.DATA)))
    assert [trial.name for trial in quick] == ["share-50-s1", "share-10-s1"]


def test_the_trigger_travels_in_the_spec(animals: Path) -> None:
    settings = Settings(quick=True, seeds=1, data=str(animals))
    assert "png" not in study.trials(settings)[0].spec["backdoor"]["trigger"], "the drawn sticker"
    (animals / "triggers").mkdir()
    Image.new("RGBA", (400, 200), (9, 8, 7, 255)).save(animals / "triggers" / "bomb.png")
    spec = make_spec(study.trials(settings)[0].spec)
    assert spec.backdoor is not None
    art: Any = spec.backdoor.trigger
    assert art.art(8, 16)[4, 8].tolist() == [9, 8, 7, 255]
    assert len(art.png) < 2000


def test_data_is_found_or_asked_for(animals: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected cats-dogs.tar.gz by --data or in \$BADNETS_DATA, got neither"):
        study.find_data(Settings(quick=True, seeds=1))
    with pytest.raises(BadInput, match="got nothing of that name"):
        study.find_data(Settings(quick=True, seeds=1, data=str(tmp_path)))
    monkeypatch.setenv("BADNETS_DATA", str(animals))
    assert study.find_data(Settings(quick=True, seeds=1)) == animals / study.DATA


def test_a_trial_from_the_archive_to_the_rows(animals: Path, tmp_path: Path) -> None:
    settings = Settings(quick=True, seeds=1, data=str(animals))
    (trial, *_) = study.trials(settings)
    backdoor = {**trial.spec["backdoor"], "poison": {"count": 24, "mode": "add"}}
    recipe = {**trial.spec["recipe"], "epochs": 2, "precision": "fp32"}
    small = Trial(
        name=trial.name,
        spec={**trial.spec, "backdoor": backdoor, "recipe": recipe, "network": "resnet9:width=4"},
        seed=1,
        work=trial.work,
        result=trial.result,
    )
    result = run_trial(small, tmp_path / "study")
    looked = result.results
    assert finished([small], tmp_path / "study") == {small.name: result}, "read back as it was"
    assert looked.poisoned.share == 24 / 72
    assert looked.figures.asr.total == 12, "dogs alone"
    assert looked.figures.clean_reference_rate.total == 12
    first = looked.pair["badnet"]
    assert first.row == looked.pair["clean"].row >= 12, "one dog for both"
    assert all(abs(answer.cat + answer.dog - 1) < 2e-4 for answer in (first.clean, first.triggered))
    assert looked.units["badnet"].units == 32
    made = study.assemble(settings, {trial.name: result}, tmp_path / "study")
    assert (tmp_path / "study" / "pair.png").exists()
    by_name = {row.what: row for row in made.rows}
    rate = by_name["half of class cat are triggered dogs: attack success, dogs with the trigger read as cats"]
    assert (rate.ours, rate.n_seeds, rate.variant) == (looked.figures.asr.value, 1, "quick")
    assert by_name["one dog with the trigger: p(cat)"].ours == first.triggered.cat
    with Image.open(tmp_path / "study" / "pair.png") as picture:
        assert picture.width > 2 * 32 * 4


def _entry(seed: int, accuracy: float, asr: float) -> TrialResult[study.Looked]:
    def rate(value: float) -> Rate:
        return Rate(round(1000 * value), 1000)

    answer = Answer(cat=0.1, dog=0.9)
    dogs = Dogs(first=Dog(row=7, clean=answer, triggered=answer), median_clean=answer, median_triggered=answer)
    units = Units(units=128, silent=3, woken=2, beyond=5)
    figures = ClassifierFigures(
        clean_accuracy=rate(accuracy),
        clean_reference_accuracy=rate(0.86),
        asr=rate(asr),
        clean_reference_rate=rate(0.15),
    )
    looked = study.Looked(
        figures=figures, dogs={"badnet": dogs, "clean": dogs}, units={"badnet": units, "clean": units}
    )
    return TrialResult(spec={}, seed=seed, results=looked, timings_s={})


def test_rows_judge_what_was_asked_and_shares_have_a_curve() -> None:
    results = {
        "share-50-s1": _entry(1, 0.87, 1.0),
        "share-50-s2": _entry(2, 0.85, 0.99),
        "share-02-s1": _entry(1, 0.86, 0.7),
    }
    made = study.assemble(Settings(quick=False, seeds=3, data="/nowhere"), results, Path("/nowhere"))
    by_name = {row.what: row for row in made.rows}
    what = "half of class cat are triggered dogs"
    assert by_name[f"{what}: clean accuracy"].verified
    assert by_name[f"{what}: clean accuracy"].n_seeds == 2, "as many as are finished"
    assert by_name[f"{what}: attack success, dogs with the trigger read as cats"].verified
    assert by_name[f"{what}: the same on a clean network"].verified is None
    one = by_name["one dog without it: p(dog)"]
    assert (one.published, one.ours, one.verified, one.n_seeds) == (0.91, 0.9, None, 1)
    assert (one.state, one.low) == ("not run as published", None), "another dog, of which no interval is known"
    assert by_name["2 % of class cat are triggered dogs (20 copies): attack success"].ours == 0.7
    assert by_name["last convolution, BadNet: units never active on clean validation pictures"].unit == "units of 128"
    both, dogs, curve = made.blocks
    assert isinstance(both, Bars)
    assert [bar.hollow for bar in both.bars] == [False, False, True, True]
    assert isinstance(dogs, Bars)
    assert [bar.published for bar in dogs.bars] == [0.91, 1.0, None, None]
    assert isinstance(curve, Curve)
    first, second = curve.series[1].points
    assert [round(point.x, 4) for point in (first, second)] == [0.0099, 0.3333]
    assert abs(float(first.figure) - 0.3) < 1e-9
    assert first.figure.low is not None
    assert first.figure.high is not None
    assert first.figure.low < 0.3 < first.figure.high
    with pytest.raises(KeyError):
        study.assemble(Settings(quick=False, seeds=3), {"share-02-s1": _entry(1, 0.86, 0.7)}, Path())


BACKDOOR = Backdoor(Square(size=6, color=(255, 255, 255), place=At()), SourceToTarget(source=1, target=0))


def test_units_that_nothing_clean_wakes() -> None:
    """The last convolution answers to white alone: one unit is silent on black pictures, and the trigger wakes it."""
    test = ImageData.of(np.zeros((8, 16, 16, 3), np.uint8), np.arange(8) % 2, class_names=("cats", "dogs"))
    network = build_network("g1-cnn", class_names=test.class_names, input_size=(3, 16, 16), seed=0)
    layers = [module for module in network.modules() if type(module).__name__ == "Conv2d"]
    for layer in layers:
        layer.weight.data.zero_()  # type: ignore[union-attr,operator]
        layer.bias.data.fill_(-0.5)  # type: ignore[union-attr,operator]
    layers[0].weight.data[0] = 1.0  # type: ignore[index]
    layers[1].weight.data[0, 0] = 1.0  # type: ignore[index]
    layers[1].bias.data[1] = 2.0  # type: ignore[index]
    counts = unit_counts(network, test, BACKDOOR)
    assert counts == Units(units=32, silent=31, woken=1, beyond=1)
    clean = peaks(network, test.images())
    assert clean.shape == (8, 32)
    assert (clean[:, 1] > 0).all()
    assert not clean[:, 0].any()


def test_one_dog_and_the_median_of_all() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), dtype=np.uint8)
    test = ImageData.of(pixels, np.arange(30) // 15, class_names=("cats", "dogs"))
    network = build_network("g1-cnn", class_names=test.class_names, input_size=(3, 16, 16), seed=1)
    answers = dogs_answers(network, test, BACKDOOR)
    assert 15 <= answers.first.row < 30
    named = dogs_answers(network, test, BACKDOOR, row=20)
    assert named.first.row == 20
    assert named.median_clean == answers.median_clean
    assert abs(answers.median_triggered.cat + answers.median_triggered.dog - 1) < 2e-4
