"""A small record of a study."""

from __future__ import annotations

import pytest

from badnets.core.rate import Mean, Number, PairedDifference, Rate, over_seeds
from badnets.records.model import Environment
from badnets.records.study import StudyRecord
from badnets.studies.figures import row


@pytest.fixture
def record() -> StudyRecord:
    """Six rows: borne out, not borne out, not run as published, not judged, a difference, yes or no."""
    accuracy = Mean((1, 2), (Rate(990, 1000), Rate(992, 1000)))
    added = over_seeds((1, 2), (PairedDifference(9000, 11, 10, 979), PairedDifference(9000, 13, 10, 977)))
    rows = (
        row("baseline: clean accuracy", accuracy, variant="published", published=0.995, source="paper",
            bound=("about", 0.995)),
        row("pooled: error", Rate(3, 1000), variant="published", published=0.0009, source="paper",
            bound=("at most", 0.0009)),
        row("shorter: error", Rate(3, 1000), variant="published", published=0.0009, source="paper",
            bound=("at most", 0.0009), not_as_published="3 passes, not 30"),
        row("pooled: worst [red] | pair", Number(0.0041), variant="published", published=0.0009, source="paper",
            why="printed,\nnot judged", unit="rate"),
        row("all: minus clean", added, variant="corrected", bound=("at most", 0.002)),
        row("test: accepted", Number(1.0), variant="published", published=1.0, source="paper", unit="yes or no"),
    )  # fmt: skip
    return StudyRecord(
        study="made-up",
        quick=False,
        seeds=2,
        command="badnets reproduce made-up --seeds 2",
        environment=Environment(versions={}, platform="p", processor="q"),
        commit=None,
        timings_s={},
        rows=rows,
        trials={},
    )
