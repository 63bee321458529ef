"""Attestations and policies: what is said of which bytes, by whom, and whether that is enough."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.networks.files.own import save_network
from badnets.networks.registry import build_network
from badnets.records.finding import Finding
from badnets.records.read import read_record
from badnets.trust.attestations import OURS, Attestation, attest, read_attestations, statement_of
from badnets.trust.keys import PrivateKey, PublicKey, make_keys, open_private, open_public
from badnets.trust.parties import KeySigner, KeyVerifier
from badnets.trust.policy import AuditRule, Policy, ProvenanceRule, judge, missing, read_policy
from badnets.trust.signing import sign
from badnets.trust.verify import verified

pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")
RUN = Path(__file__).resolve().parents[2] / "results" / "mnist-badnets" / "record.json"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[PrivateKey, PublicKey]:
    place = tmp_path_factory.mktemp("keys") / "alice"
    make_keys(place)
    return open_private(place), open_public(place.with_name("alice.pub"), "alice")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = build_network("perceptron", class_names=("a", "b"), input_size=(1, 8, 8), seed=1)
    save_network(network, tmp_path / "network.safetensors")
    return tmp_path / "network.safetensors"


@pytest.fixture
def finding(model: Path, found: Callable[..., Path]) -> Finding:
    network = build_network("perceptron", class_names=("a", "b"), input_size=(1, 8, 8), seed=1)
    record = read_record(found(network, 1, network_sha256=file_digest(model), p=0.02))
    assert isinstance(record, Finding)
    return record


def test_an_audit_is_attested_of_these_bytes(
    pair: tuple[PrivateKey, PublicKey], model: Path, finding: Finding, tmp_path: Path
) -> None:
    place = tmp_path / "network.safetensors.intoto.jsonl"
    statement = attest(finding, model, pair[0], place)
    assert statement["predicateType"] == f"{OURS}/audit/v1"
    assert statement["subject"] == [{"name": model.name, "digest": {"sha256": file_digest(model)}}]
    assert statement["predicate"]["p"] == "0.02"
    assert statement["predicate"]["tool"]["name"] == "badnets"
    attest(finding, model, pair[0], place)
    said, others = read_attestations(place, [pair[1]])
    assert (len(said), others) == (2, 0)
    assert said[0].kind == "audit"
    assert said[0].summary.startswith("backdoored towards b, p = 0.02, ground ")
    (line, _) = place.read_text().splitlines()
    assert json.loads(base64.b64decode(json.loads(line)["payload"])) == statement


def test_no_number_with_a_point_is_signed(model: Path, finding: Finding) -> None:
    def floats(value: object) -> list[float]:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [value] if isinstance(value, float) else [one for part in inside for one in floats(part)]

    assert floats(statement_of(finding, model)) == []


def test_a_finding_about_other_bytes_is_refused(model: Path, finding: Finding) -> None:
    with pytest.raises(BadInput, match="says nothing of this file"):
        statement_of(finding.model_copy(update={"network_sha256": "0" * 64}), model)
    with pytest.raises(BadInput, match="that names none"):
        statement_of(finding.model_copy(update={"network_sha256": None}), model)


def test_provenance_of_a_run(pair: tuple[PrivateKey, PublicKey], model: Path, tmp_path: Path) -> None:
    run = read_record(RUN)
    with pytest.raises(BadInput, match="expected the record of the bytes"):
        statement_of(run, model)
    mine = run.model_copy(update={"files": {"network.safetensors": file_digest(model)}})
    attest(mine, model, pair[0], tmp_path / "all.jsonl")
    ((said,), _) = read_attestations(tmp_path / "all.jsonl", [pair[1]])
    assert said.type == "https://slsa.dev/provenance/v1"
    assert said.predicate["buildDefinition"]["externalParameters"]["spec"]["network"] == "g1-cnn"
    assert said.summary == "g1-cnn trained by badnets on mnist; a backdoor was planted on purpose"
    (refused,) = judge([said], file_digest(model), Policy.trusting(pair[1]))
    assert not refused.ok
    assert refused.summary.endswith("the policy accepts none in which a backdoor was planted")
    allowing = Policy({pair[1]: ("provenance",)}, provenance=ProvenanceRule(planted=True))
    assert judge([said], file_digest(model), allowing)[0].ok


def test_records_that_attest_nothing(model: Path) -> None:
    study = read_record(RUN.parents[1] / "gu2017-mnist")
    with pytest.raises(BadInput, match="badnets/study"):
        statement_of(study, model)


def test_what_another_key_signs_does_not_count(
    pair: tuple[PrivateKey, PublicKey], model: Path, finding: Finding, tmp_path: Path
) -> None:
    make_keys(tmp_path / "bob")
    attest(finding, model, open_private(tmp_path / "bob"), tmp_path / "all.jsonl")
    assert read_attestations(tmp_path / "all.jsonl", [pair[1]]) == ([], 1)


def test_a_changed_attestation_does_not_count(
    pair: tuple[PrivateKey, PublicKey], model: Path, finding: Finding, tmp_path: Path
) -> None:
    place = tmp_path / "all.jsonl"
    attest(finding, model, pair[0], place)
    line = json.loads(place.read_text())
    told = base64.b64decode(line["payload"]).replace(b"backdoored", b"nothing-found", 1)
    place.write_text(json.dumps({**line, "payload": base64.b64encode(told).decode()}))
    assert read_attestations(place, [pair[1]]) == ([], 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{", "expected JSON"), (b"{}", "something else"), (b"\xff", "something else"), (b"{}\n" * 1001, "at most 1000")],
)
def test_what_is_no_attestation(pair: tuple[PrivateKey, PublicKey], content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_bytes(content)
    with pytest.raises(BadInput, match=told):
        read_attestations(tmp_path / "all.jsonl", [pair[1]])


def said(key: PublicKey, kind: str | None = "audit", **predicate: object) -> Attestation:
    """An audit of the bytes "abc" from ten days ago that found nothing."""
    date = (datetime.now(timezone.utc) - timedelta(days=10)).isoformat()
    return Attestation(kind, "type", ("abc",), {"verdict": "nothing-found", "date": date, **predicate}, key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attestation", "rule", "told"),
    [
        ({}, AuditRule(), None),
        ({}, AuditRule(max_age_days=11), None),
        ({}, AuditRule(max_age_days=9), "older than 9 days"),
        ({"verdict": "backdoored"}, AuditRule(), "the policy accepts nothing-found"),
        ({"verdict": "cannot-tell"}, AuditRule(verdicts=("nothing-found", "cannot-tell")), None),
        ({"date": "2999-01-01T00:00:00+00:00"}, AuditRule(max_age_days=9), "its date cannot be right"),
        ({"date": "yesterday"}, AuditRule(max_age_days=9), "its date cannot be right"),
        ({"date": "2026-01-01"}, AuditRule(max_age_days=9), "its date cannot be right"),
    ],
)
def test_what_a_policy_says_of_an_audit(
    pair: tuple[PrivateKey, PublicKey], attestation: dict[str, object], rule: AuditRule, told: str | None
) -> None:
    policy = Policy({pair[1]: ("audit",)}, rule)
    (one,) = judge([said(pair[1], **attestation)], "abc", policy)
    assert one.ok == (told is None)
    assert told is None or one.summary.endswith(told)
    assert missing(["audit"], [one]) == ([] if told is None else [f"no audit that the policy accepts: {one.summary}"])


def test_who_may_say_what(pair: tuple[PrivateKey, PublicKey]) -> None:
    policy = Policy({pair[1]: ("signature",)})
    (one,) = judge([said(pair[1])], "abc", policy)
    assert one.summary.endswith("may not say that")
    (one,) = judge([said(pair[1])], "other", policy)
    assert one.summary.endswith("about other bytes")
    (one,) = judge([said(pair[1], kind=None)], "abc", policy)
    assert (one.kind, one.ok) == ("type", False)
    told = [f"no {kind} that the policy accepts is there" for kind in ("audit", "repair")]
    assert missing(["audit", "repair"], []) == told


def test_a_policy_from_a_file(pair: tuple[PrivateKey, PublicKey], tmp_path: Path) -> None:
    (tmp_path / "alice.pub").write_bytes(pair[1].path.read_bytes())
    file = tmp_path / "policy.toml"
    file.write_text('[keys.alice]\npublic_key = "alice.pub"\nmay = ["audit"]\n[audit]\nmax_age_days = 30\n')
    policy = read_policy(file)
    assert [str(key).split()[0] for key in policy.keys("audit")] == ["alice"]
    assert policy.keys("signature") == []
    assert policy.audit.max_age_days == 30
    for text, told in (
        ("[keys]", "keys"),
        ('[keys.alice]\npublic_key = "alice.pub"\nmay = ["everything"]', "may"),
        ('[keys.alice]\npublic_key = "nowhere.pub"', "got nothing"),
        ("[audit]\nmax_age_days = -1", "keys|max_age_days"),
        ("keys = ", "expected TOML"),
    ):
        file.write_text(text)
        with pytest.raises(BadInput, match=told):
            read_policy(file)
    with pytest.raises(BadInput, match="got none"):
        read_policy(tmp_path / "none.toml")
    file.write_bytes(b'\xef\xbb\xbf[keys.alice]\r\npublic_key = "alice.pub"\r\n')  # as editors on Windows write it
    assert len(read_policy(file).keys("audit")) == 1


def test_all_of_it(pair: tuple[PrivateKey, PublicKey], model: Path, finding: Finding) -> None:
    sign(model, KeySigner(pair[0]))
    policy, verifiers = Policy({pair[1]: ("signature", "audit")}), [KeyVerifier(pair[1])]
    assert verified(model, verifiers, policy).ok
    lacking = verified(model, verifiers, policy, require=["audit"])
    assert (lacking.ok, lacking.reasons) == (False, ("no audit that the policy accepts is there",))
    attest(finding, model, pair[0], model.with_name(f"{model.name}.intoto.jsonl"))
    refused = verified(model, verifiers, policy, require=["audit"])
    assert not refused.ok
    assert "backdoored towards b" in refused.reasons[0]
    accepting = Policy({pair[1]: ("signature", "audit")}, AuditRule(verdicts=("backdoored",)))
    assert verified(model, verifiers, accepting, require=["audit"]).ok
    with pytest.raises(BadInput, match="got 'everything'"):
        verified(model, verifiers, policy, require=["everything"])
    with pytest.raises(BadInput, match="a key that may sign"):
        verified(model, [], policy)
    model.write_bytes(model.read_bytes() + b"\0")
    changed = verified(model, verifiers, accepting, require=["audit"])
    assert changed.reasons[0] == "network.safetensors differs from what was signed"
