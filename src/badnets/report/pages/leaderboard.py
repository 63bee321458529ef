"""The rows of a leaderboard, and its table in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.table import Table
from rich.text import Text

from badnets.core.rate import Interval, Number, over_seeds
from badnets.core.text import tenths
from badnets.records.certificate import Standing
from badnets.records.leaderboard import Leaderboard, RepairedCell

NONE = "no repair"
GOAL = (0.90, 0.10, 0.25)
"""Mean clean accuracy of at least, mean attack success below, and below in the worst attack."""
FIGURES = ("clean_accuracy", "asr", "robust_accuracy")


@dataclass(frozen=True)
class Entry:
    """A repair of the networks with one attack: accuracy, attack success and robust accuracy over the seeds (None
    where it refused, with why), and the mean seconds."""

    figures: tuple[Interval, Interval, Interval] | None
    refused: str = ""
    seconds: float = 0.0
    seeds: int = 1


@dataclass(frozen=True)
class Row:
    """A repair at one share of poison, by attack."""

    repair: str
    entries: Mapping[str, Entry]

    def each(self, figure: str) -> list[tuple[float, str]]:
        """A figure of each attack, with the attack's name; those that refused are left out."""
        at = FIGURES.index(figure)
        there = ((attack, entry.figures) for attack, entry in self.entries.items())
        return [(float(figures[at]), attack) for attack, figures in there if figures is not None]

    def mean(self, figure: str) -> float:
        """The mean over attacks; 0 where there is none."""
        return fmean(value for value, _ in self.each(figure)) if self.each(figure) else 0.0

    @property
    def seconds(self) -> float:
        """Of one repair, in the mean."""
        return fmean(entry.seconds for entry in self.entries.values())

    @property
    def meets(self) -> bool:
        """Whether it is what the leaderboard asks for."""
        accuracy, success, worst = GOAL
        return (
            bool(self.each("asr"))
            and self.mean("clean_accuracy") >= accuracy
            and self.mean("asr") < success
            and max(self.each("asr"))[0] < worst
        )


def rows_of(board: Leaderboard, rate: float) -> list[Row]:
    """A row for each repair that has met all attacks, sorted: the highest mean robust accuracy first; and before them
    the networks as they were."""
    cells = [cell for cell in board.cells if cell.rate == rate]
    attacks = [attack for attack in board.attacks if any(cell.attack == attack for cell in cells)]
    rows = []
    for repair in board.repairs:
        own = {attack: [c for c in cells if (c.repair, c.attack) == (repair, attack)] for attack in attacks}
        if attacks and all(own.values()):
            rows.append(Row(repair, {attack: _entry(those) for attack, those in own.items()}))
    if not rows:
        return []
    before = {attack: _before([c for c in cells if c.attack == attack]) for attack in attacks}
    return [Row(NONE, before), *sorted(rows, key=lambda row: (-row.mean("robust_accuracy"), row.repair))]


def _entry(cells: Sequence[RepairedCell]) -> Entry:
    refused = next((cell.refused for cell in cells if cell.refused is not None), None)
    if refused is not None:
        return Entry(None, refused, seeds=len(cells))
    after = [cell.after for cell in cells if cell.after is not None]
    return Entry(_figures([cell.seed for cell in cells], after), "", fmean(c.seconds for c in cells), len(cells))


def _before(cells: Sequence[RepairedCell]) -> Entry:
    """The networks before any repair, each once."""
    each = {cell.seed: cell.before for cell in cells}
    return Entry(_figures(list(each), list(each.values())), seeds=len(each))


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
    if not row.each("asr"):
        return ("refused", "", "", "", "")
    worst, attack = max(row.each("asr"))
    seconds = "" if row.repair == NONE else f"{row.seconds:.0f}"
    return (
        tenths(row.mean("clean_accuracy")),
        tenths(row.mean("asr")),
        f"{tenths(worst)} ({attack})",
        tenths(row.mean("robust_accuracy")),
        seconds,
    )
