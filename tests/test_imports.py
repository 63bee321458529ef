from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import badnets

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEAVY = ("torch", "torchvision", "sklearn", "scipy", "lightning_fabric", "PIL")


def loaded_after(code: str) -> set[str]:
    """Heavy top-level modules that a fresh interpreter holds after ``code``."""
    # sys.exit is how the command line ends; what it prints goes to stderr, so that the last line of stdout is ours.
    script = f"""
import contextlib, json, sys
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    {code}
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout)) & set(HEAVY)


def test_import_is_light() -> None:
    assert loaded_after("import badnets; dir(badnets); badnets.__version__") == set()


def test_help_is_light() -> None:
    assert loaded_after("from badnets.cli.main import main; main(['--help'])") == set()


@pytest.mark.parametrize("command", ["attack", "run", "demo", "play", "reproduce", "repair", "guard"])
def test_help_of_a_command_is_light(command: str) -> None:
    assert loaded_after(f"from badnets.cli.main import main; main(['{command}', '--help'])") == set()


def test_loading_triggers_leaves_torch_out() -> None:
    assert not {"torch", "torchvision"} & loaded_after(
        "import badnets; badnets.triggers.Pattern(); badnets.Backdoor, badnets.Plan, badnets.ImageData"
    )


def test_the_probe_sees_torch() -> None:
    assert "torch" in loaded_after("import badnets; badnets.train")


def test_scanning_leaves_torch_out() -> None:
    file = Path(__file__).parents[1] / "docs" / "schemas" / "run.json"
    script = f"from badnets.cli.main import main; main(['scan', {str(file)!r}, '--json'])"
    assert loaded_after(script) == set()


@pytest.mark.parametrize("name", badnets.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(badnets, name) is not None
    assert name in dir(badnets)


def test_the_list_is_the_table() -> None:
    assert {*badnets._HOMES, *badnets._NAMESPACES, "__version__"} == set(badnets.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'bakdoor'"):
        _ = badnets.bakdoor


ROOT = Path(__file__).parents[1]
EXTRA = {"starlette", "uvicorn"}
"""What badnets[play] brings: its room needs them, and nobody else imports that room but the command."""
CATALOGUE = {"tuf", "securesystemslib"}
"""Of badnets[trust]: the catalogue's package says what to install, before its modules."""
OTHER_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn"}
"""Packages that are imported under another name than they are installed."""


def imported_by(source: Path) -> set[str]:
    """Top-level names of everything that the modules below ``source`` import, inside functions too."""
    names: set[str] = set()
    for path in source.rglob("*.py"):
        names |= imported_by_file(path)
    return names


def imported_by_file(path: Path) -> set[str]:
    """The same of one module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_dependencies_are_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^\w.-]", requirement)[0] for requirement in project["dependencies"]}
    wanted = {OTHER_NAMES.get(name, name.replace("-", "_")) for name in declared}
    part_of_others = {"pydantic_core", "_typeshed"}  # in the same release as pydantic; known to type checkers alone
    known = set(sys.stdlib_module_names) | {"badnets"} | part_of_others
    assert imported_by(ROOT / "src") - known - EXTRA - CATALOGUE == wanted


def test_an_extra_is_imported_in_its_room_alone() -> None:
    rooms = [path for path in (ROOT / "src" / "badnets").iterdir() if path.is_dir()]
    assert {room.name for room in rooms if imported_by(room) & EXTRA} == {"play", "cli"}
    using = {path.parent for path in (ROOT / "src").rglob("*.py") if CATALOGUE & imported_by_file(path)}
    assert using == {ROOT / "src" / "badnets" / "trust" / "catalogue"}
