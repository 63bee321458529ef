"""C1: pruning and GoodNets on a real backdoored face network (N. Vora, after the contest CSAW-HackML-2020).

``lab3`` was trained by the contest; sunglasses make it answer class 0. The study prunes conv_3 by mean activation of
pool_3 and lets a pair of networks answer N+1 where they differ. Both are repeated as they were done, on the faces at
hand or on the contest's sets; beside them stand our stopping rule, our repairs and our abstainers.

Differs from the report: few faces unless the contest's sets are given; its assignment says decreasing order, its code
prunes the least active channel first: both are shown. Where ``published_pruning_curve.csv`` is missing, our own ranking
stands for the published order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from badnets.studies.old_study import Outcome, Results, Row, Settings, Study, Trial, Variant
from badnets.studies.vora2023_goodnet.cures import (
    CLEAN_NETWORK,
    STRONGEST,
    SUNGLASSES,
    UNABLE,
    abstainer_rows,
    cure,
    cure_rows,
    rows_before,
    unable_lines,
)
from badnets.studies.vora2023_goodnet.data import NAME, Files, find_files, read_curve, read_faces
from badnets.studies.vora2023_goodnet.pruning import (
    check_loader,
    curve_rows,
    loader_rows,
    prune_and_compare,
    pruning_figures,
    stop_rows,
    table_rows,
)
from badnets.studies.vora2023_goodnet.sheets import write_contact_sheet

QUICK_METHODS = ("fine-tune",)


def trials(settings: Settings) -> list[Trial]:
    """The strongest repair for each split of the faces first, for it takes longest."""
    find_files(settings.data)  # what is missing is said before anything runs
    spec: dict[str, Any] = {"data": {"name": NAME, **({"path": settings.data} if settings.data else {})}}
    networks = {"networks": [*SUNGLASSES, CLEAN_NETWORK]}
    out = []
    if not settings.quick:
        strong = {**spec, **networks, "method": STRONGEST, "abstain": True}
        out = [Trial(name=f"strongest-s{s}", spec=strong, seed=s, work=cure) for s in range(1, settings.seeds + 1)]
    out.append(Trial(name="pruning", spec={**spec, "part": "pruning"}, seed=1, work=prune_and_compare))
    out.append(Trial(name="loader", spec={**spec, "part": "loader"}, seed=1, work=check_loader))
    for method in _methods(quick=settings.quick):
        out.append(Trial(name=f"repair-{method}", spec={**spec, **networks, "method": method}, seed=1, work=cure))
    return out


def _methods(*, quick: bool) -> list[str]:
    from badnets.defenses.repairs import REPAIRS

    names = [name for name in REPAIRS.own if name != STRONGEST and name not in UNABLE]
    return [name for name in names if not quick or name in QUICK_METHODS]


def assemble(settings: Settings, results: Mapping[str, Results], folder: Path) -> Outcome:
    """Rows in the order of STUDIES: loader, curve, stops, tables, then our own methods."""
    variant: Variant = "quick" if settings.quick else "published"
    own: Variant = "quick" if settings.quick else "corrected"
    files = find_files(settings.data)
    curve = [] if files.curve is None else read_curve(files.curve)
    pruned = results["pruning"]["results"]
    rows: list[Row] = [
        *loader_rows(results["loader"]["results"], variant),
        *curve_rows(pruned, curve, variant),
        *stop_rows(pruned, curve, variant),
        *table_rows(pruned, variant),
    ]
    strongest = [entry["results"] for name, entry in sorted(results.items()) if name.startswith("strongest-")]
    tried = {STRONGEST: strongest} if strongest else {}
    tried |= {
        name.removeprefix("repair-"): [entry["results"]]
        for name, entry in results.items()
        if name.startswith("repair-")
    }
    more, lines = rows_before(next(iter(tried.values()), []), own)
    rows += more
    for method, entries in tried.items():
        more, table = cure_rows(method, entries, own)
        rows, lines = [*rows, *more], [*lines, *table]
    refusing, abstainers = abstainer_rows(strongest, own)
    _contact_sheets(files, pruned, strongest, folder)
    tables = {"repairs": [*lines, *unable_lines()], "abstainers": abstainers}
    return Outcome(rows=[*rows, *refusing], tables=tables, figures=pruning_figures(pruned, curve))


def _contact_sheets(files: Files, pruned: Results, strongest: list[Results], folder: Path) -> None:
    """A picture for each network, beside the record and never in it."""
    faces = {"clean": read_faces(files.faces[2], "clean"), "triggered": read_faces(files.faces[3], "triggered")}
    for name in SUNGLASSES:
        answers = dict(pruned["answers"]) if name == "lab3" else {}
        if strongest and "answers" in strongest[0].get(name, {}):
            answers[f"{STRONGEST}"] = strongest[0][name]["answers"]
        if answers:
            write_contact_sheet(folder / f"contact-sheet-{name}.png", faces, answers)


STUDY = Study(
    name="vora2023-goodnet",
    summary="pruning and GoodNets on a real face network; what our repairs and abstainers do to it",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
