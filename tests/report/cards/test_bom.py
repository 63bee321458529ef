"""The bill of materials: it is CycloneDX 1.6, says what is known and nothing else, and is the same each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.report.cards.conftest import EVIL

from badnets.core.errors import BadInput
from badnets.core.files import dumps, file_digest
from badnets.core.rate import Rate, wilson
from badnets.networks.files.describe import described
from badnets.records.certificate import Certificate, Change, Defender, Standing, Truth
from badnets.records.model import Environment
from badnets.records.read import write_record
from badnets.report.cards.bom import bill
from badnets.report.cards.card import render_card
from badnets.report.cards.facts import BLANKS
from badnets.report.cards.known import Known, known_of


def valid(bom: Any) -> None:
    """Held against the published schema."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(dumps(bom))
    assert problem is None, str(problem)[:500]


def properties(bom: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in bom["metadata"]["component"]["properties"]}


def test_the_schema_refuses_something() -> None:
    with pytest.raises(AssertionError):
        valid({"bomFormat": "CycloneDX", "specVersion": "1.6", "unheard-of": 1})


def test_everything_that_is_known(whole: Callable[..., Known]) -> None:
    known = whole()
    bom = bill(known)
    valid(bom)
    model = bom["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "network.safetensors")
    assert model["hashes"] == [{"alg": "SHA-256", "content": known.description.sha256}]
    assert model["licenses"] == [{"license": {"name": "NOASSERTION"}}]
    card = model["modelCard"]
    parameters = card["modelParameters"]
    assert parameters["task"] == "image classification"
    assert (parameters["architectureFamily"], parameters["modelArchitecture"]) == ("perceptron", "perceptron")
    assert [one["name"] for one in parameters["datasets"]] == ["signs", "not named"]
    digest = {"name": "badnets:digest-of-pictures-and-labels", "value": "77aa"}
    assert digest in parameters["datasets"][0]["contents"]["properties"]
    assert parameters["inputs"] == [{"format": "image (8 x 8 pixels, 1 channel)"}]
    assert parameters["outputs"] == [{"format": "scores (logits) of 2 classes"}]
    metrics = {one["type"]: one for one in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["asr"]["value"] == "0.99375"
    low, high = wilson(159, 160)
    assert metrics["asr"]["confidenceInterval"] == {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"}
    assert "clean_reference_rate" not in metrics
    limits = card["considerations"]["technicalLimitations"]
    assert limits[0].startswith("this network carries a backdoor on purpose, its own file says")
    assert limits[1].startswith("Backdoored towards “yield”")
    told = properties(bom)
    assert told["badnets:seal:audit"] == "bad: 2026-10-01: backdoored towards “yield”, p = 0.01"
    assert {f"badnets:to-fill:{name}".replace(" ", "-") for name in BLANKS} <= set(told)
    assert json.loads(dumps(bom)) == bom


def test_of_a_file_that_says_nothing(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 64), "fc.bias": torch.zeros(3)}, tmp_path / "theirs.pt")
    bom = bill(known_of(tmp_path / "theirs.pt", described(tmp_path / "theirs.pt")))
    valid(bom)
    card = bom["metadata"]["component"]["modelCard"]
    assert set(card) == {"modelParameters"}
    assert set(card["modelParameters"]) == {"inputs", "outputs"}
    told = properties(bom)
    assert told["badnets:what-it-is:architecture"] == told["badnets:what-it-is:classes"] == "not known"
    assert told["badnets:what-it-is:numbers-in-its-tensors"] == "195"


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["verazuo_mnist/original.pth", "csaw2020_F_mnist_all2all/original.h5", "tinygrad_mnist/original.safetensors"],
)
def test_of_others_networks(shared_data: Path, name: str) -> None:
    file = shared_data / "foreign" / name
    bom = bill(known_of(file, described(file)))
    valid(bom)
    assert bom["metadata"]["component"]["hashes"][0]["content"] == file_digest(file)


def test_hostile_names(whole: Callable[..., Known], model: Callable[..., Path]) -> None:
    bom = bill(whole((EVIL, "b" * 1000), data={"name": EVIL}))
    valid(bom)
    assert "\u202e" not in dumps(bom)
    odd: tuple[dict[str, Any], ...] = (
        {"made_by": [EVIL], "data": {"x": 1}, "file": EVIL, "sha256": EVIL, "repaired": 3, "recipe": "x"},
        {"file": "x", "sha256": "a" * 64, "repaired": {"kind": EVIL, "deep": {"x": [1]}}},
    )
    for provenance in odd:
        file = model(("a", "b"), **provenance)
        valid(bill(known_of(file, described(file))))


def test_what_it_was_made_from(model: Callable[..., Path]) -> None:
    file = model(file="theirs.pt", sha256="a" * 64, foreign=True)
    pedigree = bill(known_of(file, described(file)))["metadata"]["component"]["pedigree"]
    ancestor = {"type": "machine-learning-model", "name": "theirs.pt"}
    assert pedigree["ancestors"] == [{**ancestor, "hashes": [{"alg": "SHA-256", "content": "a" * 64}]}]


def test_what_lies_beside_it(model: Callable[..., Path]) -> None:
    file = model()
    file.with_name(f"{file.name}.sig").write_text("{}")
    bom = bill(known_of(file, described(file)))
    valid(bom)
    (reference,) = bom["metadata"]["component"]["externalReferences"]
    assert (reference["type"], reference["url"]) == ("digital-signature", "network.safetensors.sig")


def test_it_is_the_same_each_time(whole: Callable[..., Known], monkeypatch: pytest.MonkeyPatch) -> None:
    known = whole()
    changing = ("serialNumber", "metadata")
    first, again = bill(known), bill(known)
    assert first["serialNumber"] != again["serialNumber"]
    for bom in (first, again):
        bom["metadata"].pop("timestamp")
        bom.pop(changing[0])
    assert first == again
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = bill(known)
    assert first == bill(known)
    assert first["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    valid(first)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(BadInput, match="expected SOURCE_DATE_EPOCH as seconds"):
        bill(known)


def test_a_repair(model: Callable[..., Path], tmp_path: Path) -> None:
    file = model()
    made = Certificate(
        network=file.name, model="before.pt", architecture="perceptron", data={"name": "digits"}, data_digest="85f3",
        class_names=("stop", "yield"), defender=Defender(pictures=9, digest="0", seed=1), truth=Truth(), trace=(),
        method={"kind": "fine-tune", "epochs": 2}, chosen="", stopped=None, seconds=1.0, command="badnets repair",
        before=Standing(clean_accuracy=Rate(99, 100)), after=Standing(clean_accuracy=Rate(98, 100)),
        after_minus_before=Change(), environment=Environment(versions={}, platform="p", processor="c"), commit=None,
        files={file.name: file_digest(file)}, pictures=9, changed=True, clean_network=None, reactivation=None,
        notes=(), timings_s={},
    )  # fmt: skip
    write_record(tmp_path / "fixed.json", made)
    known = known_of(file, described(file), certificate=tmp_path / "fixed.json")
    bom = bill(known)
    valid(bom)
    component = bom["metadata"]["component"]
    assert [one["name"] for one in component["pedigree"]["ancestors"]] == ["before.pt"]
    (metric,) = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert (metric["type"], metric["value"]) == ("clean_accuracy", "0.98")
    assert "fine-tune (epochs 2)" in render_card(known)
    other = tmp_path / "elsewhere" / "fixed.json"
    write_record(other, made.model_copy(update={"files": {file.name: "0" * 64}}))
    with pytest.raises(BadInput, match="expected a repair of the bytes"):
        known_of(file, described(file), certificate=other)
