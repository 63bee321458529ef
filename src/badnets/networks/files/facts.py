"""What can be said of any network file without using it: format, tensors, layers, and which network it may be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from badnets.networks.files.candidates import fitting_names, nearest_names, parts
from badnets.networks.files.chains import chains
from badnets.networks.files.formats.entries import Entry, ForeignFile
from badnets.networks.files.formats.kinds import is_onnx, read_foreign
from badnets.networks.files.formats.onnx_file import read_onnx
from badnets.networks.files.tensors import reading
from badnets.records.model import JSON

_SIZES = ((28, 28), (32, 32), (64, 64), (224, 224))
"""Sides of pictures that are tried where a file does not say them."""


@dataclass(frozen=True)
class ForeignFacts:
    """Of one network in a file. ``says``: what an ONNX file says of itself, in words; ``layers``: those
    that the file describes, in words; ``problem``: why a description cannot be read; ``fits``: architectures that its
    tensors are of; ``near``: others, with the share of shapes."""

    format: str
    part: str
    entries: tuple[Entry, ...]
    layers: tuple[str, ...]
    problem: str
    fits: tuple[str, ...]
    near: tuple[str, ...]
    says: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """How many numbers there are."""
        return sum(math.prod(entry.shape) for entry in self.entries)

    def to_json(self) -> JSON:
        """As plain JSON."""
        return {
            "format": self.format,
            "part": self.part,
            "parameters": self.parameters,
            "tensors": [{"name": entry.name, "shape": list(entry.shape)} for entry in self.entries],
            "layers": list(self.layers),
            "problem": self.problem,
            "fits": list(self.fits),
            "nearest": list(self.near),
            "says": list(self.says),
        }


def foreign_facts(path: Path) -> list[ForeignFacts]:
    """The networks in a file that another program wrote. Raises ``BadInput`` for what is not opened."""
    with reading(path):
        if is_onnx(path):
            return [_onnx_facts(path)]
        return [_facts(file) for file in parts(read_foreign(path))]


def _onnx_facts(path: Path) -> ForeignFacts:
    file = read_onnx(path)
    return ForeignFacts(
        format="onnx",
        part="",
        entries=file.entries,
        layers=(),
        problem="",
        fits=("the network that it holds itself",),
        near=(),
        says=file.facts,
    )


def _facts(file: ForeignFile) -> ForeignFacts:
    fits = fitting_names([file])
    if not fits and _in_a_row(file.entries):
        fits = ["layers in a row (clean pictures tell which: --data)"]
    return ForeignFacts(
        format=file.format,
        part=file.part,
        entries=file.entries,
        layers=() if file.model is None else tuple(filter(None, (layer.words for layer in file.model.layers))),
        problem=file.problem,
        fits=tuple(fits),
        near=() if fits or file.model else tuple(nearest_names(file)),
    )


def _in_a_row(entries: Sequence[Entry]) -> bool:
    first = next((entry.shape for entry in entries if len(entry.shape) in (2, 4)), ())
    channels = first[1] if len(first) == 4 else 1
    sizes = [(channels, *sides) for sides in _SIZES]
    if len(first) == 2:
        sizes = [(c, *sides) for sides in _SIZES for c in (1, 3)]
    return any(chains(entries, size) for size in sizes)
