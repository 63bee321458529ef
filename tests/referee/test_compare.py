"""Two runs against each other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.referee.evaluate import compare
from badnets.referee.run import Finished


def test_a_run_with_itself(finished: Finished, two_seeds: Finished) -> None:
    for done in (finished, two_seeds):
        value = compare(done.folder, done.folder)
        assert value.format == "badnets/comparison/1"
        assert [row.name for row in value.rows] == ["clean_accuracy", "asr", "robust_accuracy"]
        for row in value.rows:
            assert row.a == row.b == getattr(done.record.results, row.name)
            assert row.difference.value == 0
            assert row.difference.low <= 0 <= row.difference.high


def test_the_difference_is_that_of_the_rates(
    finished: Finished, start: Callable[..., Finished], table: Callable[..., Any]
) -> None:
    weaker = table()
    weaker["backdoor"]["poison"] = {"rate": 0.02}
    other = start(weaker)
    for row in compare(finished.folder, other.folder).rows:
        assert row.difference.value == pytest.approx(row.a.value - row.b.value)
        assert row.difference.total == row.a.total
    turned = compare(other.folder, finished.folder).rows[1].difference.value
    assert turned == pytest.approx(-compare(finished.folder, other.folder).rows[1].difference.value)


def test_other_eligible_pictures_are_not_paired(
    finished: Finished, start: Callable[..., Finished], table: Callable[..., Any]
) -> None:
    backdoor = {"trigger": "pattern", "rule": {"kind": "all-to-one", "target": 5}, "poison": {"rate": 0.3}}
    rows = {row.name: row for row in compare(finished.folder, start(table(backdoor=backdoor)).folder).rows}
    assert rows["clean_accuracy"].difference is not None
    assert rows["asr"].difference is None


def test_what_cannot_be_compared(
    finished: Finished, two_seeds: Finished, start: Callable[..., Finished], table: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="a seed in common"):
        compare(finished.folder, two_seeds.folder)
    other = start(table(data={"name": "digits", "size": 16, "seed": 9}))
    with pytest.raises(BadInput, match="the same test pictures"):
        compare(finished.folder, other.folder)
    with pytest.raises(BadInput, match="expected a run"):
        compare(finished.folder, tmp_path)
    copy = shutil.copytree(finished.folder, tmp_path / "copy")
    for content in (b"", b"no npz", (copy / "answers.npz").read_bytes()[:100]):
        (copy / "answers.npz").write_bytes(content)
        with pytest.raises(BadInput, match=r"answers\.npz"):
            compare(finished.folder, copy)
    (copy / "answers.npz").unlink()
    with pytest.raises(BadInput, match=r"answers\.npz"):
        compare(finished.folder, copy)
