"""The figures of a record by name: what each is called, and what it means in one line."""

from __future__ import annotations

from dataclasses import dataclass

from badnets.core.rate import Interval
from badnets.core.toml import shipped_table
from badnets.records.blocks import Role
from badnets.records.results import DetectorFigures, Evaluation
from badnets.records.run import RunRecord
from badnets.report.words.names import Nouns, known


@dataclass(frozen=True)
class Measure:
    """A figure: the name of its field, its name for people, of which pictures it is, and what it is in one line.
    ``note`` stands beside it in tables; ``reference`` ones are a clean network's."""

    key: str
    name: str
    role: Role
    meaning: str
    note: str = ""
    reference: bool = False


_TABLES = shipped_table("badnets.report.words", "measures.toml")
MEASURES = tuple(Measure(**entry) for entry in _TABLES["classifier"])
DETECTOR_MEASURES = tuple(Measure(**entry) for entry in _TABLES["detector"])
_SAID_BY_SUCCESS = ("vanished", "clean_reference_vanished")
"""Where objects are to vanish, these two are attack success itself."""


def measured(record: RunRecord | Evaluation) -> list[tuple[Measure, Interval]]:
    """The measures that this record has a figure of, in the order of the table."""
    measures = DETECTOR_MEASURES if isinstance(record.results, DetectorFigures) else MEASURES
    left_out = _SAID_BY_SUCCESS if Nouns.of(record).vanishing else ()
    found = ((m, known(getattr(record.results, m.key))) for m in measures if m.key not in left_out)
    return [(measure, figure) for measure, figure in found if figure is not None]
