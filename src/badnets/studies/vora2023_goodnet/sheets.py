"""Study C1: contact sheets, faces with the answers of each network, for the person who has the faces.

They lie in the study's folder and nowhere else: no record or page holds a face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from badnets.core.files import whole_file

if TYPE_CHECKING:
    from PIL.Image import Image

    from badnets.data.images import ImageData

Answers = Mapping[str, Mapping[str, Sequence[int]]]
"""By network (``"original"``, ``"GoodNet 2 points"``): the classes given to ``"clean"`` and ``"triggered"`` faces."""

_MOST, _COLUMNS, _SCALE, _LINE, _GAP, _HEAD = 20, 5, 2, 13, 12, 22
_WIDTH = 172
_INK, _PAPER, _RIGHT, _HIT, _AWAY = "#1b1d21", "#ffffff", "#1565a9", "#b4500b", "#5b6270"


def write_contact_sheet(path: Path, faces: Mapping[str, ImageData], answers: Answers, target: int = 0) -> Path:
    """A PNG with up to 20 clean and 20 triggered faces, and below each what every network of ``answers`` says.

    Blue is the label of a clean face, orange the attacker's class, grey class N+1.
    """
    from PIL import Image

    parts = [_part(name, faces[name], answers, target) for name in ("clean", "triggered")]
    sheet = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), _PAPER)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG")
    return path


def _part(name: str, data: ImageData, answers: Answers, target: int) -> Image:
    from PIL import Image, ImageDraw

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
