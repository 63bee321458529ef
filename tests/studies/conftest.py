"""A small record of a study."""

from __future__ import annotations

from typing import Any

import pytest

from badnets.core.rate import Rate
from badnets.studies.old_study import rate_row, row


@pytest.fixture
def record() -> dict[str, Any]:
    """Five rows: borne out, not borne out, not judged, a difference, yes or no."""
    rows = [
        row("baseline: clean accuracy", "published", 0.995, "paper", [0.99, 0.992], bound=("about", 0.995)),
        rate_row("pooled: error", "published", 0.0009, "paper", Rate(3, 1000), n_seeds=2, bound=("at most", 0.0009)),
        row("pooled: worst [red] | pair", "published", 0.0009, "paper", [0.0041], why="printed,\nnot judged"),
        row(
            "all: minus clean", "corrected", None, "own", [0.0001, 0.0003], unit="difference", bound=("at most", 0.002)
        ),
        row("test: accepted", "published", 1.0, "paper", [1.0], unit="yes or no"),
    ]
    return {
        "format": "badnets/study/1",
        "study": "made-up",
        "quick": False,
        "seeds": 2,
        "command": "badnets reproduce made-up --seeds 2",
        "rows": [entry.to_json() for entry in rows],
    }
