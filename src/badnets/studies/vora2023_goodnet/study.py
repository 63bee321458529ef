"""C1: pruning and GoodNets on a real backdoored face network (N. Vora, after the contest CSAW-HackML-2020).

``lab3`` was trained by the contest; sunglasses make it answer class 0. The study prunes conv_3 by mean activation of
pool_3 and lets a pair of networks answer N+1 where they differ. Both are repeated as they were done, on the faces at
hand or on the contest's sets; beside them stand our stopping rule, our repairs and our abstainers.

Differs from the report: few faces unless the contest's sets are given; its assignment says decreasing order, its code
prunes the least active channel first: both are shown. Where ``published_pruning_curve.csv`` is missing, our own ranking
stands for the published order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from badnets.records.blocks import Sheets
from badnets.records.model import JSON, Model
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trial
from badnets.studies.trials import by_prefix
from badnets.studies.vora2023_goodnet import cures, pruning
from badnets.studies.vora2023_goodnet.cures import STRONGEST
from badnets.studies.vora2023_goodnet.data import FACTS, NAME, Files, find_files, read_curve, read_faces
from badnets.studies.vora2023_goodnet.sheets import write_contact_sheet

QUICK_METHODS = ("fine-tune",)


def trials(settings: Settings) -> list[Trial]:
    """The strongest repair for each split of the faces first, for it takes longest."""
    from badnets.defenses.repairs import REPAIRS

    find_files(settings.data)  # what is missing is said before anything runs
    spec: JSON = {"data": settings.source(NAME)}
    methods = [name for name in REPAIRS.own if name != STRONGEST and name not in cures.UNABLE]

    def cure(name: str, seed: int, **own: Any) -> Trial:
        given = {**spec, "networks": list(cures.NETWORKS), **own}
        return Trial(name=name, spec=given, seed=seed, work=cures.cure, result=cures.Cures)

    def alone(name: str, work: Callable[[Trial, Path], Done[Any]], result: type[Model]) -> Trial:
        return Trial(name=name, spec={**spec, "part": name}, seed=1, work=work, result=result)

    strongest = () if settings.quick else settings.each_seed
    return [
        *(cure(f"strongest-s{seed}", seed, method=STRONGEST, abstain=True) for seed in strongest),
        alone("pruning", pruning.prune_and_compare, pruning.Pruned),
        alone("loader", pruning.check_loader, pruning.Loaded),
        *(cure(f"repair-{name}", 1, method=name) for name in (QUICK_METHODS if settings.quick else methods)),
    ]


def assemble(settings: Settings, results: Results, folder: Path) -> Outcome:
    """Rows in the order of STUDIES: loader, curve, stops, tables, then our own methods."""
    variant, own = settings.variant("published"), settings.variant()
    files = find_files(settings.data)
    curve = [] if files.curve is None else read_curve(files.curve)
    pruned: pruning.Pruned = results["pruning"].results
    strongest: cures.Trials = by_prefix(results, "strongest-")
    tried = {STRONGEST: strongest} if strongest else {}
    tried |= {name.removeprefix("repair-"): [results[name]] for name in results if name.startswith("repair-")}
    before, lines = cures.rows_before(next(iter(tried.values()), []), own)
    rows = [
        *pruning.loader_rows(results["loader"].results, variant),
        *pruning.curve_rows(pruned, curve, variant),
        *pruning.stop_rows(pruned, curve, variant),
        *pruning.table_rows(pruned, variant),
        *before,
    ]
    for method, trials in tried.items():
        more, cured = cures.cure_rows(method, trials, own)
        rows, lines = [*rows, *more], [*lines, *cured]
    refusing, abstainers = cures.abstainer_rows(strongest, own)
    return Outcome(
        rows=[*rows, *refusing],
        blocks=[
            *pruning.pruning_curves(pruned.curves, curve),
            *pruning.table_bars(pruned.tables),
            cures.cure_table(lines),
            cures.abstainer_table(abstainers),
            _contact_sheets(files, pruned, strongest, folder),
        ],
    )


def _contact_sheets(files: Files, pruned: pruning.Pruned, strongest: cures.Trials, folder: Path) -> Sheets:
    """A picture for each network, beside the record and never in it."""
    faces = {"clean": read_faces(files.faces[2], "clean"), "triggered": read_faces(files.faces[3], "triggered")}
    names = []
    for name in cures.SUNGLASSES:
        answers = dict(pruned.answers) if name == "lab3" else {}
        cured = strongest[0].results.networks.get(name) if strongest else None
        if isinstance(cured, cures.Cured):
            answers[STRONGEST] = cured.answers
        if answers:
            names.append(write_contact_sheet(folder / f"contact-sheet-{name}.png", faces, answers).name)
    return Sheets(title="Faces and what each network says", files=tuple(names))


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
