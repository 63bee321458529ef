"""Write the generated parts of docs/: ``python docs/make.py``, or ``--check`` to see if they are up to date.

A generated part stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``; the rest of a page is written by
hand.
"""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
DOCS = Path(__file__).resolve().parent
JSON = dict[str, Any]


def commands() -> str:
    """Every command with its arguments and options, from the command line's own definitions."""
    import typer

    from badnets.cli.main import COMMANDS, app

    group: Any = typer.main.get_command(app)
    parts = []
    for name in COMMANDS:
        command = group
        for word in name.split():
            command = command.commands[word]
        words = [_usage_word(p) for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["badnets", name, *words, "[OPTIONS]"])
        rows = [_parameter_row(p) for p in command.params if not p.hidden]
        table = ["| | default | |", "|---|---|---|", *rows] if rows else []
        parts.append("\n".join([f"## {name}", "", command.help, "", f"```console\n{usage}\n```", "", *table]))
    return "\n\n".join(parts)


def _usage_word(parameter: Any) -> str:
    word = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return word if parameter.required else f"[{word}]"


def _parameter_row(parameter: Any) -> str:
    """Defaults that the help names itself, in brackets at its end, go into their column."""
    text = parameter.help or ""
    said = re.search(r" \[([^\]]+)\](\.?)$", text)
    default = parameter.default
    if said:
        shown, text = said[1], text[: said.start()] + said[2]
    elif parameter.required:
        shown = "required"
    elif getattr(parameter, "is_flag", False) or default in (None, [], ""):
        shown = ""
    else:
        shown = f"`{default}`"
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`"
    else:
        value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.strip('_').upper()}"
        name = " ".join(f"`{option}{value}`" for option in parameter.opts)
    more = " May be given several times." if parameter.multiple else ""
    return _row(name, shown, text + more)


def places() -> str:
    """Every kind of place, and physical jitter."""
    from pydantic import TypeAdapter

    from badnets.backdoors.triggers import At, Corner, Jitter, Random

    kinds = {"corner": Corner, "at": At, "random": Random, "jitter": Jitter}
    return "\n\n".join(_value_section(kind, TypeAdapter(value).json_schema(), "###") for kind, value in kinds.items())


def methods(family: str) -> Callable[[], str]:
    """Every method of a family: what it is and its settings."""

    def made() -> str:
        from pydantic import TypeAdapter

        from badnets.cli.listing import family as table

        own: JSON = dict(table(family).own)
        sections = (_value_section(kind, TypeAdapter(value).json_schema()) for kind, value in own.items())
        return "\n\n".join([*([] if family == "triggers" else [_needs(own)]), *sections])

    return made


def _needs(methods: JSON) -> str:
    """What each method needs of a network."""
    from badnets.networks.capabilities import Capability, needs

    said = {kind: needs(method) for kind, method in methods.items()}
    rows = []
    for one in Capability:
        kinds = [f"[{kind}](#{kind})" for kind, needed in said.items() if needed is one]
        rows += [_row(f"*{one.word}*", ", ".join(kinds))] if kinds else []
    rest = [f"[{kind}](#{kind})" for kind, needed in said.items() if not isinstance(needed, Capability)]
    rows += [_row("as the repair inside", ", ".join(rest))] if rest else []
    return "\n".join(["| needs | methods |", "|---|---|", *rows])


def rules() -> str:
    """Every label rule."""
    from badnets.backdoors.rules import RULES

    rows = []
    for kind, rule in RULES.own.items():
        fields = [field.name for field in dataclasses.fields(rule) if field.name != "kind"]  # type: ignore[arg-type]
        rows.append(_row(f"`{kind}`", ", ".join(f"`{name}`" for name in fields), _first(rule.__doc__)))
    return "\n".join(["| rule | settings | |", "|---|---|---|", *rows])


def networks() -> str:
    """Our own architectures with their arguments and recipes."""
    from badnets.networks.architecture import ARCHITECTURES
    from badnets.networks.names import by_numbers
    from badnets.training.recipe import recipe_for

    rows = []
    families: dict[str, list[str]] = {}
    for name in sorted(ARCHITECTURES.own, key=by_numbers):
        families.setdefault(ARCHITECTURES[name].family or name, []).append(name)
    for name, *others in sorted(families.values()):
        architecture = ARCHITECTURES[name]
        fields = architecture.schema.model_json_schema()["properties"]
        words = (f"`{key}={field['default']}` {field.get('description', '')}" for key, field in fields.items())
        recipe = recipe_for(name)
        trained = f"{recipe.epochs} epochs, batch {recipe.batch}, {recipe.optimizer} {recipe.learning_rate:g}"
        if recipe.augment:
            trained += f", {', '.join(recipe.augment)}"
        names = ", ".join(f"`{one}`" for one in (name, *others))
        rows.append(_row(names, architecture.summary, "; ".join(words), trained))
    return "\n".join(["| network | | arguments | default recipe |", "|---|---|---|---|", *rows])


def recipe() -> str:
    """The settings of a recipe."""
    from pydantic import TypeAdapter

    from badnets.training.recipe import Recipe

    return _fields_table(TypeAdapter(Recipe).json_schema())


def sources() -> str:
    """Every data source."""
    from badnets.data.registry import SOURCES

    rows = [
        _row(f"`{name}`", source.summary, "yes" if source.needs_path else "") for name, source in SOURCES.own.items()
    ]
    return "\n".join(["| data | | needs a path |", "|---|---|---|", *rows])


def signs() -> str:
    """The classes of the drawn signs."""
    from badnets.data.drawn.signs import STYLES, class_names

    return "\n".join(f"* `{style}`: {', '.join(class_names(style))}" for style in STYLES)


def studies() -> str:
    """Every published study."""
    from badnets.studies.registry import STUDIES

    rows = [_row(f"`{name}`", study.summary, str(study.seeds)) for name, study in STUDIES.own.items()]
    return "\n".join(["| study | | seeds |", "|---|---|--:|", *rows])


def budget() -> str:
    """Every limit on what comes from outside."""
    from badnets.core import limits

    rows = [_row(f"`{name}`", limit.what, f"{limit.usual:,}") for name, limit in limits.known().items()]
    return "\n".join(["| limit | at most this many | usually |", "|---|---|--:|", *rows])


def scan_rules() -> str:
    """What a scan looks for."""
    from badnets.networks.scan.rules import RULES

    rows = [_row(f"`{name}`", rule.severity, rule.why, rule.do) for name, rule in RULES.items()]
    return "\n".join(["| rule | | why it is told | what to do |", "|---|---|---|---|", *rows])


def _value_section(kind: str, schema: JSON, heading: str = "##") -> str:
    text = schema.get("description", "").strip().replace("``", "`")
    return f"{heading} {kind}\n\n{text}\n\n{_fields_table(schema)}"


def _fields_table(schema: JSON) -> str:
    rows = []
    for name, field in schema["properties"].items():
        if name != "kind":
            default = f"`{_shown(field['default'])}`" if "default" in field else "required"
            rows.append(_row(f"`{name}`", default, field.get("description", "")))
    return "\n".join(["| setting | default | |", "|---|---|---|", *rows])


def _shown(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _first(text: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split()).replace("``", "`")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def ledger() -> str:
    """Every row of every recorded study."""
    from badnets.studies.ledger import ledger as whole

    return whole(ROOT / "results")


def glance() -> str:
    """README's line for each recorded study: what became of its published figures, and of the bounds of our own."""
    from badnets.records.study import State
    from badnets.studies.ledger import study_records
    from badnets.studies.registry import STUDIES

    states: tuple[State, ...] = ("borne out", "not borne out", "not run as published", "not judged")
    rows = []
    for record in study_records(ROOT / "results"):
        published = [row.state for row in record.rows if row.published is not None]
        counted = [str(published.count(state)) if published else "" for state in states]
        own = [row.verified for row in record.rows if row.published is None and row.verified is not None]
        met = f"{own.count(True)} of {len(own)}" if own else ""
        rows.append(_row(STUDIES[record.study].title, f"`{record.study}`", *counted, met))
    return "\n".join([f"| study | | {' | '.join(states)} | own bounds met |", "|---|---|--:|--:|--:|--:|--:|", *rows])


def power() -> str:
    """What the audit finds of planted backdoors, by ground and family of networks: those that work, and every kind."""
    from badnets.core.rate import Rate
    from badnets.core.toml import shipped_table
    from badnets.studies.audit.study import FACTS

    def basis(r: dict[str, Any]) -> tuple[str, ...]:
        return r["ground"], "yes" if r["pictures"] else "no", r["networks"]

    def found(some: list[dict[str, Any]]) -> str:
        return str(Rate(sum(r["found"] for r in some), sum(r["of"] for r in some))) if some else ""

    rows = shipped_table("badnets.audits", "power.toml").get("row", [])
    rows = sorted(rows, key=lambda r: (r["ground"], not r["pictures"], r["networks"], r["kind"] != "clean", r["kind"]))
    groups = [
        ("clean", "clean"),
        ("all-to-one", "all to one"),
        ("one-source", "one source"),
        ("all-to-all", "all-to-all"),
    ]
    short = []
    for those in dict.fromkeys(map(basis, rows)):
        kinds = [
            [r for r in rows if basis(r) == those and r["kind"] in FACTS["groups"][one]["kinds"]] for one, _ in groups
        ]
        short.append(_row(*those, *map(found, kinds)))
    whole = [
        _row(*basis(r), r["kind"], found([r]), "" if r["kind"] == "clean" else f"{r['named']} of {r['found']}")
        for r in rows
    ]
    return "\n".join(
        [
            f"| ground | pictures | networks | {' | '.join(words for _, words in groups)} |",
            "|---|---|---|--:|--:|--:|--:|",
            *short,
            "",
            "<details><summary>Every kind of trigger, and how often the class is right</summary>",
            "",
            "| ground | pictures | networks | planted | called backdoored | with the right class |",
            "|---|---|---|---|--:|--:|",
            *whole,
            "",
            "</details>",
        ]
    )


def leaderboard() -> str:
    """The recorded leaderboards, full and small, beside what BackdoorBench printed."""
    from badnets.records.leaderboard import read_board_lines
    from badnets.report.pages.leaderboard_text import Published, board_markdown

    folder = ROOT / "results" / "leaderboard"
    published = Published.read(folder / "backdoorbench.toml")
    parts = []
    for name, title in (("full", "The full form"), ("small", "The small form")):
        path = folder / f"{name}.jsonl"
        shown = board_markdown(read_board_lines(path), published) if path.exists() else "Not run as published yet."
        parts.append(f"## {title}\n\n{shown}")
    return "\n\n".join(parts)


def backdoorbench() -> str:
    """What BackdoorBench printed, in the mean, and why ours differs."""
    from badnets.report.pages.leaderboard_text import Published, differences, printed_means

    published = Published.read(ROOT / "results" / "leaderboard" / "backdoorbench.toml")
    return f"Source: {published.source}.\n\n{printed_means(published)}\n\nWhy ours differs:\n\n{differences(published)}"


_MADE = (
    power,
    commands,
    places,
    rules,
    networks,
    recipe,
    sources,
    signs,
    studies,
    ledger,
    glance,
    budget,
    leaderboard,
    backdoorbench,
    scan_rules,
)
PARTS: dict[str, Callable[[], str]] = {part.__name__: part for part in _MADE}
PARTS |= {family: methods(family) for family in ("triggers", "repairs", "abstainers", "detectors")}


def fill(text: str, where: str) -> str:
    """``text`` with every generated part written anew; a part that nobody makes is an error."""

    def made(match: re.Match[str]) -> str:
        name = match[1]
        if name not in PARTS:
            sys.exit(f"{where}: expected a part that docs/make.py makes, got {name!r}; known: {', '.join(PARTS)}")
        return f"<!-- begin: {name} -->\n\n{PARTS[name]()}\n\n<!-- end: {name} -->"

    return re.sub(r"<!-- begin: (\w+) -->.*?<!-- end: \1 -->", made, text, flags=re.DOTALL)


def schemas() -> dict[str, JSON]:
    """The published schemas: those of specs and of records come from the code, the others are written by hand."""
    from badnets.records.catalogue import CatalogueChange, Got, Listing
    from badnets.records.leaderboard import Leaderboard
    from badnets.records.read import FORMATS
    from badnets.records.scan import Scan
    from badnets.records.sweep import SweepRecord
    from badnets.records.verification import Verification
    from badnets.referee.spec import Spec
    from badnets.sweeps.leaderboard.plan import BoardSpec
    from badnets.sweeps.plan import SweepSpec
    from badnets.trust.policy import PolicyFile

    beside: dict[str, type[BaseModel]] = {
        "spec": Spec,
        "scan": Scan,
        "sweep": SweepRecord,
        "sweep-spec": SweepSpec,
        "leaderboard": Leaderboard,
        "leaderboard-spec": BoardSpec,
        "verification": Verification,
        "policy": PolicyFile,
        "catalogue": Listing,
        "catalogue-change": CatalogueChange,
        "got": Got,
    }
    made = {name.split("/")[1]: model.model_json_schema() for name, model in FORMATS.items()}
    made |= {name: model.model_json_schema() for name, model in beside.items()}
    return {f"{name}.json": schema for name, schema in made.items()}


def wanted() -> dict[Path, str]:
    """What every generated file should hold."""
    pages = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
    files = {path: fill(path.read_text(encoding="utf-8"), path.name) for path in pages}
    for name, schema in schemas().items():
        files[DOCS / "schemas" / name] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return files


def main(arguments: list[str]) -> int:
    """0 when everything is (now) up to date, 1 with the list of stale files under ``--check``."""
    files = wanted()
    stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not up to date; run `make docs`")
        pictures: list[str] = runpy.run_path(str(DOCS / "make_pictures.py"))["problems"]()
        for problem in pictures:
            print(problem)
        return 1 if stale or pictures else 0
    for path in stale:
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
