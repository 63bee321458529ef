"""What study C1 needs on disk: three networks of the contest CSAW-HackML-2020, faces, and what was published.

Either the contest's full sets (``cl/valid.h5``, ``cl/test.h5``, ``bd/bd_valid.h5``, ``bd/bd_test.h5``), or a few faces
(``clean_faces.h5``, ``sunglasses_faces.h5``), which then serve for validation and for the test.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from badnets.core.cache import cache_dir
from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.data.formats.arrays import read_hdf5
from badnets.data.formats.decode import read_picture
from badnets.data.images import ImageData
from badnets.studies.study import facts

if TYPE_CHECKING:
    from badnets.networks.network import ImageNetwork

FACTS = facts(__package__)
NAME = "csaw-hackml"
CLASSES = 1283
LAYER = "conv_3"
FIT_IDENTITIES = 40
RANGES: Mapping[str, str] = {"lab3": "0-255", "sunglasses": "0-1", "anonymous_1": "0-1"}
"""The networks, and the range of pixel values that each was trained with."""
_FOLDERS = ("", "data", "models", "lab3", "lab3/data", "lab3/models", NAME)
_CONTEST = ("cl/valid.h5", "bd/bd_valid.h5", "cl/test.h5", "bd/bd_test.h5")
_FEW = ("clean_faces.h5", "sunglasses_faces.h5")


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where everything lies. ``faces`` are clean and triggered validation faces, clean and triggered test faces;
    ``full`` whether these are the contest's sets; ``samples`` and ``curve`` are None where they are missing."""

    weights: Mapping[str, Path]
    faces: tuple[Path, Path, Path, Path]
    full: bool
    samples: Path | None
    curve: Path | None


def find_files(given: str | None) -> Files:
    """Everything in the folder that the user gave; what it lacks, and all without one, in ``$BADNETS_DATA`` (there in
    ``csaw-hackml`` or directly) and in the cache.

    Raises ``BadInput`` that says what is missing.
    """
    if given is not None and not Path(given).expanduser().is_dir():
        raise BadInput(f"expected a folder with the contest's networks and faces, got {given}; check --data")
    named = filter(None, (given, os.environ.get("BADNETS_DATA")))
    roots = [*(Path(place).expanduser() for place in named), cache_dir() / "data"]
    named_as = {name: (f"{name}_bd_weights.h5", *(("bd_weights.h5",) if name == "lab3" else ())) for name in RANGES}
    weights = {name: path for name, names in named_as.items() if (path := _first(roots, *names)) is not None}
    if "lab3" not in weights:
        raise BadInput(_missing("lab3_bd_weights.h5", given))
    for root in roots:
        for names in (_CONTEST, _FEW + _FEW):
            faces = [path for name in names if (path := _first([root], name)) is not None]
            if len(faces) == len(names):
                samples = _first(roots, "samples/labels.csv")
                return Files(
                    weights=weights,
                    faces=(faces[0], faces[1], faces[2], faces[3]),
                    full=names is _CONTEST,
                    samples=None if samples is None else samples.parent,
                    curve=_first(roots, "published_pruning_curve.csv"),
                )
    raise BadInput(_missing("clean_faces.h5 and sunglasses_faces.h5, or cl/valid.h5, bd/bd_valid.h5 and so on", given))


def _first(roots: Sequence[Path], *names: str) -> Path | None:
    places = (root / folder / name for root in roots for folder in _FOLDERS for name in names)
    return next((path for path in places if path.is_file()), None)


def _missing(what: str, given: str | None) -> str:
    where = given or f"{NAME} below $BADNETS_DATA"
    return f"expected the contest's data (CSAW-HackML-2020) in {where}, got no {what}; pass its folder with --data"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One published step: the channel that goes, and both shares (0..1) after it."""

    channel: int
    clean_accuracy: float
    asr: float


def read_curve(path: Path) -> list[Step]:
    """The steps of ``published_pruning_curve.csv``; ``BadInput`` for another layout."""
    names = ("channel", "clean_accuracy_percent", "asr_percent")
    try:
        rows = [[row[name] for name in names] for row in csv.DictReader(path.read_text("utf-8").splitlines())]
        return [Step(channel=int(n), clean_accuracy=float(a) / 100, asr=float(s) / 100) for n, a, s in rows]
    except (KeyError, TypeError, ValueError, OSError):
        wanted = f"{', '.join(names[:-1])} and {names[-1]}"
        raise BadInput(f"expected the columns {wanted} in {path}, got others; get it again") from None


def open_face_network(files: Files, name: str) -> ImageNetwork:
    """One of the networks, in evaluation mode."""
    from badnets.networks.files.foreign import open_foreign

    return open_foreign(files.weights[name], arch="deepid", classes=CLASSES, input_range=RANGES[name])


def read_faces(path: Path, name: str) -> ImageData:
    """All faces of a file, with the classes of the networks."""
    return named(read_hdf5(path, name=name))


def read_samples(folder: Path) -> tuple[list[dict[str, str]], ImageData]:
    """The rows of ``labels.csv`` and their pictures; all labels are 0, the target of the attacks."""
    try:
        rows = list(csv.DictReader((folder / "labels.csv").read_text(encoding="utf-8").splitlines()))
        pictures = [read_picture(folder / row["image"], channels=3) for row in rows]
    except (KeyError, OSError) as error:
        raise BadInput(f"expected labels.csv and its pictures in {folder}, got {error}; get them again") from None
    return rows, named(ImageData.of(np.stack(pictures), np.zeros(len(rows), np.int64), name="samples"))


def named(data: ImageData) -> ImageData:
    """``data`` with a name for each of the networks' classes."""
    return replace(data, class_names=tuple(map(str, range(CLASSES))))


def defender_and_rest(files: Files, seed: int) -> tuple[ImageData, ImageData]:
    """The clean faces that a defender has, and those on which accuracy is measured.

    Of the contest's sets: validation and test. Of few faces: those of 40 identities, drawn anew for each seed, and the
    others.
    """
    if files.full:
        return read_faces(files.faces[0], "validation faces"), read_faces(files.faces[2], "test faces")
    faces = read_faces(files.faces[0], "clean faces")
    identities = Seed(seed).derive("identities").rng.permutation(np.unique(faces.labels))
    known = np.isin(faces.labels, identities[:FIT_IDENTITIES])
    return faces.take(np.flatnonzero(known)), faces.take(np.flatnonzero(~known))


def files_of(spec: Mapping[str, Any]) -> Files:
    """The files of a trial."""
    return find_files(spec["data"].get("path"))
