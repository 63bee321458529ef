"""C1: pruning and GoodNets on a real backdoored face network (N. Vora, after the contest CSAW-HackML-2020).

``lab3`` was trained by the contest; sunglasses make it answer class 0. The study prunes conv_3 by mean activation of
pool_3 and lets a pair of networks answer N+1 where they differ. Both are repeated as they were done, on the faces at
hand or on the contest's sets; beside them stand our stopping rule, our repairs and our abstainers.

Differs from the report: few faces unless the contest's sets are given; its assignment says decreasing order, its code
prunes the least active channel first: both are shown. Where ``published_pruning_curve.csv`` is missing, our own ranking
stands for the published order.
"""

from __future__ import annotations

from pathlib import Path

from badnets.records.blocks import Sheets
from badnets.records.model import JSON
from badnets.records.study import Variant
from badnets.studies.study import Outcome, Results, Settings, Study, Trial
from badnets.studies.trials import by_prefix
from badnets.studies.vora2023_goodnet.cures import (
    NETWORKS,
    STRONGEST,
    SUNGLASSES,
    UNABLE,
    Cured,
    Cures,
    Trials,
    abstainer_rows,
    abstainer_table,
    cure,
    cure_rows,
    cure_table,
    rows_before,
)
from badnets.studies.vora2023_goodnet.data import NAME, Files, find_files, read_curve, read_faces
from badnets.studies.vora2023_goodnet.pruning import (
    Loaded,
    Pruned,
    check_loader,
    curve_rows,
    loader_rows,
    prune_and_compare,
    pruning_curves,
    stop_rows,
    table_bars,
    table_rows,
)
from badnets.studies.vora2023_goodnet.sheets import write_contact_sheet

QUICK_METHODS = ("fine-tune",)


def trials(settings: Settings) -> list[Trial]:
    """The strongest repair for each split of the faces first, for it takes longest."""
    find_files(settings.data)  # what is missing is said before anything runs
    spec: JSON = {"data": {"name": NAME, **({"path": settings.data} if settings.data else {})}}
    networks = {"networks": list(NETWORKS)}
    out = []
    if not settings.quick:
        strong = {**spec, **networks, "method": STRONGEST, "abstain": True}
        seeds = range(1, settings.seeds + 1)
        out = [Trial(name=f"strongest-s{seed}", spec=strong, seed=seed, work=cure, result=Cures) for seed in seeds]
    pruning, loader = ({**spec, "part": part} for part in ("pruning", "loader"))
    out.append(Trial(name="pruning", spec=pruning, seed=1, work=prune_and_compare, result=Pruned))
    out.append(Trial(name="loader", spec=loader, seed=1, work=check_loader, result=Loaded))
    for method in _methods(quick=settings.quick):
        one = {**spec, **networks, "method": method}
        out.append(Trial(name=f"repair-{method}", spec=one, seed=1, work=cure, result=Cures))
    return out


def _methods(*, quick: bool) -> list[str]:
    from badnets.defenses.repairs import REPAIRS

    names = [name for name in REPAIRS.own if name != STRONGEST and name not in UNABLE]
    return [name for name in names if not quick or name in QUICK_METHODS]


def assemble(settings: Settings, results: Results, folder: Path) -> Outcome:
    """Rows in the order of STUDIES: loader, curve, stops, tables, then our own methods."""
    variant: Variant = "quick" if settings.quick else "published"
    own: Variant = "quick" if settings.quick else "corrected"
    files = find_files(settings.data)
    curve = [] if files.curve is None else read_curve(files.curve)
    pruned: Pruned = results["pruning"].results
    strongest: Trials = by_prefix(results, "strongest-")
    tried = {STRONGEST: strongest} if strongest else {}
    tried |= {name.removeprefix("repair-"): [results[name]] for name in results if name.startswith("repair-")}
    before, lines = rows_before(next(iter(tried.values()), []), own)
    rows = [
        *loader_rows(results["loader"].results, variant),
        *curve_rows(pruned, curve, variant),
        *stop_rows(pruned, curve, variant),
        *table_rows(pruned, variant),
        *before,
    ]
    for method, trials in tried.items():
        more, cured = cure_rows(method, trials, own)
        rows, lines = [*rows, *more], [*lines, *cured]
    refusing, abstainers = abstainer_rows(strongest, own)
    return Outcome(
        rows=[*rows, *refusing],
        blocks=[
            *pruning_curves(pruned.curves, curve),
            *table_bars(pruned.tables),
            cure_table(lines),
            abstainer_table(abstainers),
            _contact_sheets(files, pruned, strongest, folder),
        ],
    )


def _contact_sheets(files: Files, pruned: Pruned, strongest: Trials, folder: Path) -> Sheets:
    """A picture for each network, beside the record and never in it."""
    faces = {"clean": read_faces(files.faces[2], "clean"), "triggered": read_faces(files.faces[3], "triggered")}
    names = []
    for name in SUNGLASSES:
        answers = dict(pruned.answers) if name == "lab3" else {}
        cured = strongest[0].results.networks.get(name) if strongest else None
        if isinstance(cured, Cured):
            answers[STRONGEST] = cured.answers
        if answers:
            names.append(write_contact_sheet(folder / f"contact-sheet-{name}.png", faces, answers).name)
    return Sheets(title="Faces and what each network says", files=tuple(names))


STUDY = Study(
    name="vora2023-goodnet",
    title="Pruning and GoodNets on a backdoored face network",
    published=(
        "The report prunes a network that knows 1,283 faces and takes anyone with purple sunglasses for number 0. Each "
        "pruned network is paired with the original: where they differ, the answer is class N+1. Attack success "
        "stayed at 100 % until accuracy had fallen by 4 points, and was 80.65 % at 10; the pairs did no better."
    ),
    summary="pruning and GoodNets on a real face network; what our repairs and abstainers do to it",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
    trial_word="trials",
)
