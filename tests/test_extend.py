"""What CONTRIBUTING and docs/extend.md tell to write, written where they say, in a copy of the package."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from badnets.studies.study import Settings, Study

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(.*?)```python\n(.*?)```", re.DOTALL)
PLACE = re.compile(r"`((?:src|tests)/[\w/]+\.py)`")
STUDY = "src/badnets/studies/sticker_size/study.py"


def blocks() -> dict[str, str]:
    """The code of both pages by the path that is named last before it."""
    found = {}
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "extend.md"):
        for before, code in BLOCK.findall(page.read_text(encoding="utf-8")):
            *_, place = PLACE.findall(before) or [""]
            found[place] = code
    return found


def test_every_block_says_where_it_goes() -> None:
    assert [place for place in blocks() if not place] == []
    assert len(blocks()) == 7


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the files of the pages in their places."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("src", "docs", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for place, code in blocks().items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(code, encoding="utf-8")
    (root / STUDY).with_name("__init__.py").touch()
    return root


def run(copy: Path, command: Sequence[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_they_are_listed_and_documented(copy: Path) -> None:
    items = json.loads(run(copy, ["-m", "badnets", "list", "--json"]))["items"]
    names = {(item["kind"], item["name"]) for item in items if "problem" not in item}
    new = {
        ("triggers", "stripe"),
        ("datasets", "bars"),
        ("networks", "linear"),
        ("repairs", "thin"),
        ("detectors", "biases"),
        ("studies", "sticker-size"),
    }
    assert new <= names
    methods = ", ".join(f"make.PARTS['{family}']()" for family in ("triggers", "repairs", "detectors"))
    code = f"import make; print(make.sources(), make.networks(), {methods})"
    text = run(copy, ["-c", f"import sys; sys.path.insert(0, 'docs'); {code}; print(make.studies())"])
    assert all(re.search(rf"(## |`){name}\b", text) for _, name in new)
    schema = "from badnets.referee.spec import Spec; print('Stripe' in Spec.model_json_schema()['$defs'])"
    assert run(copy, ["-c", schema]) == "True\n"
    assert "thickness" in run(copy, ["-c", "import badnets as bn; print(bn.triggers.Stripe())"])


@pytest.mark.slow
def test_they_pass_their_tests_and_the_contracts(copy: Path) -> None:
    tests = ["tests/contract", "tests/property/test_triggers.py", "tests/backdoors/triggers/test_stripe.py"]
    names = "(stripe or bars or linear or thin) and not strip-"
    said = run(copy, ["-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *tests, "-k", names])
    assert "no tests ran" not in said


def test_a_study_says_its_trials(tmp_path: Path) -> None:
    path = tmp_path / "study.py"
    path.write_text(blocks()[STUDY], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("sticker_size", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    study = module.STUDY
    assert isinstance(study, Study)
    trials = study.trials(Settings(quick=True, seeds=2))
    assert len({trial.name for trial in trials}) == 4
