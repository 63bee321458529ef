"""``badnets sweep`` as somebody types it."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Badnets

from badnets.networks import device
from badnets.networks.device import chosen
from badnets.sweeps import sweep
from badnets.sweeps.sweep import status

SWEEP = """
seeds = 2
[base]
data = { name = "digits", size = 16 }
network = "g1-cnn"
recipe = { epochs = 1, precision = "fp32" }
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep in the folder in which it is started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SWEEP)
    return tmp_path / "small.toml"


def test_who_looks_makes_nothing(badnets: Badnets, file: Path) -> None:
    for look in ("--plan", "--status"):
        assert badnets.done(f"sweep small.toml {look} --json").json["counts"]["waiting"] == 2
    assert not (file.parent / "badnets-sweeps").exists()
    assert badnets("sweep small.toml --plan --status").message.endswith("got both; leave one out")


def test_the_best_device_is_taken_and_what_is_missing_is_no_success(
    badnets: Badnets, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(device, "_CHOSEN", ContextVar("chosen", default="auto"))

    def run(planned: Any, store: Any, *_: Any, **__: Any) -> Any:
        seen.append(chosen())
        store.check_writable()
        return status(planned, store)

    monkeypatch.setattr(sweep, "run_sweep", run)
    said = badnets("sweep small.toml")
    assert said.code == 2
    assert "2 waiting" in said.out
    assert badnets("sweep small.toml --device cpu").code == 2
    assert seen == ["auto", "cpu"]
