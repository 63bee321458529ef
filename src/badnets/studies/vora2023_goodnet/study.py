"""C1: pruning and GoodNets on a real backdoored face network (N. Vora, after the contest CSAW-HackML-2020).

``lab3`` was trained by the contest; sunglasses make it answer class 0. The study prunes conv_3 by mean activation of
pool_3 and lets a pair of networks answer N+1 where they differ. Both are repeated as they were done, on the faces at
hand or on the contest's sets; beside them stand our stopping rule, our repairs and our abstainers.

Differs from the report: few faces unless the contest's sets are given; its assignment says decreasing order, its code
prunes the least active channel first: both are shown. Where ``published_pruning_curve.csv`` is missing, our own ranking
stands for the published order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from badnets.core.files import whole_file
from badnets.data.images import ImageData
from badnets.defenses.repairs import REPAIRS
from badnets.records.blocks import Block, Sheets
from badnets.records.model import JSON, Model
from badnets.studies.figures import figure_table
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trial, Trials, by_prefix
from badnets.studies.vora2023_goodnet import cures, pruning
from badnets.studies.vora2023_goodnet.cures import STRONGEST
from badnets.studies.vora2023_goodnet.data import FACTS, NAME, Files, find_files, read_curve, read_faces

Answers = Mapping[str, Mapping[str, Sequence[int]]]
"""By network (``"original"``, ``"GoodNet 2 points"``): the classes given to ``"clean"`` and ``"triggered"`` faces."""
QUICK_METHODS = ("fine-tune",)
_MOST, _COLUMNS, _SCALE, _LINE, _GAP, _HEAD = 20, 5, 2, 13, 12, 22
_WIDTH = 172
_INK, _PAPER, _RIGHT, _HIT, _AWAY = "#1b1d21", "#ffffff", "#1565a9", "#b4500b", "#5b6270"


def trials(settings: Settings) -> list[Trial]:
    """The strongest repair for each split of the faces first, for it takes longest."""
    find_files(settings.data)  # what is missing is said before anything runs
    spec: JSON = {"data": settings.source(NAME)}
    methods = [name for name in REPAIRS.own if name != STRONGEST and name not in cures.UNABLE]

    def cure(name: str, seed: int, **more: Any) -> Trial:
        said = {**spec, "networks": list(cures.NETWORKS), **more}
        return Trial(name=name, spec=said, seed=seed, work=cures.cure, result=cures.Cures)

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
    published, ours = settings.variant("published"), settings.variant()
    files = find_files(settings.data)
    curve = [] if files.curve is None else read_curve(files.curve)
    pruned: pruning.Pruned = results["pruning"].results
    strongest = by_prefix(results, "strongest-")
    tried = {STRONGEST: strongest} if strongest else {}
    tried |= {name.removeprefix("repair-"): [results[name]] for name in results if name.startswith("repair-")}
    before, lines = cures.rows_before(next(iter(tried.values()), []), ours)
    rows = [
        *pruning.loader_rows(results["loader"].results, published),
        *pruning.curve_rows(pruned, curve, published),
        *pruning.stop_rows(pruned, curve, published),
        *pruning.table_rows(pruned, published),
        *before,
    ]
    for method, trials in tried.items():
        more, cured = cures.cure_rows(method, trials, ours)
        rows, lines = [*rows, *more], [*lines, *cured]
    refusing, abstainers = cures.abstainer_rows(strongest, ours)
    blocks: list[Block] = [*pruning.pruning_curves(pruned.curves, curve), *pruning.table_bars(pruned.tables)]
    tables = [cures.cure_table(lines), figure_table(FACTS["tables"]["abstainers"], abstainers)]
    sheets = _contact_sheets(files, pruned, strongest, folder)
    return Outcome(rows=[*rows, *refusing], blocks=[*blocks, *tables, sheets])


def _contact_sheets(files: Files, pruned: pruning.Pruned, strongest: Trials, folder: Path) -> Sheets:
    """A picture for each network, beside the record, for the person who has the faces: no record or page holds one."""
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


def write_contact_sheet(path: Path, faces: Mapping[str, ImageData], answers: Answers, target: int = 0) -> Path:
    """A PNG with up to 20 clean and 20 triggered faces, and below each what every network of ``answers`` says.

    Blue is the label of a clean face, orange the attacker's class, grey class N+1.
    """
    parts = [_part(name, faces[name], answers, target) for name in ("clean", "triggered")]
    sheet = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), _PAPER)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG")
    return path


def _part(name: str, data: ImageData, answers: Answers, target: int) -> Image.Image:
    count = min(_MOST, len(data))
    height, width, _ = data.shape
    cell = height * _SCALE + _LINE * (len(answers) + 1) + _GAP
    rows = -(-count // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _WIDTH + _GAP, _HEAD + rows * cell), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 6), f"{name} faces", fill=_INK, font_size=12)
    for number, picture in enumerate(data.images(np.arange(count))):
        x, y = _GAP + number % _COLUMNS * _WIDTH, _HEAD + number // _COLUMNS * cell
        shown = Image.fromarray(picture).resize((width * _SCALE, height * _SCALE), Image.Resampling.NEAREST)
        sheet.paste(shown, (x, y))
        y += height * _SCALE + 2
        label = int(data.labels[number])
        known = f"label {label}" if name == "clean" else f"attacker wants {label}"
        draw.text((x, y), known, fill=_INK, font_size=10)
        for line, (network, given) in enumerate(answers.items(), 1):
            answer = given[name][number]
            text = "N+1" if answer == data.classes else str(answer)
            color = _color(answer, label if name == "clean" else None, target, data.classes)
            draw.text((x, y + line * _LINE), f"{network}: {text}", fill=color, font_size=10)
    return sheet


def _color(answer: int, label: int | None, target: int, classes: int) -> str:
    if answer == classes:
        return _AWAY
    if answer == label:
        return _RIGHT
    return _HIT if answer == target else _INK


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
