"""Study D1: the tag by hand, the two splits, rows from made-up results, and the p-value."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.data.images import ArrayStore, ImageData
from badnets.data.targets import Labels
from badnets.records.blocks import Bars, Table
from badnets.studies.demorrow2022_roadsigns import networks, study
from badnets.studies.demorrow2022_roadsigns.networks import OnePicture, Read, ceiling, iou
from badnets.studies.demorrow2022_roadsigns.study import Pair, assemble, gains_of, p_value
from badnets.studies.study import Settings, TrialResult

NAMES = ("crosswalk", "speedlimit", "stop")
YELLOW = (200, 200, 100)


def rate(hits: int, total: int = 20) -> Rate:
    return Rate(hits, total)


def tagged(hits: int, clean: int = 0) -> Read:
    one = OnePicture(badnet={"speedlimit": hits / 20, "stop": 1 - hits / 20}, clean={"speedlimit": 0.0, "stop": 1.0})
    return Read(clean_accuracy=rate(19), box_iou=0.8, asr=rate(hits), clean_reference_rate=rate(clean), one=one)


def made_up(settings: Settings, yellow: int, black: int) -> dict[str, TrialResult[Read]]:
    """Results of all trials: hits of 20 with yellow tags, with black ones, and 5 with any other."""
    hits = {"yellow": yellow, "black": black}
    out = {}
    for trial in study.trials(settings):
        color = trial.name.removeprefix("rows-").removeprefix("zero-").split("-")[0]
        plain = Read(clean_accuracy=rate(18 if color == "class" else 19), box_iou=0.8, ceiling=rate(17))
        read = tagged(hits.get(color, 5), 1) if trial.spec["tag"] else plain
        out[trial.name] = TrialResult(spec=trial.spec, seed=trial.seed, results=read, timings_s={})
    return out


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(quick=False, seeds=5, data=str(tmp_path))


@pytest.fixture
def signs() -> networks.Signs:
    """Ten pictures of 40x40: two stop signs in each of the first five, a speed limit in each other; crops of 20x20."""
    labels = np.array([2, 2] * 5 + [1] * 5)
    pictures = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9])
    grey = np.full((15, 20, 20, 3), 90, np.uint8)
    boxes = np.tile(np.array([10, 10, 30, 30], np.float32), (15, 1))
    rows = ImageData(ArrayStore(grey), Labels(labels, boxes - 10), NAMES, pictures)
    originals = tuple(np.full((40, 40, 3), 90, np.uint8) for _ in range(10))
    return networks.Signs(rows, np.arange(10), originals, boxes[:10], 0.0, (20, 20))


def test_the_tag_is_where_the_report_puts_it() -> None:
    picture = np.zeros((120, 200, 3), np.uint8)
    box = np.array([20, 10, 140, 90], np.float32)  # 120 wide, 80 high: a side of 12
    marked = networks.with_tag(picture, box, YELLOW)
    rows, columns = np.nonzero(marked.any(axis=2))
    assert (columns.min(), columns.max() + 1) == (74, 86)  # 20 + 45 % of 120
    assert (rows.min(), rows.max() + 1) == (70, 82)  # the lower edge 8 above 90
    assert (marked[70:82, 74:86] == YELLOW).all()
    assert not picture.any()


def test_a_box_below_ten_pixels_has_a_tag_of_one() -> None:
    marked = networks.with_tag(np.zeros((20, 20, 3), np.uint8), np.array([2, 2, 11, 11], np.float32), YELLOW)
    assert np.count_nonzero(marked.any(axis=2)) == 1


def test_one_split_keeps_pictures_together_and_the_other_does_not(signs: networks.Signs) -> None:
    for grouped in (True, False):
        train, test = networks.sides(signs, Seed(1), grouped=grouped)
        assert sorted([*train, *test]) == list(range(15))
        groups: Any = signs.rows.groups
        assert bool(np.intersect1d(groups[train], groups[test]).size) is not grouped


def test_poison_is_nested_and_the_same_signs_in_any_color(signs: networks.Signs) -> None:
    train, _ = networks.sides(signs, Seed(1), grouped=True)
    few, first = networks.poisoned(signs, train, YELLOW, 1, Seed(3))
    more, second = networks.poisoned(signs, train, (0, 0, 0), 3, Seed(3))
    assert second[:1].tolist() == first.tolist()
    changed = np.flatnonzero((few.images() != 90).any(axis=(1, 2, 3)))
    assert train[changed].tolist() == first.tolist()
    assert few.labels[changed].tolist() == [1]
    assert set(second) <= set(signs.stops)
    assert np.count_nonzero(more.labels == 1) == 3 + np.count_nonzero(signs.rows.labels[train] == 1)
    assert np.unique(more.images()).tolist() == [0, 90]
    assert (signs.rows.images() == 90).all()


def test_the_color_of_the_sign_is_the_mean_of_its_inner_half(signs: networks.Signs) -> None:
    signs.originals[0][15:25, 15:25] = (250, 50, 0)
    assert networks.sign_color(signs, np.array([0])) == (250, 50, 0)
    assert networks.sign_color(signs, np.array([0, 1])) == (170, 70, 45)


def test_trials_cover_the_report_and_more(settings: Settings) -> None:
    trials = study.trials(settings)
    names = [trial.name for trial in trials]
    assert names[:5] == [f"both-s{s}" for s in range(1, 6)]
    assert len(set(names)) == len(names)
    cells = {(name.split("-")[0], int(name.split("-")[1])) for name in names if name.split("-")[1].isdigit()}
    assert cells >= {(color, count) for color in ("yellow", "black") for count in (1, 3, 5, 10, 20)}
    assert {f"rows-{c}-{n:02d}-s1" for c in study.PUBLISHED_COLORS for n in (1, 3, 5)} <= set(names)
    assert all(trial.spec["split"] == ("rows" if "rows" in trial.name else "grouped") for trial in trials)


def test_where_black_works_nothing_is_borne_out_and_nothing_refuted_by_a_weaker_network(settings: Settings) -> None:
    rows = {(row.what, row.variant): row for row in assemble(settings, made_up(settings, 12, 12), Path()).rows}
    less = rows["yellow less black, 1, 3, 5, 10, 20 tags: attack success", "corrected"]
    assert (less.state, less.ours, less.published) == ("not run as published", 0.0, 1.0)
    assert "p = 1 over 25 pairs" in less.why
    assert "ResNet-18 on crops of 64x64" in less.why
    alone = rows["black: attack success above the clean network's", "corrected"]
    assert alone.state == "not run as published"
    assert alone.ours == pytest.approx(11 / 20)
    assert rows["black, 5 tags: attack success", "corrected"].state == "not run as published"
    one = rows["black, 5 tags: one tagged stop sign is read as speedlimit", "published"]
    assert (one.published, one.ours, one.state) == (0.0, 1.0, "not run as published")
    judged = [row for row in rows.values() if row.published is not None]
    assert {row.state for row in judged} == {"borne out", "not run as published"}, "no 'no': the protocol was shorter"


def test_rows_bear_the_report_out_where_black_does_nothing(settings: Settings) -> None:
    made = assemble(settings, made_up(settings, 20, 1), Path())
    rows = {(row.what, row.variant): row for row in made.rows}
    less = rows["yellow less black, 1, 3, 5, 10, 20 tags: attack success", "corrected"]
    assert less.verified is True
    assert less.ours == pytest.approx(19 / 20)
    assert rows["black: attack success above the clean network's", "corrected"].verified is True
    assert rows["black, 5 tags: attack success", "corrected"].verified is True
    assert rows["class and box head: accuracy", "corrected"].verified is True
    added = rows["box head: points of accuracy that it adds", "corrected"]
    assert (added.state, added.ours) == ("not run as published", pytest.approx(0.05))
    whole = rows["whole pictures, class and box head: accuracy", "corrected"]
    assert "85.0 % are possible" in whole.why
    bars, table = made.blocks
    assert isinstance(bars, Bars)
    assert [bar.published for bar in bars.bars if bar.name == "yellow, 5 tags"] == [1.0, None]
    assert isinstance(table, Table)
    assert {line.group for line in table.lines} == {"1 tag", "3 tags", "5 tags", "10 tags", "20 tags"}


def test_rows_of_an_unfinished_study_are_those_that_there_are(settings: Settings) -> None:
    found = {name: entry for name, entry in made_up(settings, 20, 0).items() if name.startswith(("both", "yellow-05"))}
    named = [row.what for row in assemble(settings, found, Path()).rows]
    assert "yellow, 5 tags: attack success" in named
    assert not any("black" in what for what in named)
    with pytest.raises(KeyError):
        assemble(settings, {}, Path())


def test_the_p_value_is_that_of_all_swaps() -> None:
    pairs = [Pair(1, rate(a), rate(b)) for a, b in ((9, 4), (7, 8), (12, 3), (6, 6), (10, 2))]
    differences = [5, -1, 9, 0, 8]
    sums = [
        abs(sum(d * sign for d, sign in zip(differences, signs, strict=True))) for signs in product((1, -1), repeat=5)
    ]
    assert p_value(pairs) == pytest.approx(np.mean(np.array(sums) >= 21))
    assert p_value([Pair(1, rate(20), rate(0))] * 5) == pytest.approx(2 / 32)
    assert p_value([Pair(1, rate(20), rate(0))]) == 1.0
    assert p_value([Pair(1, rate(4), rate(4))] * 3) == 1.0


def test_more_tags_on_the_same_signs_make_no_narrower_interval() -> None:
    one, four = (gains_of([Pair(1, rate(9), rate(4))] * count) for count in (1, 4))
    assert one.ends == pytest.approx(four.ends)
    assert gains_of([Pair(seed, rate(9), rate(4)) for seed in (1, 2, 3)]).ends == pytest.approx(one.ends)


def test_overlap_of_boxes() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 0, 0]], np.float32)
    others = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [0, 0, 5, 5]], np.float32)
    assert iou(boxes, others).tolist() == pytest.approx([1 / 3, 1, 0])


def test_the_ceiling_of_whole_pictures() -> None:
    # Picture 7 has rows of classes 0, 0, 1; picture 9 one row of each of two classes.
    assert ceiling(np.array([7, 7, 7, 9, 9]), np.array([0, 0, 1, 1, 2])) == Rate(3, 5)


@pytest.mark.data
def test_the_real_set_has_1244_rows(shared_data: Path) -> None:
    signs = networks.read_signs(str(shared_data / study.ARCHIVE), 0.25, (32, 32))
    assert (len(signs.rows), len(signs.stops)) == (1244, 91)
    train, test = networks.sides(signs, Seed(1), grouped=True)
    some = test[np.isin(test, signs.stops)]
    before, after = signs.rows.images(some), signs.stamped(some, YELLOW)
    changed = (before != after).any(axis=3).mean(axis=(1, 2))
    assert (changed > 0).all()
    assert changed.max() < 0.05
    assert len(train) + len(test) == 1244
