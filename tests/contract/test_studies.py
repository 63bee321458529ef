"""What holds for every study; a new one is covered unasked."""

from __future__ import annotations

import pytest

from badnets.studies.registry import STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_it_says_what_it_repeats(name: str) -> None:
    study = STUDIES[name]
    assert study.name == name
    assert study.summary
    assert "\n" not in study.summary
    assert 1 <= study.quick_seeds <= study.seeds
