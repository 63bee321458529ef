"""A leaderboard as Markdown, each cell beside what another leaderboard printed for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from badnets.core.text import bare, format_figure
from badnets.core.toml import parse_toml
from badnets.records.leaderboard import Leaderboard
from badnets.report.pages.leaderboard import GOAL, NONE, Entry, Row, rows_of, summary

Printed = tuple[float, float, float]
WHOLE = "shown are the attacks that every repair has met with every seed"


@dataclass(frozen=True)
class Published:
    """What another leaderboard printed: accuracy, attack success and robust accuracy in percent, by share, attack and
    defense. ``beside`` has for each of our repairs the defense that it is shown with, ``differs`` why an attack or a
    repair (or everything, ``all``) is not the same; ``means`` are over all of its attacks: share, defense, how many
    attacks, accuracy, attack success."""

    name: str
    source: str
    cells: Mapping[tuple[float, str, str], Printed]
    means: Sequence[tuple[float, str, int, float, float]]
    beside: Mapping[str, str]
    differs: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Published:
        """From its TOML file."""
        told = parse_toml(path.read_text(encoding="utf-8"), str(path))
        cells = {(rate, attack, defense): (a, b, c) for rate, attack, defense, a, b, c in told["cells"]}
        means = [(rate, defense, attacks, a, b) for rate, defense, attacks, a, b in told["means"]]
        return cls(told["name"], told["source"], cells, means, told["beside"], told["differs"])

    def printed(self, rate: float, attack: str, repair: str) -> str:
        """``"89.96 / 1.48 / 89.39"``; empty where nothing was printed, or nothing is comparable."""
        there = self.cells.get((rate, attack, self.beside.get(repair, "")))
        return "" if there is None else f"{self.beside[repair]}: " + " / ".join(f"{number:.2f}" for number in there)


def board_markdown(board: Leaderboard, published: Published) -> str:
    """What was compared, then for each share of poison the order of the repairs, attack success by attack, and each
    attack with counts."""
    parts = [_compared(board)]
    if board.small:
        parts.append(
            f"Not run as published: another network, fewer pictures and a shorter training than {published.name}'s. "
            "What it printed stands beside ours, but no figure here bears one of those out, or refutes it."
        )
    for rate in board.rates:
        rows = rows_of(board, rate)
        parts.append(f"### {100 * rate:g} % poison")
        parts += [_overview(board, rows), _matrix(rows), *_details(rate, rows, published)] if rows else ["Not run yet."]
    return "\n\n".join(parts)


def _compared(board: Leaderboard) -> str:
    spec, cells = board.spec, board.cells
    recipe, seeds, missing = spec["recipe"], len(board.seeds), sum(board.counts.values()) - board.counts["done"]
    pictures = spec["data"].get("train_count")
    some = f"{pictures:,} training pictures of {spec['data']['name']}" if pictures else spec["data"]["name"]
    test = cells[0].before.clean_accuracy.counts if cells else None
    return (
        f"`{spec['network']}` on {some}, {recipe['epochs']} epochs; {len(board.attacks)} attacks, {len(board.repairs)} "
        f"repairs, {seeds} seed{'s' * (seeds != 1)}; {cells[0].defender.pictures if cells else 0:,} clean pictures "
        f"({100 * board.defender:g} %) for the defender"
        + (f", {test[1]:,} test pictures" if test else "")
        + (f". {missing:,} of {sum(board.counts.values()):,} repairs are not done yet; {WHOLE}." if missing else ".")
    )


def _overview(board: Leaderboard, rows: Sequence[Row]) -> str:
    head = ("repair", "clean accuracy %", "attack success %", "worst attack", "robust accuracy %", "seconds")
    lines = [_line(head), "|---|--:|--:|--:|--:|--:|", *(_line((_name(row), *summary(row))) for row in rows)]
    accuracy, success, worst = (f"{100 * bound:g} %" for bound in GOAL)
    good = ", ".join(f"`{row.repair}`" for row in rows if row.repair != NONE and row.meets) or "none"
    asked = f"Asked: accuracy of at least {accuracy}, success below {success}, below {worst} in the worst attack."
    return "\n".join(lines if board.small else [*lines, "", f"{asked} Met by: {good}."])


def _matrix(rows: Sequence[Row]) -> str:
    """Attack success left, repair by attack, with intervals."""
    attacks = list(rows[0].entries)
    head = "Attack success left, in percent, with its 95 % interval"
    if any(entry.same and not entry.refused for row in rows for entry in row.entries.values()):
        head += " (=: no answer changed: nothing was pruned, or each step cost more held-out accuracy than it may)"
    lines = [_line(("repair", *attacks)), "|---|" + "--:|" * len(attacks)]
    lines += [_line((_name(row), *(_ranged(row.entries[attack], 1) for attack in attacks))) for row in rows]
    return "\n".join([f"{head}:", "", *lines])


def _details(rate: float, rows: Sequence[Row], published: Published) -> Iterator[str]:
    """Every figure of an attack with its counts, beside what was printed."""
    names = ("repair", "clean accuracy", "attack success", "robust accuracy", "seconds", f"{published.name} printed")
    for attack in rows[0].entries:
        lines = [f"<details><summary>{attack}, {100 * rate:g} %: all figures, with counts</summary>", ""]
        lines += [_line(names), "|---|--:|--:|--:|--:|--:|"]
        for row in rows:
            entry, printed = row.entries[attack], published.printed(rate, attack, row.repair)
            took = f"refused: {entry.refused}" if entry.refused else f"{entry.seconds:.0f}"
            cells = (*map(format_figure, entry.figures), "" if row.repair == NONE else took, printed)
            lines.append(_line((_name(row), *cells)))
        yield "\n".join([*lines, "", "</details>"])


def printed_means(published: Published) -> str:
    """Its means over attacks, by share."""
    rates = list(dict.fromkeys(mean[0] for mean in published.means))
    lines = [_line(("defense", *(f"{100 * rate:g} %: accuracy / attack success" for rate in rates)))]
    lines.append("|---|" + "--:|" * len(rates))
    for defense in dict.fromkeys(mean[1] for mean in published.means):
        means = [mean for mean in published.means if mean[1] == defense]
        own = {rate: f"{a:.1f} / {b:.1f} ({count} attacks)" for rate, _, count, a, b in means}
        lines.append(_line((defense, *(own.get(rate, "") for rate in rates))))
    return "\n".join(lines)


def differences(published: Published) -> str:
    """Why ours is not what was printed: for all, by attack, by repair."""
    return "\n".join(f"* {name if name == 'all' else f'`{name}`'}: {why}" for name, why in published.differs.items())


def _ranged(entry: Entry, at: int) -> str:
    value, low, high = bare(entry.figures[at])
    return f"{value} ({low} to {high})" + (", refused" if entry.refused else " =" if entry.same else "")


def _name(row: Row) -> str:
    return row.repair if row.repair == NONE else f"`{row.repair}`"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
