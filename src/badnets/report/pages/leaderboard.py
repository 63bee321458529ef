"""The rows of a leaderboard, and its table in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.table import Table
from rich.text import Text

from badnets.core.rate import Interval, Number, over_seeds, parts_of
from badnets.core.text import tenths
from badnets.records.certificate import Change, Standing
from badnets.records.leaderboard import Leaderboard, RepairedCell

NONE = "no repair"
GOAL = (0.90, 0.10, 0.25)
"""Mean clean accuracy of at least, mean attack success below, and below in the worst attack."""
FIGURES = ("clean_accuracy", "asr", "robust_accuracy")


@dataclass(frozen=True)
class Entry:
    """A repair of the networks with one attack: accuracy, attack success and robust accuracy over the seeds, and the
    mean seconds. One that ``refused`` (why) leaves the network as it was, and has the figures of that; ``same``: it
    changed no answer, with any seed."""

    figures: tuple[Interval, Interval, Interval]
    refused: str = ""
    seconds: float = 0.0
    same: bool = False


@dataclass(frozen=True)
class Row:
    """A repair at one share of poison, by attack."""

    repair: str
    entries: Mapping[str, Entry]

    def each(self, figure: str) -> list[tuple[float, str]]:
        """A figure of each attack, with the attack's name."""
        at = FIGURES.index(figure)
        return [(float(entry.figures[at]), attack) for attack, entry in self.entries.items()]

    def mean(self, figure: str) -> float:
        """The mean over attacks."""
        return fmean(value for value, _ in self.each(figure))

    @property
    def seconds(self) -> float:
        """Of one repair, in the mean."""
        return fmean(entry.seconds for entry in self.entries.values())

    @property
    def meets(self) -> bool:
        """Whether it is what the leaderboard asks for."""
        accuracy, success, worst = GOAL
        good = self.mean("clean_accuracy") >= accuracy and self.mean("asr") < success
        return good and max(self.each("asr"))[0] < worst


def rows_of(board: Leaderboard, rate: float) -> list[Row]:
    """A row for each repair, sorted: the highest mean robust accuracy first; and before them the networks as they were.
    Only of attacks that every repair has met with every seed, so that all means are over the same."""
    cells = {(cell.attack, cell.repair, cell.seed): cell for cell in board.cells if cell.rate == rate}

    def of(attack: str, repair: str) -> list[RepairedCell]:
        there = (cells.get((attack, repair, seed)) for seed in board.seeds)
        return [cell for cell in there if cell is not None]

    whole = [
        attack for attack in board.attacks
        if all(len(of(attack, repair)) == len(board.seeds) for repair in board.repairs)
    ]  # fmt: skip
    if not whole:
        return []
    rows = [Row(repair, {attack: _entry(of(attack, repair)) for attack in whole}) for repair in board.repairs]
    before = {attack: _before(of(attack, next(iter(board.repairs)))) for attack in whole}
    return [Row(NONE, before), *sorted(rows, key=lambda row: (-row.mean("robust_accuracy"), row.repair))]


def _entry(cells: Sequence[RepairedCell]) -> Entry:
    refused = next((cell.refused for cell in cells if cell.refused is not None), "")
    figures = _figures([cell.seed for cell in cells], [cell.after or cell.before for cell in cells])
    same = all(_same(cell.after_minus_before) for cell in cells if cell.after_minus_before is not None)
    return Entry(figures, refused, fmean(cell.seconds for cell in cells), same)


def _same(change: Change) -> bool:
    """Whether each picture, clean or triggered, was answered as before, as far as right and wrong go."""
    parts = (part for name in FIGURES for part in parts_of(getattr(change, name)))
    return all(part.first_only == part.second_only == 0 for part in parts)


def _before(cells: Sequence[RepairedCell]) -> Entry:
    """The networks before any repair."""
    return Entry(_figures([cell.seed for cell in cells], [cell.before for cell in cells]))


def _figures(seeds: Sequence[int], standings: Sequence[Standing]) -> tuple[Interval, Interval, Interval]:
    a, b, c = (over_seeds(seeds, [getattr(one, name) or Number(None) for one in standings]) for name in FIGURES)
    return a, b, c


def board_table(board: Leaderboard, rate: float) -> Table:
    """The terminal's table: a line for each repair."""
    table = Table(box=None, padding=(0, 2), header_style="bold", title=f"{100 * rate:g} % poison", title_justify="left")
    table.add_column("repair")
    for name in ("clean accuracy %", "attack success %", "worst", "robust accuracy %", "seconds"):
        table.add_column(name, justify="right")
    for row in rows_of(board, rate):
        table.add_row(*map(Text, (row.repair, *summary(row))))
    return table


def summary(row: Row) -> tuple[str, ...]:
    """Over the attacks: mean accuracy, mean attack success, the worst, mean robust accuracy, seconds."""
    worst, attack = max(row.each("asr"))
    seconds = "" if row.repair == NONE else f"{row.seconds:.0f}"
    return (
        tenths(row.mean("clean_accuracy")),
        tenths(row.mean("asr")),
        f"{tenths(worst)} ({attack})",
        tenths(row.mean("robust_accuracy")),
        seconds,
    )
