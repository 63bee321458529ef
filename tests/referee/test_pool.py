"""Results of several seeds as one."""

from __future__ import annotations

import pytest
from badnets.referee.pool import pool_results

from badnets.core.rate import PairedDifference, Rate


def _results(hits: int, f1: float | None = 0.5) -> dict[str, object]:
    return {
        "asr": Rate(hits, 10).to_json(),
        "leak": None,
        "difference": PairedDifference(hits, 1, 0, 9 - hits).to_json(),
        "macro_f1": f1,
        "per_class": [{"class": "a", "n": 3, "accuracy": Rate(hits, 10).to_json(), "asr": None}],
        "confusion_clean": [[hits, 1], [0, 2]],
        "nothing": [],
    }


def test_one_seed_is_as_it_is() -> None:
    assert pool_results([3], [_results(4)]) == _results(4)


def test_several_seeds() -> None:
    pooled = pool_results([3, 4], [_results(4, 0.4), _results(6, 0.6)])
    assert (pooled["asr"]["hits"], pooled["asr"]["total"]) == (10, 20)
    assert pooled["asr"]["value"] == pytest.approx(0.5)
    assert [s["seed"] for s in pooled["asr"]["seeds"]] == [3, 4]
    assert pooled["leak"] is None
    assert pooled["difference"]["value"] == pytest.approx(0.1)
    assert pooled["macro_f1"] == pytest.approx(0.5)
    assert pooled["per_class"][0]["class"] == "a"
    assert pooled["per_class"][0]["n"] == 3
    assert pooled["per_class"][0]["accuracy"]["value"] == pytest.approx(0.5)
    assert pooled["confusion_clean"] == [[10, 2], [0, 4]]
    assert pooled["nothing"] == []
    assert pool_results([3, 4], [_results(4, None), _results(6)])["macro_f1"] is None
