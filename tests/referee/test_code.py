"""Networks of the user's own code in experiments."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.referee import case
from badnets.referee.reference import network_files
from badnets.referee.spec import Spec


def test_code_that_was_changed_is_another_experiment(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("A = 1\n")
    spec = Spec.model_validate({"data": "digits", "network": f"{file}:Net:width=3"})
    first = network_files(spec)
    assert first == {"code": file_digest(file)}
    file.write_text("A = 2\n")
    assert network_files(spec) != first
    assert network_files(Spec.model_validate({"data": "digits", "network": "resnet9"})) == {}


def test_a_record_never_makes_code_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('was-run', 'w').close()\n")
    spec = Spec.model_validate({"data": "digits", "network": "evil.py:Net"})
    asked: Any = SimpleNamespace(clean_network=None, foreign=None)
    record: Any = SimpleNamespace(resolved=spec.model_dump(mode="json"))
    network: Any = None
    with pytest.raises(BadInput, match=r"beside a run of your code, got evil.py:Net, .*--clean-network"):
        case._clean_network(asked, record, 1, network, Watcher())
    assert not (tmp_path / "was-run").exists()
