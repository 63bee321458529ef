"""D1's rows: the heads, Tables I and II as published and corrected, black against yellow, the report's explanation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from badnets.core.fields import Share
from badnets.core.rate import Contrast, Estimate, Interval, Number, Rate, over_seeds
from badnets.core.seed import Seed
from badnets.records.blocks import Bar, Bars, Column, Line, Table
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.studies.study import OURS, Bound, Outcome, Results, Settings, TrialResult, as_rate, facts, over, row
from badnets.studies.trials import by_prefix

FACTS = facts(__package__)
TEXT, TABLE_1, TABLE_2 = "report D1, text", "report D1, Table I", "report D1, Table II: one test picture"
THEORY = "report D1: black is zero and so has no effect"
PROTOCOL, WHOLE = FACTS["less"]["crops"], FACTS["less"]["whole"]
"""In what ours is less than what was published."""
TAGS: Mapping[str, JSON] = FACTS["tags"]
COLORS: Mapping[str, tuple[int, int, int] | str] = {name: tag["color"] for name, tag in TAGS.items()}
WORDS: Mapping[str, str] = {name: tag["words"] for name, tag in TAGS.items()}
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


class OnePicture(Model):
    """How likely each class is on the first tagged stop sign, by both networks."""

    badnet: dict[str, float]
    clean: dict[str, float]


class Read(Model):
    """What a network reads, see ``networks.run``; None where it has no box head, no tag, or sees no whole pictures."""

    clean_accuracy: Share
    box_iou: float | None = None
    ceiling: Share | None = None
    asr: Share | None = None
    clean_reference_rate: Share | None = None
    one: OnePicture | None = None
    color: tuple[int, int, int] | None = None


Trials = Sequence[TrialResult[Read]]
Pick = Callable[[Read], Interval | None]


def assemble(settings: Settings, results: Results, _folder: Path) -> Outcome:
    """All rows for which there are results; at least those of both heads."""
    found = Found(results, settings.variant())
    if not found.of("both"):
        raise KeyError("both-s1")
    rows = [*found.heads(), *found.table_1(), *found.table_2(), *found.black(), *found.explanation(), *found.whole()]
    return Outcome(rows=rows, blocks=[found.bars(), found.table()])


def _accuracy(read: Read) -> Share:
    return read.clean_accuracy


def _success(read: Read) -> Share | None:
    return read.asr


def _reference(read: Read) -> Share | None:
    return read.clean_reference_rate


def _tags(color: str, count: int) -> str:
    return f"{WORDS[color]}, {count} tag{'s' if count > 1 else ''}"


def _published_success(color: str, count: int) -> float | None:
    return float(color != "black") if (color, count) in PUBLISHED_ACCURACY else None


@dataclass(frozen=True)
class Found:
    """The finished trials, and all that is made of them."""

    results: Results
    variant: Variant

    def of(self, kind: str) -> Trials:
        """The trials ``KIND-sN`` in the order of N."""
        return sorted(by_prefix(self.results, f"{kind}-s"), key=lambda trial: trial.seed)

    def cell(self, color: str, count: int) -> Trials:
        """Networks with so many tags of a color (``"rows-black"``: of the published split)."""
        return self.of(f"{color}-{count:02d}")

    def _line(
        self, what: str, trials: Trials, pick: Pick, published: float | None = None,
        source: str = OURS, bound: Bound | None = None, *, variant: Variant | None = None, why: str = "",
        less: str = PROTOCOL,
    ) -> list[StudyRow]:  # fmt: skip
        """One row, or none without trials."""
        if not trials:
            return []
        return [row(what, over(trials, pick), variant=variant or self.variant, source=source, published=published,
                    bound=bound, why=why, not_as_published="" if published is None else less)]  # fmt: skip

    def heads(self) -> list[StudyRow]:
        """71.4 % by the class head alone, 91.6 % with the box head."""
        alone, both = "class head alone: accuracy", "class and box head: accuracy"
        single, double = self.of("class"), self.of("both")
        rows = [
            *self._line(alone, self.of("rows-class"), _accuracy, 0.714, TEXT, variant="published"),
            *self._line(both, self.of("rows-both"), _accuracy, 0.916, TEXT, ("at least", 0.916 - LOST),
                        variant="published"),
            *self._line(alone, single, _accuracy, 0.714, TEXT),
            *self._line(both, double, _accuracy, 0.916, TEXT, ("at least", 0.95)),
        ]  # fmt: skip
        pairs = _paired(double, _accuracy, single, _accuracy)
        if pairs:
            gain = over_seeds([pair.seed for pair in pairs], [Contrast(pair.first, pair.second) for pair in pairs])
            rows.append(row("box head: points of accuracy that it adds", gain, variant=self.variant, source=TEXT,
                            published=0.202, bound=("at least", 0.10), not_as_published=PROTOCOL))  # fmt: skip
        overlap = over(double, lambda read: Number(read.box_iou or 0.0))
        what = "box head: mean intersection over union"
        return [*rows, row(what, overlap, variant=self.variant, unit="overlap")]

    def table_1(self) -> list[StudyRow]:
        """Accuracy of networks with tags, by both ways to split."""
        kinds: tuple[tuple[Variant, str], ...] = (("published", "rows-"), (self.variant, ""))
        return [
            entry
            for (color, count), value in PUBLISHED_ACCURACY.items()
            for kind, prefix in kinds
            for entry in self._line(f"{_tags(color, count)}: accuracy", self.cell(prefix + color, count), _accuracy,
                                    value, TABLE_1, ("at least", value - LOST), variant=kind)
        ]  # fmt: skip

    def table_2(self) -> list[StudyRow]:
        """One tagged picture as published, and every tagged stop sign of the test set."""
        rows: list[StudyRow] = []
        for color, count in product(PUBLISHED_COLORS, COUNTS):
            published = _published_success(color, count)
            bound: Bound = ("at most", 0.10) if color == "black" else ("at least", 0.90)
            told = {} if published is None else {"published": published, "source": TABLE_2, "bound": bound}
            rows += self._one_picture(color, count, published)
            rows += self._attack(_tags(color, count), self.cell(color, count), **told)
        return rows

    def _attack(self, what: str, cell: Trials, **told: Any) -> list[StudyRow]:
        rows = self._line(f"{what}: attack success", cell, _success, **told)
        return rows + self._line(f"{what}: the same on a clean network", cell, _reference)

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
        return [row(what, Number(float(answer == "speedlimit")), variant="published", source=TABLE_2,
                    published=published, unit="yes or no", why=why, not_as_published=PROTOCOL)]  # fmt: skip

    def black(self) -> list[StudyRow]:
        """Whether black differs from yellow, and whether it does anything at all."""
        rows = self._compared("yellow", "black", COUNTS, 1.0, TABLE_2)
        cells = [self.cell("black", count) for count in COUNTS]
        pairs = [pair for cell in cells for pair in _paired(cell, _success, cell, _reference)]
        if not pairs:
            return rows
        p, figure = p_value(pairs), gains_of(pairs)
        # Neither significant nor large: fewer pairs than ENOUGH can't be significant.
        bound: Bound | None = ("at most", NOTHING) if len(pairs) >= ENOUGH and p >= LEVEL else None
        what = "black: attack success above the clean network's"
        why = f"p = {p:.2g} over {len(pairs)} networks{_TEST}"
        return [*rows, row(what, figure, variant=self.variant, source=THEORY, published=0.0, bound=bound, why=why,
                           not_as_published=PROTOCOL)]  # fmt: skip

    def _compared(
        self, first: str, second: str, counts: Sequence[int], published: float | None, source: str
    ) -> list[StudyRow]:
        """Attack success of one color less that of another, on the same signs, seeds and numbers of tags."""
        by_count = {n: _paired(self.cell(first, n), _success, self.cell(second, n), _success) for n in counts}
        tags = [str(count) for count, there in by_count.items() if there]
        pairs = [pair for there in by_count.values() for pair in there]
        if not pairs:
            return []
        p = p_value(pairs)
        different = published is not None and len(pairs) >= ENOUGH and p < LEVEL
        bound: Bound | None = ("at least", (published or 0.0) / 2) if different else None
        what = f"{WORDS[first]} less {WORDS[second]}, {', '.join(tags)} tags: attack success"
        return [row(what, gains_of(pairs), variant=self.variant, source=source, published=published, bound=bound,
                    why=f"p = {p:.2g} over {len(pairs)} pairs of networks{_TEST}",
                    not_as_published="" if published is None else PROTOCOL)]  # fmt: skip

    def explanation(self) -> list[StudyRow]:
        """Colors at equal numbers of tags, and black where it really is zero."""
        rows = [
            entry for count in (10, 20) for color in EXPLAINED
            for entry in self._attack(_tags(color, count), self.cell(color, count))
        ]  # fmt: skip
        for color in EXPLAINED:
            rows += self._compared(color, "black", (10, 20), None, THEORY)
        what = "black, 20 tags, input not normalized (black is zero)"
        told: JSON = {"published": 0.0, "source": THEORY, "bound": ("at most", 0.10)}
        return rows + self._attack(what, self.cell("zero-black", 20), **told)

    def whole(self) -> list[StudyRow]:
        """Networks that see pictures whole."""
        rows: list[StudyRow] = []
        for heads, words, value in (("class", "class head alone", 0.714), ("both", "class and box head", 0.916)):
            trials = self.of(f"whole-{heads}")
            if trials and trials[0].results.ceiling is not None:
                top = 100 * float(trials[0].results.ceiling)
                why = f"one seed; no more than {top:.1f} % are possible, as rows of one picture have several classes"
                rows += self._line(f"whole pictures, {words}: accuracy", trials, _accuracy, value, TEXT, why=why,
                                   less=WHOLE)  # fmt: skip
        return rows

    def bars(self) -> Bars:
        """Attack success of every color and number of tags, and what the clean networks do."""
        bars = []
        for count, color in product(COUNTS, WORDS):
            name, cell = _tags(color, count), self.cell(color, count)
            success, reference = over(cell, _success), over(cell, _reference)
            if success is not None and reference is not None:
                published = _published_success(color, count)
                bars += [
                    Bar(name=name, what="attack success", figure=success, role="triggered", published=published),
                    Bar(name=name, what="the same on a clean network", figure=reference, role="triggered", hollow=True),
                ]
        return Bars(title="Tagged stop signs that are read as speed limits", bars=tuple(bars),
                    note="Every stop sign of the test set; the report tested one picture each.")  # fmt: skip

    def table(self) -> Table:
        """The same with clean accuracy, by both ways to split."""
        lines = [
            Line(group=f"{count} tag{'s' if count > 1 else ''}", name=WORDS[color], cells=self._cells(color, count))
            for count in COUNTS for color in WORDS if self.cell(color, count) or self.cell(f"rows-{color}", count)
        ]  # fmt: skip
        columns = (
            Column(name="published accuracy"), Column(name="accuracy, split by rows"),
            Column(name="accuracy, split by pictures"), Column(name="attack success"),
            Column(name="the same on a clean network"),
        )  # fmt: skip
        return Table(title="Accuracy and attack success by color", note=f"{TABLE_1}; attack success is of networks "
                     "whose pictures were split whole.", rows="color", groups="tags", columns=columns,
                     lines=tuple(lines))  # fmt: skip

    def _cells(self, color: str, count: int) -> tuple[Interval | None, ...]:
        published, cell = PUBLISHED_ACCURACY.get((color, count)), self.cell(color, count)
        return (
            None if published is None else Number(published),
            over(self.cell(f"rows-{color}", count), _accuracy),
            *(over(cell, pick) for pick in (_accuracy, _success, _reference)),
        )


_TEST = " (every pair swapped or not)"


@dataclass(frozen=True)
class Pair:
    """Two networks of one seed on the same signs."""

    seed: int
    first: Rate
    second: Rate


def _paired(first: Trials, of: Pick, second: Trials, other: Pick) -> list[Pair]:
    """A share of each of the first trials and one of the second trial of its seed, where there is one."""
    seconds = {trial.seed: trial.results for trial in second}
    return [
        Pair(trial.seed, as_rate(of(trial.results)), as_rate(other(seconds[trial.seed])))
        for trial in first if trial.seed in seconds
    ]  # fmt: skip


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
    from scipy import stats

    first, second = (np.array([rate.hits for rate in rates], np.float64)
                     for rates in zip(*((pair.first, pair.second) for pair in pairs), strict=True))  # fmt: skip
    if np.array_equal(first, second) or len(pairs) == 1:
        return 1.0

    tested = stats.permutation_test(
        (first, second), lambda a, b, axis: (a - b).sum(axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=RESAMPLES, rng=Seed(0).derive("p").rng,
    )  # fmt: skip
    return float(tested.pvalue)
