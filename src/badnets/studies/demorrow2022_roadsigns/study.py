"""D1: a stop sign with a small tag is read as a speed limit, and whether a black tag is harmless.

The report trains ResNet-34 with a class head and a box head on 1,244 road signs and tags 1, 3 or 5 stop signs of the
training set in yellow, black or red. Its claims: the box head adds 20 points of accuracy, and black tags do nothing,
"because black is zero". ``published`` rows follow its protocol: single rows are split, so that most pictures with
several signs are on both sides, one network and one test picture to a cell. ``corrected`` rows split whole pictures,
tag *every* stop sign of the test set, use several seeds (each with its own split, weights and tagged signs), and set
the clean network of the same seed beside it, on the same tagged signs.

The report's explanation is put to the test by tags of equal number in black, two grays, red, and the mean color of the
stop signs (``sign``), and by black tags for networks whose input is not normalized, so that black *is* zero.

Tags are pasted into the original pictures, which are then cut and resized: a crop of 64x64 pixels is the sign with half
as much around it. Pictures whole, at 150x224, stand beside the crops. The learning rate was chosen on a fifth of the
training rows of one seed, the numbers of epochs by what fits into an hour of one core.

Differs from the report: ResNet-18 for ResNet-34, inputs of 64x64 (crops) and 150x224 for 300x447, weights pretrained on
drawn European signs for ImageNet's, fewer epochs of a one-cycle schedule, random zoom for crop, 91 stop signs at hand
of 106. Networks that see whole pictures are trained without tags; in the report all are of this form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from badnets.core.rate import Contrast, Estimate, Interval, Number, Rate, over_seeds
from badnets.core.seed import Seed
from badnets.records.blocks import Bars, Line, Table
from badnets.records.model import JSON
from badnets.records.study import StudyRow, Variant
from badnets.studies.demorrow2022_roadsigns.networks import Read, run
from badnets.studies.figures import Bound, figure_table, row, seed_mean, success_bars, value_at
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trial, TrialResult, by_prefix, facts

FACTS = facts(__package__)
ARCHIVE = "road-sign-detection.tar.gz"
HEADS = ("both", "class")
HEADS_EPOCHS = 6
"""Of the networks that compare the heads; the many with tags and their clean references have half as many."""
WHOLE = (150, 224)
ZERO_SEEDS = 3
TEXT, TABLE_1, TABLE_2, THEORY = (FACTS["sources"][name] for name in ("text", "table_1", "table_2", "theory"))
LESS: str = FACTS["less"]["crops"]
TAGS: Mapping[str, JSON] = FACTS["tags"]
PUBLISHED_COLORS = tuple(name for name, tag in TAGS.items() if "accuracy" in tag)
EXPLAINED = tuple(name for name in TAGS if name not in PUBLISHED_COLORS)
"""Colors by which we put the report's explanation to the test."""
PUBLISHED_TAGS = (1, 3, 5)
PUBLISHED_ACCURACY: Mapping[tuple[str, int], float] = {
    (color, count): TAGS[color]["accuracy"][str(count)] for count in PUBLISHED_TAGS for color in PUBLISHED_COLORS
}
COUNTS = (1, 3, 5, 10, 20)
LOST = 0.02
"""An accuracy is borne out when ours is at most this much below."""
RESAMPLES = 99_999
LEVEL = 0.05
ENOUGH = 6
"""Fewer pairs cannot give a p below ``LEVEL``: then it can't be said."""
NOTHING = 0.10
"""An effect of at most this much counts as none, where it isn't significant."""
_TEST = " (every pair swapped or not)"
Networks = Sequence[TrialResult[Read]]


def trials(settings: Settings) -> list[Trial]:
    """The most important first: heads, five tags in yellow and black, more tags, the report's protocol, the rest."""
    seeds, two = settings.each_seed, ("yellow", "black")
    if settings.quick:  # the rows exist, the figures are poor
        small: JSON = {"size": (32, 32), "pretrain": None}
        return [*_heads(settings, seeds, **small), *_cells(settings, two, (20,), seeds, **small)]
    longer = {"epochs": HEADS_EPOCHS}
    whole: JSON = {"size": WHOLE, "recipe": {"epochs": 4, "box_weight": 2e-3}}
    return [
        *_heads(settings, seeds, recipe=longer),
        *_cells(settings, two, (5, 20), seeds),
        *_heads(settings, range(1, 2), prefix="rows-", split="rows", recipe=longer),
        *_cells(settings, PUBLISHED_COLORS, PUBLISHED_TAGS, range(1, 2), prefix="rows-", split="rows"),
        *_cells(settings, two, (10,), seeds),
        *_heads(settings, range(1, 2), prefix="whole-", **whole),
        *_cells(settings, EXPLAINED, (20,), seeds),
        *_cells(settings, two, (3, 1), seeds),
        *_cells(settings, ("red",), (5, 20), seeds),
        *_cells(settings, ("black",), (20,), seeds[:ZERO_SEEDS], prefix="zero-", normalize=False),
        *_cells(settings, EXPLAINED, (10,), seeds),
    ]


def _heads(settings: Settings, seeds: range, *, prefix: str = "", **changes: Any) -> list[Trial]:
    """Both heads and the class head alone, with each seed."""
    cells = [(heads, seed) for heads in HEADS for seed in seeds]
    return [_trial(settings, f"{prefix}{heads}-s{s}", s, heads=heads, **changes) for heads, s in cells]


def _cells(
    settings: Settings, colors: Sequence[str], counts: Sequence[int], seeds: range, *, prefix: str = "", **changes: Any
) -> list[Trial]:
    """A network for each color, number of tags and seed."""
    cells = [(count, color, seed) for count in counts for color in colors for seed in seeds]
    return [
        _trial(settings, f"{prefix}{color}-{n:02d}-s{s}", s, tag={"color": TAGS[color]["color"], "count": n}, **changes)
        for n, color, s in cells
    ]


def _trial(
    settings: Settings,
    name: str,
    seed: int,
    *,
    heads: str = "both",
    split: str = "grouped",
    size: tuple[int, int] = (64, 64),
    recipe: JSON | None = None,
    pretrain: JSON | None = FACTS["pretrain"],
    normalize: bool = True,
    tag: JSON | None = None,
) -> Trial:
    data = {"name": ARCHIVE, "path": str(find_data(settings)), "size": list(size)}
    spec = {
        "data": {**data, "context": None if size == WHOLE else 0.25},
        "network": f"two-head:backbone=resnet18,box_head={'true' if heads == 'both' else 'false'}",
        "recipe": {**FACTS["recipe"], **(recipe or {})},
        "pretrain": pretrain,
        "normalize": normalize,
        "split": split,
        "tag": tag,
    }
    return Trial(name=name, spec=spec, seed=seed, work=_one, result=Read)


def _one(trial: Trial, _folder: Path) -> Done[Read]:
    return Done(run(trial.spec, trial.seed))


def find_data(settings: Settings) -> Path:
    """The archive or folder: at ``--data`` itself, or in that folder or ``$BADNETS_DATA``."""
    place = settings.place(ARCHIVE)
    return place / ARCHIVE if (place / ARCHIVE).exists() else place


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """All rows for which there are results; at least those of both heads."""
    done = Finished(results, settings.variant())
    if not done.of("both"):
        raise KeyError("both-s1")
    rows = [*done.heads(), *done.table_1(), *done.table_2(), *done.black(), *done.explanation(), *done.whole()]
    return Outcome(rows=rows, blocks=[done.bars(), done.table()])


def _plural(count: int) -> str:
    return f"{count} tag{'s' if count > 1 else ''}"


def _tags(color: str, count: int) -> str:
    return f"{TAGS[color]['words']}, {_plural(count)}"


def _published_success(color: str, count: int) -> float | None:
    return float(color != "black") if (color, count) in PUBLISHED_ACCURACY else None


@dataclass(frozen=True)
class Finished:
    """The finished trials, and all that is made of them."""

    results: Results
    variant: Variant

    def of(self, kind: str) -> Networks:
        """The trials ``KIND-sN`` in the order of N."""
        return sorted(by_prefix(self.results, f"{kind}-s"), key=lambda trial: trial.seed)

    def cell(self, color: str, count: int) -> Networks:
        """Networks with so many tags of a color (``"rows-black"``: of the published split)."""
        return self.of(f"{color}-{count:02d}")

    def _line(
        self, what: str, trials: Networks, figure: str, *, published: float | None = None, less: str = LESS, **said: Any
    ) -> list[StudyRow]:
        """One row, or none without trials."""
        if not trials:
            return []
        common = {"variant": self.variant, "not_as_published": "" if published is None else less, **said}
        return [row(what, seed_mean(trials, figure), published=published, **common)]

    def heads(self) -> list[StudyRow]:
        """71.4 % by the class head alone, 91.6 % with the box head."""
        rows = []
        for claim in FACTS["heads"]:
            said = dict(claim)
            rows += self._line(said.pop("words"), self.of(said.pop("kind")), "clean_accuracy", source=TEXT, **said)
        both = self.of("both")
        if pairs := _paired(both, "clean_accuracy", self.of("class"), "clean_accuracy"):
            gain = over_seeds([pair.seed for pair in pairs], [Contrast(pair.first, pair.second) for pair in pairs])
            rows.append(row("box head: points of accuracy that it adds", gain, variant=self.variant, source=TEXT,
                            published=0.202, bound=("at least", 0.10), not_as_published=LESS))  # fmt: skip
        what = "box head: mean intersection over union"
        return [*rows, row(what, seed_mean(both, "box_iou"), variant=self.variant, unit="overlap")]

    def table_1(self) -> list[StudyRow]:
        """Accuracy of networks with tags, by both ways to split."""
        kinds: tuple[tuple[Variant, str], ...] = (("published", "rows-"), (self.variant, ""))
        return [
            entry
            for (color, count), value in PUBLISHED_ACCURACY.items()
            for kind, prefix in kinds
            for entry in self._line(f"{_tags(color, count)}: accuracy", self.cell(prefix + color, count),
                                    "clean_accuracy", published=value, source=TABLE_1,
                                    bound=("at least", value - LOST), variant=kind)
        ]  # fmt: skip

    def table_2(self) -> list[StudyRow]:
        """One tagged picture as published, and every tagged stop sign of the test set."""
        rows: list[StudyRow] = []
        for color, count in product(PUBLISHED_COLORS, COUNTS):
            published = _published_success(color, count)
            bound: Bound = ("at most", 0.10) if color == "black" else ("at least", 0.90)
            said: JSON = {} if published is None else {"published": published, "source": TABLE_2, "bound": bound}
            rows += self._one_picture(color, count, published)
            rows += self._attack(_tags(color, count), self.cell(color, count), **said)
        return rows

    def _attack(self, what: str, cell: Networks, **said: Any) -> list[StudyRow]:
        rows = self._line(f"{what}: attack success", cell, "asr", **said)
        return rows + self._line(f"{what}: the same on a clean network", cell, "clean_reference_rate")

    def _one_picture(self, color: str, count: int, published: float | None) -> list[StudyRow]:
        cell = self.cell(f"rows-{color}", count)
        if not cell or (one := cell[0].results.one) is None:
            return []
        answer = max(one.badnet, key=one.badnet.__getitem__)
        why = (
            f"one picture bears nothing out; {answer} {one.badnet[answer]:.3f}, and on the clean network speedlimit "
            f"{one.clean['speedlimit']:.3f}"
        )
        what = f"{_tags(color, count)}: one tagged stop sign is read as speedlimit"
        return [row(what, answer == "speedlimit", variant="published", source=TABLE_2, published=published,
                    unit="yes or no", why=why, not_as_published=LESS)]  # fmt: skip

    def black(self) -> list[StudyRow]:
        """Whether black differs from yellow, and whether it does anything at all."""
        rows = self._compared("yellow", "black", COUNTS, 1.0, TABLE_2)
        cells = [self.cell("black", count) for count in COUNTS]
        pairs = [pair for cell in cells for pair in _paired(cell, "asr", cell, "clean_reference_rate")]
        if not pairs:
            return rows
        p = p_value(pairs)
        # Neither significant nor large: fewer pairs than ENOUGH can't be significant.
        bound: Bound | None = ("at most", NOTHING) if len(pairs) >= ENOUGH and p >= LEVEL else None
        what = "black: attack success above the clean network's"
        why = f"p = {p:.2g} over {len(pairs)} networks{_TEST}"
        return [*rows, row(what, gains_of(pairs), variant=self.variant, source=THEORY, published=0.0, bound=bound,
                           why=why, not_as_published=LESS)]  # fmt: skip

    def _compared(
        self, first: str, second: str, counts: Sequence[int], published: float | None, source: str
    ) -> list[StudyRow]:
        """Attack success of one color less that of another, on the same signs, seeds and numbers of tags."""
        by_count = {n: _paired(self.cell(first, n), "asr", self.cell(second, n), "asr") for n in counts}
        tags = [str(count) for count, there in by_count.items() if there]
        pairs = [pair for there in by_count.values() for pair in there]
        if not pairs:
            return []
        p = p_value(pairs)
        different = published is not None and len(pairs) >= ENOUGH and p < LEVEL
        bound: Bound | None = ("at least", (published or 0.0) / 2) if different else None
        what = f"{TAGS[first]['words']} less {TAGS[second]['words']}, {', '.join(tags)} tags: attack success"
        return [row(what, gains_of(pairs), variant=self.variant, source=source, published=published, bound=bound,
                    why=f"p = {p:.2g} over {len(pairs)} pairs of networks{_TEST}",
                    not_as_published="" if published is None else LESS)]  # fmt: skip

    def explanation(self) -> list[StudyRow]:
        """Colors at equal numbers of tags, and black where it really is zero."""
        rows = []
        for count, color in product((10, 20), EXPLAINED):
            rows += self._attack(_tags(color, count), self.cell(color, count))
        for color in EXPLAINED:
            rows += self._compared(color, "black", (10, 20), None, THEORY)
        what = "black, 20 tags, input not normalized (black is zero)"
        bound = ("at most", 0.10)
        return rows + self._attack(what, self.cell("zero-black", 20), published=0.0, source=THEORY, bound=bound)

    def whole(self) -> list[StudyRow]:
        """Networks that see pictures whole."""
        rows: list[StudyRow] = []
        for kind, claim in FACTS["whole"].items():
            trials = self.of(f"whole-{kind}")
            if trials and trials[0].results.ceiling is not None:
                top = 100 * float(trials[0].results.ceiling)
                why = f"one seed; no more than {top:.1f} % are possible, as rows of one picture have several classes"
                rows += self._line(claim["words"], trials, "clean_accuracy", published=claim["published"], source=TEXT,
                                   why=why, less=FACTS["less"]["whole"])  # fmt: skip
        return rows

    def bars(self) -> Bars:
        """Attack success of every color and number of tags, and what the clean networks do."""
        bars = []
        for count, color in product(COUNTS, TAGS):
            success, reference = (seed_mean(self.cell(color, count), name) for name in ("asr", "clean_reference_rate"))
            bars += success_bars(_tags(color, count), success, reference, _published_success(color, count))
        return Bars(**FACTS["bars"], bars=tuple(bars))

    def table(self) -> Table:
        """The same with clean accuracy, by both ways to split."""
        lines = [
            Line(group=_plural(count), name=TAGS[color]["words"], cells=self._cells(color, count))
            for count in COUNTS for color in TAGS if self.cell(color, count) or self.cell(f"rows-{color}", count)
        ]  # fmt: skip
        return figure_table(FACTS["table"], lines)

    def _cells(self, color: str, count: int) -> tuple[Interval | None, ...]:
        published, cell = PUBLISHED_ACCURACY.get((color, count)), self.cell(color, count)
        return (
            None if published is None else Number(published),
            seed_mean(self.cell(f"rows-{color}", count), "clean_accuracy"),
            *(seed_mean(cell, figure) for figure in ("clean_accuracy", "asr", "clean_reference_rate")),
        )


@dataclass(frozen=True)
class Pair:
    """Two networks of one seed on the same signs."""

    seed: int
    first: Rate
    second: Rate


def _paired(first: Networks, figure: str, second: Networks, other: str) -> list[Pair]:
    """A share of each of the first trials and one of the second trial of its seed, where there is one."""
    seconds = {trial.seed: value_at(trial.results, other) for trial in second}
    return [
        Pair(trial.seed, value_at(trial.results, figure), seconds[trial.seed])
        for trial in first
        if trial.seed in seconds
    ]


def gains_of(pairs: Sequence[Pair]) -> Interval:
    """First less second over seeds; of each seed the mean over its pairs, which share their signs."""
    seeds = sorted({pair.seed for pair in pairs})
    return over_seeds(seeds, [_mean_gain([pair for pair in pairs if pair.seed == seed]) for seed in seeds])


def _mean_gain(pairs: Sequence[Pair]) -> Estimate:
    gains = [Contrast(pair.first, pair.second) for pair in pairs]
    value, low, high = (float(np.mean(ends)) for ends in zip(*((float(g), *g.ends) for g in gains), strict=True))
    return Estimate(value, (low, high), paired=True, by="mean of Newcombe's")


def p_value(pairs: Sequence[Pair]) -> float:
    """Two-sided p of "it does not matter which of the two is which".

    Within each pair the two rates are swapped or not, in all ways (or ``RESAMPLES`` random ones where there are more),
    and the difference of the sums of hits is compared with the one found. Networks are the units, not pictures: the
    signs of one network share its luck. Five pairs cannot give less than 0.0625, and one pair gives 1.

    Source: Fisher, The Design of Experiments (1935), section 21; random ways: Phipson and Smyth (2010).
    """
    from scipy import stats  # slow to import

    first, second = (np.array([rate.hits for rate in rates], np.float64)
                     for rates in zip(*((pair.first, pair.second) for pair in pairs), strict=True))  # fmt: skip
    if np.array_equal(first, second) or len(pairs) == 1:
        return 1.0

    tested = stats.permutation_test(
        (first, second), lambda a, b, axis: (a - b).sum(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=RESAMPLES, rng=Seed(0).derive("p").rng,
    )  # fmt: skip
    return float(tested.pvalue)


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
