"""The spec on the page is TOML that reads back."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.records.run import RunRecord
from badnets.report.pages.parts import toml_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LEAVES = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=80)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


@given(st.dictionaries(st.text(max_size=6), TREES, max_size=4))
def test_toml_reads_back(value: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(value)) == value


def test_example(record: RunRecord) -> None:
    text = toml_text(record.spec)
    assert text.startswith('data = "signs"\nnetwork = "resnet9"\nseeds = 1\n\n[backdoor.trigger]\n')
    back = tomllib.loads(text)
    assert back["backdoor"]["rule"] == record.spec["backdoor"]["rule"]
    assert "count" not in back["backdoor"]["poison"]


@pytest.mark.parametrize("value", [{}, {"a": None}])
def test_nothing_to_write(value: dict[str, Any]) -> None:
    assert toml_text(value) == ""
