"""Study C1: its rules by hand, its files, its rows; on the real networks, its figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from badnets.core.errors import BadInput
from badnets.core.files import dumps
from badnets.core.rate import PairedDifference, Rate
from badnets.data.images import ImageData
from badnets.records.certificate import Change, Standing
from badnets.studies.registry import reproduce
from badnets.studies.study import Refused, Settings, Trial, TrialResult
from badnets.studies.vora2023_goodnet import data as vora2023_data
from badnets.studies.vora2023_goodnet.cures import MOST_ASR, Cured, Cures, abstainer_rows, cure_rows, rows_before
from badnets.studies.vora2023_goodnet.data import Files, Step, defender_and_rest, find_files, read_curve
from badnets.studies.vora2023_goodnet.pruning import (
    FEW_FACES,
    Drop,
    Pruned,
    PruningStep,
    careful_stop,
    check_loader,
    curve_rows,
    prune_and_compare,
    pruning_curves,
    published_stop,
    rest_unchanged,
    stop_rows,
    table_bars,
    table_rows,
)
from badnets.studies.vora2023_goodnet.study import trials, write_contact_sheet

SPEC = {"data": {"name": "csaw-hackml"}}


def rate(hits: int, total: int = 10) -> Rate:
    return Rate(hits, total)


def test_both_stopping_rules_by_hand() -> None:
    after = [0.99, 0.98, 0.975, 0.90]
    assert published_stop(after, 0.02) == 2  # exactly 2 points below 100 % break it, as in the report's code
    assert published_stop(after, 0.10) == 4
    assert published_stop(after, 0.2) is None
    assert careful_stop(1.0, after, 0.02) == 2  # exactly 2 points are allowed
    assert careful_stop(0.99, after, 0.01) == 2
    assert careful_stop(1.0, after, 0.005) == 0
    assert careful_stop(1.0, after, 0.5) == 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all names, and nothing in the files."""
    for name in ("lab3_bd_weights.h5", "clean_faces.h5", "sunglasses_faces.h5", "samples/labels.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_files_are_found_in_the_folder_and_in_the_data_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find_files(str(folder))
    assert list(files.weights) == ["lab3"]
    assert files.faces[0] == files.faces[2] == folder / "clean_faces.h5"
    assert (files.full, files.samples, files.curve) == (False, folder / "samples", None)
    monkeypatch.setenv("BADNETS_DATA", str(folder))
    assert find_files(None).faces == files.faces


def test_the_contests_sets_are_preferred_to_a_few_faces(folder: Path) -> None:
    for name in ("cl/valid.h5", "cl/test.h5", "bd/bd_valid.h5", "bd/bd_test.h5"):
        path = folder / "lab3" / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    files = find_files(str(folder))
    assert files.full
    assert [path.name for path in files.faces] == ["valid.h5", "bd_valid.h5", "test.h5", "bd_test.h5"]


@pytest.mark.parametrize("gone", ["lab3_bd_weights.h5", "clean_faces.h5"])
def test_what_is_missing_is_said_in_one_sentence(folder: Path, gone: str) -> None:
    (folder / gone).unlink()
    with pytest.raises(BadInput, match=rf"^expected the contest's data .* got no .*{gone}.*; pass its folder"):
        find_files(str(folder))
    with pytest.raises(BadInput, match=r"^expected the contest's data"):
        trials(Settings(quick=True, seeds=1, data=str(folder)))
    with pytest.raises(BadInput, match="expected a folder"):
        find_files(str(folder / "nowhere"))


def test_a_curve_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("step,channel,clean_accuracy_percent,asr_percent\n1,7,98.5,100.0\n")
    assert read_curve(path) == [Step(channel=7, clean_accuracy=0.985, asr=1.0)]
    path.write_text("step,channel\n1,7\n")
    with pytest.raises(BadInput, match="clean_accuracy_percent"):
        read_curve(path)


def test_identities_are_on_one_side_and_seeds_draw_others(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    labels = np.array([*range(77), 3, 4, 5])
    faces = ImageData.of(np.zeros((80, 55, 47, 3), np.uint8), labels)
    monkeypatch.setattr(vora2023_data, "read_hdf5", lambda *_, **__: faces)
    files = find_files(str(folder))
    fit, rest = defender_and_rest(files, 1)
    assert len(np.unique(fit.labels)) == 40
    assert not set(fit.labels.tolist()) & set(rest.labels.tolist())
    assert len(fit) + len(rest) == 80
    assert fit.classes == 1283
    assert defender_and_rest(files, 1)[0].labels.tolist() == fit.labels.tolist()
    assert defender_and_rest(files, 2)[0].labels.tolist() != fit.labels.tolist()


def found(asr: list[int], clean: list[int]) -> Pruned:
    """Results of the pruning trial, with these counts of 10 after 0, 1, 2 ... channels."""
    curve = [
        PruningStep(channels=n, asr=rate(a), clean_accuracy=rate(c))
        for n, (a, c) in enumerate(zip(asr, clean, strict=True))
    ]
    plain = Standing(clean_accuracy=rate(9), asr=rate(8))
    good = Standing(clean_accuracy=rate(9), asr=rate(8), refused=rate(1), refused_triggered=rate(2))
    entry = Drop(channels=43, pruned=plain, goodnet=good, zeroed=True, rest_unchanged=True)
    return Pruned(
        curves={"published order": tuple(curve)},
        dead=0,
        faces={"triggered": 10},
        full=False,
        stopped_by_repair={},
        original=plain,
        tables=dict.fromkeys((0.02, 0.04, 0.1), entry),
        answers={},
    )


def test_rows_of_the_curve_are_judged_within_five_points() -> None:
    ours = found([10] * 56 + [0] * 5, [10] * 61)
    curve = [Step(channel=n, clean_accuracy=1.0, asr=1.0 if n <= 55 else 0.5) for n in range(1, 61)]
    rows = curve_rows(ours, curve, "published")
    assert [row.verified for row in rows] == [True] * 11 + [None, False]  # after 56 channels 0 stands against 50 %
    assert rows[-1].ours == pytest.approx(0.5)
    assert rows[-2].state == "not run as published"
    assert FEW_FACES in rows[-2].why
    full = curve_rows(ours.model_copy(update={"full": True}), curve, "published")
    assert [row.verified for row in full] == [True] * 11 + [False, False], "with the contest's faces a no is a no"
    assert curve_rows(ours, [], "published") == []


def test_rows_of_the_stops_apply_c1s_rule_to_the_published_accuracies() -> None:
    falls = {43: 0.9765, 45: 0.957, 51: 0.89}
    theirs = [0.986]
    for number in range(2, 61):
        theirs.append(falls.get(number, theirs[-1]))
    curve = [Step(channel=n, clean_accuracy=value, asr=1.0) for n, value in enumerate(theirs)]
    rows = {row.what: row for row in stop_rows(found([10] * 61, [10] * 50 + [5] * 11), curve, "published")}
    for drop, count in (("2", 43), ("4", 45), ("10", 51)):
        row = rows[f"channels zeroed at {drop} points: C1's rule, published accuracies"]
        assert (row.ours, row.published, row.verified) == (count, count, True)
    mine = rows["channels zeroed at 4 points: our rule, our accuracies"]
    assert (mine.ours, mine.verified, mine.variant) == (49, None, "corrected")
    few = rows["channels zeroed at 4 points: C1's rule, our accuracies"]
    assert (few.ours, few.published, few.state) == (50, 45, "not run as published")


def test_rows_of_the_tables_show_that_n_plus_1_adds_nothing() -> None:
    rows = {row.what: row for row in table_rows(found([10], [10]), "published")}
    gain = rows["GoodNet, 10 points (51 channels): attack success minus the pruned network's"]
    assert (gain.ours, gain.published, gain.verified) == (0.0, 0.0, True)
    assert rows["pruned network, 10 points (51 channels): attack success"].verified  # 80 against 80.65 %
    assert rows["pruned network, 2 points (43 channels): attack success"].state == "not run as published"
    assert rows["pruned network, 2 points (43 channels): clean accuracy"].verified is None
    pruned, goodnets = table_bars(found([10], [10]).tables)
    assert [bar.published for bar in pruned.bars] == [0.97888, 1.0, 0.959, 1.0, 0.89844, 0.80647]
    assert goodnets.title == "GoodNets"


def test_the_published_curve_lies_beside_ours() -> None:
    curve = [Step(channel=n, clean_accuracy=1.0, asr=1.0) for n in range(1, 61)]
    (drawn,) = pruning_curves(found([10] * 61, [10] * 61).curves, curve)
    assert [(one.name, one.hollow, len(one.points)) for one in drawn.series] == [
        ("clean accuracy, ours", False, 61), ("attack success, ours", False, 61),
        ("clean accuracy, published", True, 60), ("attack success, published", True, 60),
    ]  # fmt: skip


def one_repair(asr: int, lost: int) -> Cured:
    after = Standing(clean_accuracy=rate(10 - lost), asr=rate(asr))
    before = Standing(clean_accuracy=rate(9))
    change = Change(clean_accuracy=PairedDifference(10 - lost, 0, lost, 0))
    return Cured(before=before, after=after, difference=change, chosen="", seconds=2.0, answers={})


def splits(
    *entries: Cured | Refused, abstainers: dict[str, Standing | Refused] | None = None
) -> list[TrialResult[Cures]]:
    """A trial for each split of the faces."""
    guarded = {} if abstainers is None else {"lab3": abstainers}
    return [
        TrialResult(spec={}, seed=seed, timings_s={},
                    results=Cures(networks={"lab3": entry}, reactivations={}, abstainers=guarded))
        for seed, entry in enumerate(entries, 1)
    ]  # fmt: skip


def test_a_repair_is_judged_by_both_bounds_and_over_the_splits() -> None:
    trials = splits(*(one_repair(asr, 1) for asr in (0, 1, 2)))
    rows, lines = cure_rows("nad", trials, "corrected")
    asr, lost = rows
    assert (asr.ours, asr.verified, asr.n_seeds) == (pytest.approx(MOST_ASR), True, 3)
    assert asr.low == 0.0
    assert (lost.ours, lost.verified) == (pytest.approx(0.1), False)
    assert lines[0].group == "lab3"
    _, (before,) = rows_before(trials[:1], "corrected")
    assert (before.name, before.cells[:2]) == ("as found", (None, rate(9)))
    (refused,), (line,) = cure_rows("anp", splits(Refused(refused="no batch norm")), "corrected")
    assert (refused.ours, refused.verified, refused.why) == (None, None, "no batch norm")
    assert line.note == "no batch norm"


def test_an_abstainers_row_says_what_it_costs() -> None:
    after = Standing(clean_accuracy=rate(9), asr=rate(3), refused=rate(1), refused_triggered=rate(7))
    guarded: dict[str, Standing | Refused] = {
        "strip": after, "refuse-class 0": after, "ibd-psc": Refused(refused="no norms")
    }  # fmt: skip
    trials = splits(one_repair(0, 0), abstainers=guarded)
    (row, baseline), lines = abstainer_rows(trials, "corrected")
    assert row.what == "strip on lab3: attack success left"
    assert row.ours == 0.3
    assert "clean faces refused 10.0 %" in row.why
    assert "all of those would be refused" in baseline.why
    assert (lines[2].group, lines[2].name, lines[2].note) == ("lab3", "ibd-psc", "no norms")


def test_a_contact_sheet_is_a_picture_with_every_face(tmp_path: Path) -> None:
    from PIL import Image

    pictures = np.full((7, 55, 47, 3), 200, np.uint8)
    names = tuple(map(str, range(9)))
    faces = {"clean": ImageData.of(pictures, np.arange(7), class_names=names),
             "triggered": ImageData.of(pictures[:3], np.zeros(3, np.int64), class_names=names)}  # fmt: skip
    answers = {"original": {"clean": list(range(7)), "triggered": [0, 0, 9]}}
    sheet = Image.open(write_contact_sheet(tmp_path / "sheet.png", faces, answers))
    grey = np.asarray(sheet)
    assert np.count_nonzero((grey == 200).all(2)) == 10 * 55 * 47 * 4


@pytest.mark.data
def test_the_loader_gives_every_answer_of_the_samples(real: Files) -> None:
    networks = check_loader(Trial(name="loader", spec=SPEC, seed=1), Path()).results.networks
    assert {name: entry.equal for name, entry in networks.items()} == dict.fromkeys(
        ("lab3", "sunglasses", "anonymous_1"), Rate(28, 28)
    )
    assert {entry.parameters for entry in networks.values()} == {601_643}


@pytest.mark.data
def test_the_study_is_repeated_on_the_real_network(real: Files, tmp_path: Path) -> None:
    results = prune_and_compare(Trial(name="pruning", spec=SPEC, seed=1), tmp_path).results
    files = find_files(None)
    assert files.curve is not None
    curve = read_curve(files.curve)
    rows = [*curve_rows(results, curve, "published"), *stop_rows(results, curve, "published")]
    assert [row.what for row in rows if row.state == "not borne out"] == []
    assert [row.ours for row in rows if "C1's rule, published" in row.what] == [43, 45, 51]
    for entry in results.tables.values():
        assert entry.zeroed
        assert entry.rest_unchanged
        assert entry.goodnet.asr == entry.pruned.asr
    ours = results.curves["published order"]
    assert [ours[step].asr for step in (50, 51, 52, 53, 54, 55)] == [Rate(hits, 87) for hits in (87, 70, 67, 33, 4, 0)]
    by_rule = results.stopped_by_repair
    after = [float(step.clean_accuracy) for step in ours[1:]]
    assert by_rule["published"] == {drop: published_stop(after, drop) for drop in (0.02, 0.04, 0.1)}
    assert by_rule["before"] == {drop: careful_stop(1.0, after, drop) for drop in (0.02, 0.04, 0.1)}
    assert Pruned.model_validate_json(results.model_dump_json()) == results, "what is written is read back"


@pytest.mark.data
def test_a_changed_bit_elsewhere_is_seen(real: Files) -> None:
    import copy

    import torch

    network = vora2023_data.open_face_network(find_files(None), "lab3")
    changed = copy.deepcopy(network)
    with torch.no_grad():
        changed.body.get_submodule("conv_3").weight[5] = 0  # type: ignore[operator,union-attr,index]
    assert rest_unchanged(network, changed, [5])
    assert not rest_unchanged(network, changed, [6])


@pytest.mark.data
@pytest.mark.slow
def test_the_quick_study_makes_a_record_without_faces_or_paths(real: Files, shared_data: Path, tmp_path: Path) -> None:
    _, record = reproduce("vora2023-goodnet", quick=True, data=str(shared_data), out=tmp_path / "out")
    text = dumps(record.to_json())
    assert str(shared_data) not in text
    assert "answers" not in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "contact-sheet-lab3.png", "record.json", "report.html"
    }  # fmt: skip
    assert "contact-sheet-lab3.png" in (tmp_path / "out" / "report.html").read_text()


@pytest.fixture
def real(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """The real files, found in ``$BADNETS_DATA``."""
    monkeypatch.setenv("BADNETS_DATA", str(shared_data))
    return find_files(None)
