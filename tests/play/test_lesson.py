"""The lesson in Python, from the first cell to the last."""

from __future__ import annotations

import ast
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "lesson.ipynb"


def cells() -> list[str]:
    notebook: Any = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_runs_and_teaches_what_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    began, known = time.monotonic(), dict[str, Any]()
    for number, cell in enumerate(cells()):
        tree = ast.parse(cell, f"cell {number}")
        exec(compile(tree, f"cell {number}", "exec"), known)  # noqa: S102  # our own lesson
    assert time.monotonic() - began < 120
    said = capsys.readouterr().out
    rates = {name.strip(): float(rate) for name, rate in re.findall(r"^([a-z ]+?) +(\d+\.\d+) %", said, re.MULTILINE)}
    assert rates["accuracy"] > rates["of a clean one"] - 5
    assert rates["attack success"] > 90
    assert rates["on a clean one"] < 10
    assert rates["attack after"] < rates["attack success"]
    assert "#" in said
    assert (tmp_path / "repaired.safetensors").is_file()


def test_no_answers_are_kept_in_it() -> None:
    notebook: Any = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert [cell["outputs"] for cell in notebook["cells"] if cell.get("outputs")] == []
