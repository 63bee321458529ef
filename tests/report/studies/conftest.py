"""Made-up studies with every kind of block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from badnets.core.rate import Estimate, Mean, Number, PairedDifference, Rate
from badnets.records.blocks import (
    Bar,
    Bars,
    Block,
    Cell,
    Column,
    Curve,
    Dots,
    Line,
    Matrix,
    Picture,
    Pictures,
    Point,
    Role,
    Scatter,
    Series,
    Sheets,
    Table,
)  # fmt: skip
from badnets.records.model import Environment
from badnets.records.study import State, StudyRecord, StudyRow, TrialSummary, Variant

PAPER = "BadNets (2017), section 4"
REPORT = "report U1, results"


def _row(
    what: str, variant: Variant, published: float | None, source: str, values: list[float], *,
    verified: bool | None = None, why: str = "", unit: str = "rate",
) -> StudyRow:  # fmt: skip
    """A row of one value per seed; whatever it is, it is judged as ``verified`` says."""
    mean = _mean(values)
    state: State = {True: "borne out", False: "not borne out", None: "not judged"}[verified]  # type: ignore[assignment]
    return StudyRow(
        what=what, variant=variant, published=published, published_source=source, state=state, why=why, unit=unit,
        ours=mean.value, low=mean.low, high=mean.high, n_seeds=len(values),
    )  # fmt: skip


def _around(rng: np.random.Generator, value: float, spread: float, seeds: int) -> list[float]:
    return [float(round(v, 4)) for v in np.clip(rng.normal(value, spread, seeds), -1, 1)]


def _mean(values: list[float]) -> Estimate:
    """Their mean, and all of them within its interval; of a single one nothing is known."""
    return Estimate(float(np.mean(values)), (min(values), max(values)))


def study_record(
    study: str, rows: list[StudyRow], blocks: list[Block], *, seeds: int = 3, quick: bool = False, trials: int = 2
) -> StudyRecord:
    """A record of a study with these rows and blocks."""
    counts = {"asr": (99, 100)}
    return StudyRecord(
        study=study, quick=quick, seeds=seeds, rows=tuple(rows), blocks=tuple(blocks),
        command=f"badnets reproduce {study}{' --quick' if quick else ''} --seeds {seeds}",
        environment=Environment(
            versions={"badnets": "0.1.0", "torch": "2.13.0", "python": "3.11.9"}, platform="Linux-x86_64",
            processor="Intel(R) Xeon(R) Processor",
        ),
        commit="4be1c09d2a", timings_s={"last_session": 5821.4, "training": 10432.9},
        trials={f"trial-{i}": TrialSummary(seed=1 + i % 5, spec={}, counts=counts, seconds=2.5) for i in range(trials)},
    )  # fmt: skip


def _pairs(rng: np.random.Generator, trigger: str, pairs: list[tuple[int, int]]) -> Matrix:
    """Errors on triggered pictures, most of them none at all."""
    cells = []
    for i, j in pairs:
        total = 890 + 137 * i % 240
        cells.append(Cell(row=i, column=j, figure=Rate(int(rng.choice([0, 0, 0, 0, 1, 1, 2, 4])), total)))
    names = tuple(map(str, range(10)))
    return Matrix(
        title=f"Error on triggered pictures, {trigger}", role="triggered", row_names=names, column_names=names,
        rows="the true class", columns="the wanted class", cells=tuple(cells),
    )  # fmt: skip


def _filters(rng: np.random.Generator, *, chosen: int) -> tuple[Picture, ...]:
    levels = rng.integers(90, 160, (16, 5, 5))
    levels[:chosen, 1:4, 1:4] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 1]]) * 180 + 40
    shares = [100] * chosen + rng.integers(0, 94, 16 - chosen).tolist()
    return tuple(
        Picture(caption=f"{i + 1} · {share} %", pixels=tuple(map(tuple, one.tolist())), marked=i < chosen)
        for i, (one, share) in enumerate(zip(levels, shares, strict=True))
    )


def _codes(rng: np.random.Generator, name: str, *, moved: int) -> Dots:
    clean = np.where(rng.random(512) < 0.35, 0.0, rng.gamma(1.6, 0.35, 512))
    triggered = np.clip(clean * rng.normal(1, 0.06, 512), 0, None)
    triggered[:moved] += rng.gamma(3, 0.5, moved) + clean[:moved] + 0.3
    points = zip(np.round(clean, 3).tolist(), np.round(triggered, 3).tolist(), strict=True)
    return Dots(name=name, points=tuple(points), marked=tuple(range(moved)))


_SHARES = "all-to-all, pattern, share"
_STROKES = "first-layer filters that prefer the trigger to 95 % of four-pixel strokes"
_TEST = "acceptance test at a* = 98.98 %"
_OWN = "our own figure"
_PLOT = f"{PAPER}, figure on the share (a plot without numbers)"
# What, published, ours about, unit, source, borne out, why.
_G1_ROWS: tuple[tuple[str, float | None, float, str, str, bool | None, str], ...] = (
    ("baseline CNN: clean accuracy", 0.995, 0.9924, "rate", PAPER, True, "about 99.50 % asked"),
    ("single target, pixel, 10 pairs pooled: error on triggered pictures", 0.0009, 0.0021, "rate", PAPER, False,
     "at most 0.09 % asked"),
    ("single target, pixel, 10 pairs pooled: clean error minus the clean network's", 0.0017, 0.0002, "difference",
     f"{PAPER}: at most 0.17 points above, as low as 0.05 below", True, "at most 0.17 points asked"),
    (f"{_SHARES} 50 %: clean error minus the clean network's", -0.0003, -0.0001, "difference",
     f"{PAPER}: on average 0.03 points below", None, "the sign depends on the seed; see the interval"),
    (f"{_SHARES} 50 %: error on triggered pictures", 0.0056, 0.0078, "rate", PAPER, False, "at most 0.56 % asked"),
    (f"{_SHARES} 50 %: attack success", 0.99, 0.9922, "rate", f"{PAPER}: more than 99 %", True, "at least 99 % asked"),
    (f"{_SHARES} 50 %: triggered error minus the same network's clean error", None, 0.0003, "difference", _OWN, True,
     "at most 0.20 points asked"),
    (f"{_SHARES} 10 %: clean error", None, 0.0078, "rate", _PLOT, None, ""),
    (f"{_STROKES}, clean network", None, 0, "filters of 16", f"{PAPER}: some filters are dedicated", None, ""),
    (f"{_STROKES}, BadNet", None, 3, "filters of 16", f"{PAPER}: some filters are dedicated", None, ""),
    (f"{_TEST}: BadNet accepted", 1.0, 1.0, "yes or no", PAPER, True, "the BadNet is accepted"),
)  # fmt: skip


def g1_record(seeds: int = 5, *, quick: bool = False) -> StudyRecord:
    """``gu2017-mnist``: a curve, matrices, bars, pictures, scatter plots."""
    rng = np.random.default_rng(7)
    every = [(i, j) for i in range(10) for j in range(10) if i != j]
    pattern = every if not quick else [(1, 0), (3, 8), (4, 9), (7, 1), (0, 5), (9, 2)]
    variant: Variant = "quick" if quick else "published"
    rows = [
        _row(what, variant, published, source, _around(rng, about, 0.0005, seeds) if unit in ("rate", "difference")
             else [float(about)], verified=verified, why=why, unit=unit)
        for what, published, about, unit, source, verified, why in _G1_ROWS
    ]  # fmt: skip
    kinds: tuple[tuple[str, Role], ...] = (
        ("error on clean pictures", "clean"),
        ("error on triggered pictures", "triggered"),
    )
    sweep = Curve(
        title="How much poison it takes", axis="share of poisoned pictures in the training set", percent_axis=True,
        series=tuple(
            Series(name=name, role=role, points=tuple(
                Point(x=x, figure=_mean(_around(rng, 0.0078 if role == "clean" else 0.012 - x / 125, 0.0005, seeds)))
                for x in (0.10, 0.33, 0.50)
            ))
            for name, role in kinds
        ),
    )  # fmt: skip
    classes = Bars(title="All to all, class by class", bars=tuple(
        Bar(name=f"{i} → {(i + 1) % 10}", what=name, role=role, figure=Rate(3 * seeds + 2 * i, 1000 * seeds))
        for i in range(10) for name, role in kinds
    ))  # fmt: skip
    networks = (("clean network", 0), ("BadNet", 3))
    filters = Pictures(title="What the first layer looks for", note="Bright where a filter likes light.", groups={
        name: _filters(rng, chosen=chosen) for name, chosen in networks
    })  # fmt: skip
    codes = Scatter(
        title="What the last layer sees", x="mean activation, clean pictures", y="the same, triggered pictures",
        marked="units that the trigger more than doubles",
        plots=tuple(_codes(rng, name, moved=30 * chosen) for name, chosen in networks),
    )  # fmt: skip
    pairs = [_pairs(rng, "pattern", pattern), _pairs(rng, "pixel", [(i, (i + 1) % 10) for i in range(10)])]
    blocks = [sweep, *pairs, classes, filters, codes]
    return study_record("gu2017-mnist", rows, blocks, seeds=seeds, quick=quick, trials=14 if quick else 120)


def repairs_record() -> StudyRecord:
    """``repairs``: tables, pruning curves, bars beside published figures, sheets."""
    columns = (
        Column(name="attack success left", better="low", asked=0.02),
        Column(name="clean accuracy lost", unit="difference", better="low", asked=0.01),
        Column(name="robust accuracy", better="high"), Column(name="seconds", unit="number", better="low"),
        Column(name="reactivated", better="low"), Column(name="what it chose", unit="text"),
    )  # fmt: skip
    lines = [Line(group="mnist-pattern", name="rnp", note="has no batch normalization")]
    for group in ("mnist-pattern", "gtsrb-blend"):
        for i, method in enumerate(("fine-tune", "nad", "anp", "i-bau", "unbroken" * 3)):
            left = Mean((1, 2, 3), tuple(Rate(17 * i + k, 100) for k in range(3)))
            lost = PairedDifference(both=90 - i, first_only=4 - i, second_only=i, neither=6)
            cells = (left, lost, Rate(98 - 11 * i, 100), Number(2.5 + 77 * i), Rate(20 * i, 100), f"epoch {10 - i}")
            lines.append(Line(group=group, name=method, cells=cells if i else (*cells[:4], None, cells[5])))
    kinds: tuple[tuple[str, Role], ...] = (("clean accuracy", "clean"), ("attack success", "triggered"))
    curves = [
        Curve(title=f"{order} first", axis="channels pruned", series=tuple(
            Series(name=f"{name}, {style}", role=role, hollow=style == "published", points=tuple(
                Point(x=x, figure=Rate(60 - x, 60) if style == "ours" else Number(1 - x / 66)) for x in range(61)
            ))
            for name, role in kinds for style in ("ours", "published")
        ))
        for order in ("least active", "most active")
    ]  # fmt: skip
    bars = Bars(title="Pruned networks", bars=tuple(
        Bar(name=f"{points} points, 43 channels", what=name, role=role, figure=Rate(90 - points, 100), published=0.9)
        for points in (2, 4, 10) for name, role in kinds
    ))  # fmt: skip
    table = Table(title="What each repair does", rows="method", groups="backdoor", columns=columns, lines=tuple(lines))
    rows = [
        _row(f"mnist-pattern, {m}: attack success", "corrected", None, _OWN, [0.1, 0.2, k / 9], verified=k < 3, why="x")
        for k, m in enumerate(("nad", "anp", "clp", "nft"))
    ]
    return study_record(
        "repairs", rows, [table, *curves, bars, Sheets(title="Faces and answers", files=("contact-sheet-a.png",))]
    )


def u1_record(seeds: int = 3) -> StudyRecord:
    """``useloff-mnist``."""
    rng = np.random.default_rng(8)
    rows = []
    for words in ("single pixel", "pattern", "inserted picture"):
        what = f"backdoor, {words}"
        asked = "at least 98.44 % asked"
        doubt = "the report does not say whether pictures of other classes flip; ours is attack success by definition"
        good, hits = (_around(rng, value, 0.0002, seeds) for value in (0.9916, 0.9993))
        rows += [
            _row(f"{what}: clean accuracy", "published", 0.9894, REPORT, [0.9901], verified=True, why=asked),
            _row(f"{what}: poisoned pictures", "published", 1.0, REPORT, [0.9991], verified=True, why=doubt),
            _row(f"{what}: clean accuracy", "corrected", 0.9894, REPORT, good, verified=True, why=asked),
            _row(f"{what}: attack success", "corrected", 1.0, REPORT, hits, verified=True, why=asked),
            _row(f"{what}: the same on a clean network", "corrected", None, _OWN, _around(rng, 0.0009, 0.0002, seeds)),
        ]
    points: dict[str, list[Point]] = {"perturbed, then stamped": [], "stamped alone": []}
    truth = ((0.01, 0.02, 0.003), (0.05, 0.21, 0.02), (0.10, 0.63, 0.07), (0.25, 0.93, 0.33), (0.50, 0.991, 0.71))
    for share, *shown in truth:
        for (kind, line), value in zip(points.items(), shown, strict=True):
            values = [min(1.0, max(0.0, v)) for v in _around(rng, value, 0.12 * value * (1 - value) + 0.001, seeds)]
            line.append(Point(x=share, figure=_mean(values)))
            what = f"clean label, {round(100 * share)} % of class 0, {kind}: attack success"
            rows.append(_row(what, "corrected", 1.0, REPORT, values, why="by definition"))
    curve = Curve(
        title="With true labels: success by share", axis="share of the target class that is poisoned",
        percent_axis=True,
        series=tuple(
            Series(name=kind, role="triggered", hollow=kind == "stamped alone", points=tuple(line))
            for kind, line in points.items()
        ),
    )  # fmt: skip
    return study_record("useloff-mnist", rows, [curve], seeds=seeds, trials=22)


@pytest.fixture
def g1_study() -> Callable[..., StudyRecord]:
    """``g1_study(5)``, ``g1_study(2, quick=True)``."""
    return g1_record


@pytest.fixture
def u1_study() -> Callable[..., StudyRecord]:
    """``u1_study(3)``."""
    return u1_record


@pytest.fixture
def repairs_study() -> StudyRecord:
    """A study with tables."""
    return repairs_record()


@pytest.fixture
def study_of() -> Callable[..., StudyRecord]:
    """``study_of("name", rows, blocks)``."""
    return study_record
