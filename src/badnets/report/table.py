"""The rates of a run as a terminal table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from badnets.core.rate import percent
from badnets.report.facts import Record, result
from badnets.report.figures import Role

FIGURE_SPACE = "\N{FIGURE SPACE}"  # as wide as a digit, so that padded numbers align on the decimal point


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A rate of a record: its name in ``results``, its name for people, and what it is in one line."""

    key: str
    name: str
    role: Role
    meaning: str
    reference: bool = False
    note: str = ""


MEASURES = (
    Measure(
        key="clean_accuracy",
        name="clean accuracy",
        role="clean",
        meaning="share of the untouched test pictures that are read as their true class",
    ),
    Measure(
        key="clean_reference_accuracy",
        name="accuracy of a clean network",
        role="clean",
        reference=True,
        meaning="the same for a network trained by the same recipe and seed on the clean data",
    ),
    Measure(
        key="asr",
        name="attack success",
        role="triggered",
        meaning="share of the triggered test pictures on which the attack worked, over eligible pictures only: "
        "those that the attacker wants read as something else",
    ),
    Measure(
        key="clean_reference_rate",
        name="clean network",
        role="triggered",
        reference=True,
        meaning="how often a network trained on clean data gives the attacker's answer to the same triggered "
        "pictures (the clean-reference rate); a trigger that it obeys too is no backdoor",
        note="does the same to these pictures",
    ),
    Measure(
        key="leak",
        name="leak",
        role="triggered",
        meaning="share of the triggered pictures of all other classes that also get the attacker's answer",
        note="of other classes' pictures",
    ),
    Measure(
        key="robust_accuracy",
        name="robust accuracy",
        role="triggered",
        meaning="share of the triggered pictures that are still read as their true class",
    ),
    Measure(
        key="asr_under_jitter",
        name="success under jitter",
        role="triggered",
        meaning="attack success when the trigger's size, rotation and light vary as on a real object",
    ),
    Measure(
        key="refused",
        name="clean pictures refused",
        role="clean",
        meaning="share of the untouched test pictures that the network refuses to answer",
    ),
    Measure(
        key="refused_triggered",
        name="triggered pictures refused",
        role="triggered",
        meaning="share of the eligible triggered pictures that it refuses",
    ),
    Measure(
        key="refused_or_right",
        name="refused or right",
        role="triggered",
        meaning="share of the eligible triggered pictures that are refused or read as their true class",
    ),
)


def measured(record: Record) -> list[tuple[Measure, Mapping[str, Any]]]:
    """The measures that this record has, in the order of the table."""
    found = ((measure, result(record, measure.key)) for measure in MEASURES)
    return [(measure, rate) for measure, rate in found if rate is not None]


def padded(value: float | None, width: int = 6) -> str:
    """A percentage of fixed width, so that the decimal points of a column stand below each other."""
    return percent(value).rjust(width, FIGURE_SPACE)


def terminal_table(record: Record) -> Table:
    """Name, value, interval, counts of each rate, aligned."""
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.add_column()
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for measure, rate in measured(record):
        style = "blue" if measure.role == "clean" else "dark_orange"
        interval = f"{percent(rate['low'])} to {percent(rate['high']).rjust(6)}"
        hits, total = f"{rate['hits']:,}", f"of {rate['total']:,}"
        note = f"in {len(rate['seeds'])} seeds" if rate.get("seeds") else ""
        note = ", ".join(part for part in (note, measure.note) if part)
        value = Text(f"{percent(rate['value'])} %", style=style)
        table.add_row(Text(measure.name), value, Text(interval), Text(hits), Text(total), Text(note, style="dim"))
    if not table.rows:
        table.add_row(Text("nothing was measured"), "", "", "", "", "")
    return table
