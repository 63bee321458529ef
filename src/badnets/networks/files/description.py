"""What is known of a network from its file alone, whatever program wrote it; of ours read without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from badnets.core.files import file_digest
from badnets.networks.files.header import FORMAT, parse
from badnets.records.model import JSON

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Opened:
    """How a file was opened: ``safely`` (None: it was not, or not as a whole), and by what, in words."""

    safely: bool | None
    words: str


@dataclass(frozen=True, kw_only=True)
class Description:
    """Of the network in ``file``; None is what the file does not say. ``input_size`` is (channels, height, width),
    ``numbers`` how many there are in its tensors, ``provenance`` how the file says that it was made; ``fits`` are
    architectures that its tensors are of, ``says`` is what else it says of itself, in words."""

    file: Path
    sha256: str
    size: int
    format: str
    opened: Opened
    architecture: str | None = None
    arguments: JSON = field(default_factory=dict)
    task: str | None = None
    class_names: tuple[str, ...] | None = None
    input_size: Size | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    numbers: int | None = None
    provenance: JSON = field(default_factory=dict)
    fits: tuple[str, ...] = ()
    says: tuple[str, ...] = ()


def described_file(file: Path, **said: Any) -> Description:
    """Of ``file``, with what is ``said`` of it."""
    return Description(file=file, sha256=file_digest(file), size=file.stat().st_size, **said)


def described_header(file: Path, opened: Opened | None = None) -> Description:
    """Of a file of ours, by its header alone. Raises ``BadInput`` for what is none."""
    header, tensors = parse(file)
    known = {name: getattr(header, name) for name in ("architecture", "arguments", "class_names", "input_size")}
    whole = Opened(True, "by its header, with the place of every tensor; nothing in it was run")
    return described_file(
        file,
        format=FORMAT,
        opened=opened or whole,
        mean=header.mean,
        std=header.std,
        numbers=numbers({name: tuple(shape) for name, (_, shape) in tensors.items()}),
        provenance=header.provenance,
        **known,
    )


def numbers(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many there are in tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())
