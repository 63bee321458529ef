"""A small network in a file, and what is known of it: with everything, and with names that mean harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.report.conftest import example_record

from badnets.core.files import file_digest
from badnets.networks.files.describe import described
from badnets.networks.files.own import save_network
from badnets.networks.registry import build_network
from badnets.records.read import write_record
from badnets.report.cards.known import Known, known_of

EVIL = "<script>alert(1)</script>|`x`![a](http://b)\u202e"
MADE = {"made_by": "badnets", "data": "signs-us", "seed": 1}
BACKDOOR = {"warning": "this network carries a backdoor on purpose", "planted": "poisoned 80 pictures: stop -> yield"}


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """``model(class_names, **provenance)``: a file."""

    def write(class_names: tuple[str, ...] = ("stop", "yield"), **provenance: Any) -> Path:
        network = build_network("perceptron", class_names=class_names, input_size=(1, 8, 8), seed=1)
        network.provenance |= provenance
        save_network(network, tmp_path / "network.safetensors")
        return tmp_path / "network.safetensors"

    return write


@pytest.fixture
def whole(model: Callable[..., Path], found: Callable[..., Path]) -> Callable[..., Known]:
    """``whole()``: a network with its run beside it and an audit of it; changes are those of the audit."""

    def make(names: tuple[str, ...] = ("stop", "yield"), **changes: Any) -> Known:
        file = model(names, **MADE, backdoor=BACKDOOR)
        sha = file_digest(file)
        write_record(file.parent / "record.json", example_record().model_copy(update={"files": {file.name: sha}}))
        network = build_network("perceptron", class_names=names, input_size=(1, 8, 8), seed=1)
        changes = {"network_sha256": sha, "date": "2026-10-01", "p": 0.01, **changes}
        return known_of(file, described(file), finding=found(network, 1, **changes))

    return make
