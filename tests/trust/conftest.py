"""A catalogue for each test: that of its publisher, and a server of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # without the extra badnets[trust] the tests are skipped, and this is still read
    from tests.trust.attacker import Between, Publisher


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    """The catalogue that the others are copies of."""
    from tests.trust.attacker import Publisher

    folder = tmp_path_factory.mktemp("publisher")
    (folder / "keys").mkdir()
    made = Publisher(folder / "catalogue", folder / "keys")
    made.begin()
    return made


@pytest.fixture
def publisher(begun: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A copy, and an empty cache."""
    monkeypatch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))
    return begun.copy(tmp_path / "catalogue")


@pytest.fixture
def server(publisher: Publisher) -> Iterator[Between]:
    """It, served, with somebody in between."""
    from tests.trust.attacker import serving

    with serving(publisher.folder) as between:
        yield between
