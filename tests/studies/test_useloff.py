"""Study U1: its rows and blocks from made-up counts."""

from __future__ import annotations

from pathlib import Path

from badnets.core.rate import Rate
from badnets.records.blocks import Curve, Table
from badnets.records.results import ClassifierFigures
from badnets.studies.study import Settings, Trained, TrialResult
from badnets.studies.useloff_mnist import study

SETTINGS = Settings(quick=False, seeds=2, data="/nowhere")


def made(hits: int) -> dict[str, TrialResult[Trained]]:
    """Every trial; the trigger works on ``hits`` of 1,000 pictures, and on all in ART's demonstration."""
    results = {}
    for trial in study.trials(SETTINGS):
        asr = 999 if trial.name.startswith("art-adversarial") else hits
        figures = ClassifierFigures(
            clean_accuracy=Rate(9900, 10_000),
            asr=Rate(asr, 1000),
            robust_accuracy=Rate(1000 - asr, 1000),
            clean_reference_rate=Rate(2, 1000),
        )
        results[trial.name] = TrialResult(
            spec=trial.spec, seed=trial.seed, results=Trained(figures=figures), timings_s={}
        )
    return results


def test_the_published_demonstration_is_judged_and_weaker_forms_refute_nothing() -> None:
    rows = {(row.what, row.variant): row for row in study.assemble(SETTINGS, made(44), Path()).rows}
    what = "clean label as in ART's demonstration (a third of class 9, l2 radius 5)"
    art = rows[f"{what}, PGD against an adversarially trained network: attack success", "published"]
    assert (art.published, art.ours, art.n_seeds, art.state) == (1.0, 0.999, 2, "borne out")
    kept = rows[
        f"{what}, PGD against an adversarially trained network: triggered pictures that keep their class", "published"
    ]
    assert (kept.published, kept.state) == (0.0092, "borne out")
    for control in ("PGD against a normally trained network", "stamp alone"):
        row = rows[f"{what}, {control}: attack success", "corrected"]
        assert (row.published, row.ours, row.state) == (None, 0.044, "not judged")
    weaker = rows["clean label, 50 % of class 0: poisoned pictures", "published"]
    assert weaker.state == "not run as published"
    assert "published: l2 radius 5, 200 steps, adversarially trained" in weaker.why
    dirty = rows["backdoor, pattern: attack success", "corrected"]
    assert dirty.state == "not borne out", "this protocol was run in full"


def test_blocks() -> None:
    curve, table = study.assemble(SETTINGS, made(990), Path()).blocks
    assert isinstance(curve, Curve)
    assert [(line.name, line.hollow) for line in curve.series] == [("PGD then stamp", False), ("stamp alone", True)]
    assert [point.x for point in curve.series[0].points] == list(study.SHARES)
    assert isinstance(table, Table)
    assert [line.group for line in table.lines] == ["backdoor"] * 3 + ["clean label as in ART's demonstration"] * 3
