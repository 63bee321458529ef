"""A poisoned set as a folder of PNG files, for other programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from badnets.backdoors.plan import Poisoned
from badnets.core.errors import BadInput
from badnets.core.files import check_place, tidy, whole_folder, write_json
from badnets.data.images import as_pil
from badnets.records.verified import doubts

FORMAT = "badnets/export/1"
MANIFEST = "manifest.json"
_SETS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # what some file system does not take in a name

Progress = Callable[[str, int, int], None]


def export_pngs(
    poisoned: Poisoned, folder: Path, *, only_changed: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Write ``<class>/<row>.png`` for every row of ``poisoned`` (the class as planted) and ``manifest.json``.

    The folder appears whole or not at all, and can be loaded again as a folder of class folders. With ``only_changed``
    it holds the poisoned and cover rows alone. The manifest, which is given back too, says of each changed picture its
    ``file``, ``source_row`` in the clean data, ``true_class``, ``planted_class``, ``trigger`` kind and whether it is a
    ``cover`` row, and under ``classes`` which folder is which class. ``progress(what, done, total)``.

    Raises ``BadInput`` when ``folder`` exists and is not empty.
    """
    folder = folder.absolute()
    tidy(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"expected a new folder to export to, got {folder}, which is there already; choose another")
    check_place(folder)
    with whole_folder(folder) as partial:
        manifest = _write(poisoned, partial, only_changed=only_changed, progress=progress)
        write_json(partial / MANIFEST, manifest)
    return manifest


def _write(poisoned: Poisoned, folder: Path, *, only_changed: bool, progress: Progress | None) -> dict[str, Any]:
    data, plan = poisoned.data, poisoned.plan
    names = _folder_names(data.class_names)
    digits = len(str(max(0, len(data) - 1)))
    files = [f"{names[label]}/{row:0{digits}d}.png" for row, label in enumerate(data.labels.tolist())]
    wanted = poisoned.is_poisoned if only_changed else np.ones(len(data), dtype=bool)
    for label in np.unique(data.labels[wanted]) if only_changed else range(len(names)):
        (folder / names[label]).mkdir()  # of what was changed alone, no empty ones: they would make readers wonder
    for rows, pictures in data.batches(1000):
        for row, picture in zip(rows.tolist(), pictures, strict=True):
            if wanted[row]:  # they are many and small
                as_pil(picture).save(folder / files[row], format="PNG", compress_level=1)
        if progress is not None:
            progress("writing pictures", int(rows[-1]) + 1, len(data))
    columns = (poisoned.position, plan.rows, plan.labels, plan.part, plan.cover)
    changed = [
        {
            "file": files[position],
            "source_row": source,
            "true_class": data.class_names[poisoned.clean.labels[source]],
            "planted_class": data.class_names[label],
            "trigger": plan.parts[part].trigger.kind,
            "cover": cover,
        }
        for position, source, label, part, cover in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return {
        "format": FORMAT,
        "data": data.name,
        "mode": plan.mode,
        "only_changed": only_changed,
        "pictures": len(changed) if only_changed else len(data),
        **({"verified": False} if doubts() else {}),
        "classes": [{"name": n, "folder": f} for n, f in zip(data.class_names, names, strict=True)],
        "changed": changed,
    }


def _folder_names(class_names: Sequence[str]) -> list[str]:
    """Each class's name as a folder that every system takes, not hidden, and not taken for a set such as ``test``."""
    names: list[str] = []
    for number, name in enumerate(class_names):
        safe = _FORBIDDEN.sub("-", name).strip(" .")
        taken = {"", *_SETS, *(other.lower() for other in names)}
        refused = safe.lower() in taken or safe == "__MACOSX" or len(safe.encode()) > 200
        names.append(f"class-{number}" if refused else safe)
    return names
