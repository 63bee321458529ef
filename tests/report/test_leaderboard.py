"""The rows of a leaderboard, in which order, and what stands beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from badnets.core.rate import Mean, PairedDifference, Rate
from badnets.records.certificate import Change, Defender, Standing
from badnets.records.leaderboard import Leaderboard, RepairedCell
from badnets.records.model import Environment
from badnets.report.pages.leaderboard import NONE, rows_of
from badnets.report.pages.leaderboard_text import Published, board_markdown, differences, printed_means

ROOT = Path(__file__).parents[2]
PUBLISHED = Published.read(ROOT / "results" / "leaderboard" / "backdoorbench.toml")


def standing(accuracy: int, asr: int, robust: int) -> Standing:
    return Standing(clean_accuracy=Rate(accuracy, 100), asr=Rate(asr, 90), robust_accuracy=Rate(robust, 90))


def cell(attack: str, repair: str, after: Standing | None, *, seed: int = 1, **more: Any) -> RepairedCell:
    return RepairedCell(
        attack=attack,
        rate=0.1,
        seed=seed,
        repair=repair,
        method={"kind": repair},
        network="task",
        network_file="0" * 64,
        architecture="lenet",
        data="cifar10-jpeg",
        data_digest="0" * 64,
        defender=Defender(pictures=50, digest="0" * 64, seed=seed),
        before=standing(95, 85, 4),
        after=after,
        seconds=2.0,
        environment=Environment(versions={}, platform="", processor=""),
        **more,
    )


def board(*cells: RepairedCell, small: bool = False) -> Leaderboard:
    repairs = dict.fromkeys(cell.repair for cell in cells)
    return Leaderboard(
        name="leaderboard",
        small=small,
        spec={"data": {"name": "cifar10-jpeg"}, "network": "lenet", "recipe": {"epochs": 1}},
        attacks={attack: {} for attack in dict.fromkeys(cell.attack for cell in cells)},
        rates=(0.1, 0.01),
        repairs={repair: {} for repair in repairs},
        seeds=tuple(dict.fromkeys(cell.seed for cell in cells)),
        defender=0.05,
        networks={"done": 2, "failed": 0, "running": 0, "waiting": 0},
        counts={"done": len(cells), "failed": 0, "running": 0, "waiting": 6 - len(cells)},
        cells=cells,
    )


GOOD, BAD = standing(93, 3, 80), standing(94, 60, 20)


def test_the_most_robust_first() -> None:
    cells = [cell(attack, name, one) for attack in ("badnets", "moving") for name, one in (("anp", BAD), ("clp", GOOD))]
    rows = rows_of(board(*cells), 0.1)
    assert [row.repair for row in rows] == [NONE, "clp", "anp"]
    assert [row.meets for row in rows] == [False, True, False]
    assert rows[0].mean("asr") == pytest.approx(85 / 90)


def test_attacks_that_not_every_repair_has_met_with_every_seed_are_left_out() -> None:
    """A mean over other attacks, or other seeds, would be no comparison."""
    both = [cell("badnets", name, GOOD, seed=seed) for name in ("anp", "clp") for seed in (1, 2)]
    rows = rows_of(board(*both, cell("moving", "anp", GOOD), cell("moving", "clp", GOOD, seed=2)), 0.1)
    assert [list(row.entries) for row in rows] == [["badnets"]] * 3
    assert rows_of(board(cell("badnets", "anp", GOOD), cell("moving", "clp", GOOD)), 0.1) == []


def test_one_bad_attack_is_enough_to_miss_what_is_asked() -> None:
    worst = standing(93, 23, 60)  # 25.6 %
    rows = rows_of(board(cell("badnets", "anp", standing(93, 0, 80)), cell("moving", "anp", worst)), 0.1)
    assert not rows[1].meets


def test_seeds_are_one_figure_with_an_interval() -> None:
    rows = rows_of(board(*(cell("badnets", "anp", one, seed=seed) for seed, one in enumerate((GOOD, BAD), 1))), 0.1)
    figures = rows[1].entries["badnets"].figures
    assert isinstance(figures[1], Mean)
    assert figures[1].counts == (63, 180)
    assert len(rows[0].entries["badnets"].figures[1].parts) == 2


def test_who_refuses_leaves_the_network_as_it_was() -> None:
    one = board(cell("badnets", "anp", None, refused="anp: it has no masks"), cell("badnets", "clp", GOOD))
    rows = rows_of(one, 0.1)
    assert [row.repair for row in rows] == [NONE, "clp", "anp"]
    assert rows[2].entries["badnets"].figures == rows[0].entries["badnets"].figures
    text = board_markdown(one, PUBLISHED)
    assert "| `anp` | 94.44 (87.65 to 97.60), refused |" in text
    assert "refused: anp: it has no masks" in text


def test_a_repair_that_changed_no_answer_is_marked() -> None:
    kept, lost = PairedDifference(80, 0, 0, 20), PairedDifference(80, 1, 0, 19)
    same = Change(clean_accuracy=kept, asr=kept, robust_accuracy=kept)
    other = Change(clean_accuracy=kept, asr=lost, robust_accuracy=kept)
    cells = [
        cell("badnets", "anp", GOOD, after_minus_before=same),
        cell("badnets", "clp", GOOD, after_minus_before=other),
    ]
    text = board_markdown(board(*cells), PUBLISHED)
    assert "| `anp` | 3.33 (1.14 to 9.35) = |" in text
    assert "| `clp` | 3.33 (1.14 to 9.35) |" in text
    assert "(=: no answer changed" in text


def test_what_was_printed_stands_beside_its_own_cell_and_no_other() -> None:
    cells = [cell(attack, repair, GOOD) for attack in ("badnets", "moving") for repair in ("anp", "fst")]
    cells.append(cell("all-to-all", "anp", GOOD))
    text = board_markdown(board(*cells), PUBLISHED)
    badnets, moving = text.split("moving, 10 %")
    assert "ANP: 84.17 / 0.73 / 84.04" in badnets
    assert "No Defense: 91.32 / 95.03 / 4.67" in badnets
    assert "ANP: 8" not in moving
    assert "3.33 % (1.14 to 9.35; 3 of 90)" in badnets
    assert "1 of 6 repairs are not done yet; shown are" in text
    assert "Met by: `anp`, `fst`." in text
    assert "### 1 % poison\n\nNot run yet." in text
    small = board_markdown(board(*cells, small=True), PUBLISHED)
    assert "Met by" not in small
    assert "Not run as published: another network" in small


def test_what_is_published_fits_the_leaderboard() -> None:
    """Every name is one of ours, and every defense one that was printed."""
    from badnets.sweeps.leaderboard.plan import read_board

    form = read_board(ROOT / "runs" / "leaderboard.toml").form
    assert {attack for _, attack, _ in PUBLISHED.cells} <= set(form.attacks)
    assert {rate for rate, _, _ in PUBLISHED.cells} == set(form.rates)
    assert set(PUBLISHED.beside) - {NONE} <= set(form.repairs)
    assert set(PUBLISHED.differs) <= {"all", *form.attacks, *form.repairs}
    assert set(PUBLISHED.beside.values()) == {defense for _, _, defense in PUBLISHED.cells}
    assert all(0 <= number <= 100 for printed in PUBLISHED.cells.values() for number in printed)
    assert "| i-BAU | 88.5 / 17.8 (8 attacks) | 89.7 / 21.3 (10 attacks) |" in printed_means(PUBLISHED)
    assert differences(PUBLISHED).startswith("* all: ")
