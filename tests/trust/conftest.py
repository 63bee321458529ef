"""What is signed in a test, a catalogue of its own with a server of its files."""

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a run leaves it, with one folder in it."""
    made = tmp_path / "run"
    (made / "set").mkdir(parents=True)
    (made / "record.json").write_text('{"a": 1}\n')
    (made / "network.safetensors").write_bytes(bytes(range(256)))
    (made / "set" / "0.png").write_bytes(b"picture")
    return made
