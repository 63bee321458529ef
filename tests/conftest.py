"""What all tests share: where real data lies, a cache of their own, and how hypothesis runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("badnets", deadline=None, derandomize=True, max_examples=50, print_blob=True)
settings.load_profile("badnets")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data sets; the test is skipped where it is absent."""
    named = os.environ.get("BADNETS_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs real data, and {folder} is absent; set BADNETS_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("badnets-cache")


@pytest.fixture(autouse=True)
def _own_cache(_session_cache: Path) -> Iterator[None]:
    """Never read or write the user's cache or data; one cache a session, so that signs are drawn once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BADNETS_CACHE", str(_session_cache))
        patch.delenv("BADNETS_DATA", raising=False)
        yield
