"""The bill of materials of a network: CycloneDX 1.6 as JSON, with a model card in it.

The library that exists has no class for model cards, so it is written as plain JSON here, and held against the
published schema in the tests. The same facts give the same text but for its number and its time; with
``SOURCE_DATE_EPOCH`` set these are the same too.

Source: ECMA-424 (CycloneDX 1.6).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from badnets.core import VERSION
from badnets.core.clock import fixed, now
from badnets.core.files import digest, file_digest
from badnets.core.text import CELL, neutral
from badnets.records.model import JSON
from badnets.report.cards.facts import BLANKS, TASKS, TO_FILL, input_words, metrics, parts, title
from badnets.report.cards.known import Known
from badnets.report.cards.seals import seals
from badnets.report.words.certificate_words import certificate_verdict
from badnets.report.words.finding_words import finding_verdict, limits

SPEC = "1.6"
NO_LICENCE = [{"license": {"name": "NOASSERTION"}}]
"""What SPDX says where nobody has said which licence; the field to fill in."""
_FAMILIES = ("resnet", "densenet", "vgg", "mobilenet", "googlenet", "lenet", "faster-rcnn", "perceptron", "cnn")
_KEPT = "\n\t"


def bill(known: Known) -> JSON:
    """The whole bill, ready to be written."""
    model = _component(known)
    made = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": "",
        "version": 1,
        "metadata": {
            "timestamp": now().isoformat().replace("+00:00", "Z"),
            "tools": {"components": [{"type": "application", "name": "badnets", "version": VERSION}]},
            "component": model,
        },
        "dependencies": [{"ref": model["bom-ref"]}],
    }
    whole: JSON = _harmless(made)
    number = uuid.uuid4() if fixed() is None else uuid.uuid5(uuid.NAMESPACE_URL, digest(whole))
    return {**whole, "serialNumber": number.urn}


def _component(known: Known) -> JSON:
    """The network: its bytes, whose licence is to be filled in, where it comes from, and its card."""
    told = known.description
    return _filled(
        {
            "type": "machine-learning-model",
            "bom-ref": f"sha256:{told.sha256}",
            "name": told.file.name,
            "description": ". ".join(filter(None, (known.declared, title(known)))),
            "hashes": _hashes(told.sha256),
            "licenses": NO_LICENCE,
            "pedigree": _pedigree(known),
            "externalReferences": list(_references(known)),
            "modelCard": _card(known),
            "properties": list(_properties(known)),
        }
    )


def _card(known: Known) -> JSON:
    told, shape = known.description, input_words(known)
    card = {
        "modelParameters": {
            "approach": {"type": "supervised"} if known.class_names else None,
            "task": TASKS.get(told.task or ""),
            "architectureFamily": _family(known.architecture),
            "modelArchitecture": known.architecture,
            "datasets": list(_datasets(known)),
            "inputs": [{"format": f"image ({shape})" if shape else "image"}],
            "outputs": [{"format": one} for one in _outputs(known)],
        },
        "quantitativeAnalysis": {"performanceMetrics": [_metric(one) for one in metrics(known)]},
        "considerations": {
            "technicalLimitations": list(_limitations(known)),
            "ethicalConsiderations": [] if known.declared is None else [{"name": known.declared}],
        },
    }
    classes = [_property(f"class:{number}", name) for number, name in enumerate(known.class_names or ())]
    return _filled({**card, "properties": classes})


def _family(name: str | None) -> str | None:
    return next((family for family in _FAMILIES if family in (name or "").lower()), None)


def _outputs(known: Known) -> list[str]:
    """What it answers."""
    if known.class_names is None:
        return ["numbers whose meaning the file does not say"]
    count = len(known.class_names)
    task = known.description.task
    boxes = {"detect": ["boxes in pixels, each with a class and a confidence"], "locate": ["a box in pixels"]}
    scores = [] if task == "detect" else [f"scores (logits) of {count:,} classes"]
    return [*scores, *boxes.get(task or "", [])]


def _metric(one: Any) -> JSON:
    figure = one.figure
    found: JSON = {"type": one.key, "value": _number(float(figure)), "slice": f"{one.name}, {one.of}"}
    if figure.low is not None and figure.high is not None:
        found["confidenceInterval"] = {"lowerBound": _number(figure.low), "upperBound": _number(figure.high)}
    return found


def _number(value: float) -> str:
    """Of a share 0..1 enough digits to count by."""
    return f"{value:.6g}"


def _datasets(known: Known) -> Iterator[JSON]:
    """What it was trained, repaired and audited on, each with its digest."""
    run, finding, certificate = known.run, known.finding, known.certificate
    if run is not None:
        yield _dataset(run.data_name, "training and testing", run.data_digest)
    elif (data := known.said("data")) is not None:
        yield _dataset(str(data), "training, as the file says", None)
    if certificate is not None:
        yield _dataset(certificate.data_name, "the repair and its test", certificate.data_digest)
    if finding is not None and finding.pictures:
        yield _dataset(str((finding.data or {}).get("name") or "not named"), "the audit", finding.data_digest)


def _dataset(name: str, used: str, sha256: str | None) -> JSON:
    """The digest is of pictures and labels, however they are stored: no hash of a file."""
    about = [_property("digest-of-pictures-and-labels", sha256)] if sha256 else []
    more = [_property("to-fill:licence", BLANKS["licence of the training data"])]
    return {"type": "dataset", "name": name, "description": f"for {used}", "contents": {"properties": about + more}}


def _pedigree(known: Known) -> JSON | None:
    """The network that it was made from, where it was."""
    file, sha256 = known.said("file"), known.said("sha256")
    ancestors: list[JSON] = []
    if isinstance(file, str) and isinstance(sha256, str) and sha256 != known.description.sha256:
        hashes = _hashes(sha256)
        ancestors.append(_filled({"type": "machine-learning-model", "name": file, "hashes": hashes}))
    if known.certificate is not None:
        ancestors.append({"type": "machine-learning-model", "name": Path(known.certificate.model).name or "before"})
    notes = "" if known.certificate is None else certificate_verdict(known.certificate)
    return _filled({"ancestors": ancestors, "notes": notes}) or None


def _hashes(sha256: str) -> list[JSON]:
    """None where it is no SHA-256, whatever a file says."""
    proper = len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")
    return [{"alg": "SHA-256", "content": sha256}] if proper else []


def _references(known: Known) -> Iterator[JSON]:
    """What lies beside it."""
    signed = known.signed
    for kind, place in (("digital-signature", signed.signature), ("attestation", signed.attestations)):
        if place is not None and place.is_file():
            yield {"type": kind, "url": quote(place.name), "hashes": _hashes(file_digest(place))}


def _limitations(known: Known) -> Iterator[str]:
    """What is known to be wrong with it, and what an audit does not say."""
    if known.declared is not None:
        yield f"{known.declared} ({known.planted})"
    if known.finding is not None:
        yield finding_verdict(known.finding)
        yield from limits(known.finding, shown=False)


def _properties(known: Known) -> Iterator[JSON]:
    """The seals, all rows of the card, and what is left to fill in."""
    for seal in seals(known):
        yield _property(f"seal:{seal.kind}", f"{seal.state}: {seal.words}")
    for part in parts(known):
        for name, value in part.rows:
            if not value.startswith(TO_FILL):
                yield _property(f"{part.title}:{name}".lower().replace(" ", "-"), value)
    for name, value in BLANKS.items():
        yield _property(f"to-fill:{name}".replace(" ", "-"), value)


def _property(name: str, value: str) -> JSON:
    return {"name": f"badnets:{name}", "value": value}


def _filled(value: JSON) -> JSON:
    """Without what says nothing, inside too."""
    inside = {name: _filled(one) if isinstance(one, dict) else one for name, one in value.items()}
    return {name: one for name, one in inside.items() if one not in (None, "", [], {})}


def _harmless(value: Any) -> Any:
    """Texts without characters that hide or reverse others, and none without end: strangers wrote some."""
    if isinstance(value, dict):
        return {name: _harmless(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    return neutral(value, 2 * CELL) if isinstance(value, str) else value
