from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from badnets.cli.main import COMMANDS
from badnets.records.read import FORMATS, read_record

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]


def schema(name: str) -> Any:
    return json.loads((DOCS / "schemas" / f"{name}.json").read_text(encoding="utf-8"))


def test_generated_docs_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, DOCS / "make.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"\n## {command}\n" in (DOCS / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_knows_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/(work|home|root|tmp)/|\.\./shared", text)


def test_every_dependency_has_a_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.scripts]")[0]
    names = re.findall(r'"([a-z0-9-]+)(?:>=|==)[^"]*"', project)
    design = (DOCS / "design.md").read_text(encoding="utf-8")
    reasons = design.split("## 10. Dependencies")[1].split("## 11.")[0]
    assert len(names) > 20
    assert [name for name in names if name not in reasons] == []


def test_every_room_is_in_the_design() -> None:
    design = (DOCS / "design.md").read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (ROOT / "src" / "badnets").glob("*/__init__.py")]
    assert [room for room in rooms if f"  {room}/" not in design] == []


def test_schemas_name_the_formats_that_are_written() -> None:
    written = [
        *FORMATS,
        "badnets/list/1",
        "badnets/predictions/1",
        "badnets/cure/1",
        "badnets/references/1",
        "badnets/scan/1",
    ]
    names = {name.split("/")[1]: name for name in written}
    assert {name: schema(name)["properties"]["format"]["const"] for name in names} == names


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*/record.json")), ids=lambda path: path.parent.name)
def test_what_is_written_has_the_fields_that_are_published(path: Path) -> None:
    record = read_record(path)
    written, published = record.to_json(), schema(str(getattr(record, "format", "")).split("/")[1])
    assert set(published["required"]) <= set(written) <= set(published["properties"])


STABLE = [
    "what",
    "variant",
    "published",
    "published_source",
    "verified",
    "why",
    "unit",
    "ours",
    "low",
    "high",
    "n_seeds",
]


def test_study_rows_have_the_published_fields() -> None:
    assert set(STABLE) <= set(schema("study")["$defs"]["StudyRow"]["required"])


def test_list_is_as_published() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "badnets", "list", "rules", "--json"], capture_output=True, text=True, check=True
    )
    value = json.loads(done.stdout)
    published = schema("list")
    assert set(published["required"]) == set(value)
    assert value["format"] == published["properties"]["format"]["const"]
    required = set(published["properties"]["items"]["items"]["required"])
    assert value["items"]
    assert all(set(item) == required for item in value["items"])


def test_pictures_of_the_page_are_those_of_its_form(tmp_path: Path) -> None:
    known = runpy.run_path(str(DOCS / "make_pictures.py"))
    assert known["problems"]() == []
    assert {path.stem for path in (DOCS / "images").glob("play-*")} == set(known["WIDTHS"])
    assert all("got none" in problem for problem in known["problems"](tmp_path))
    for name in known["WIDTHS"]:
        Image.new("RGB", (7, 7)).save(tmp_path / f"{name}.png")
    said = known["problems"](tmp_path)
    assert sum("an older one" in problem for problem in said) == len(known["WIDTHS"])
    assert sum("pixels wide" in problem for problem in said) == len(known["WIDTHS"])
