"""Seals: what each says in which case, and never more than was checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.report.cards.conftest import BACKDOOR, MADE
from tests.report.conftest import example_record

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.networks.files.describe import described
from badnets.networks.files.description import Opened, described_header
from badnets.records.read import write_record
from badnets.records.scan import Scan, ScanFinding
from badnets.report.cards.beside import seals_beside
from badnets.report.cards.known import Known, known_of
from badnets.report.cards.seals import SHAPES, Seal, seals
from badnets.trust.keys import make_keys, open_private, open_public
from badnets.trust.parties import KeySigner
from badnets.trust.policy import Policy


def by_kind(known: Known) -> dict[str, Seal]:
    return {seal.kind: seal for seal in seals(known)}


def test_nothing_is_known_of_a_file_that_says_nothing(model: Callable[..., Path]) -> None:
    file = model()
    found = seals(known_of(file, described(file)))
    assert [(one.kind, one.state) for one in found] == [
        ("opened", "good"), ("signed", "unknown"), ("provenance", "unknown"), ("audit", "unknown")
    ]  # fmt: skip
    assert [one.words for one in found][1:] == [
        "not signed", "not known: the file does not say", "no audit at hand (badnets audit)"
    ]  # fmt: skip
    assert len({*SHAPES.values()}) == 3
    assert found[0].line == "[+] good     opened      as a whole; nothing in it was run"


def test_a_backdoor_that_the_file_tells_of_comes_first(model: Callable[..., Path]) -> None:
    file = model(**MADE, backdoor=BACKDOOR)
    first, *_ = seals(known_of(file, described(file)))
    assert first == Seal(
        "backdoor",
        "bad",
        "this network carries a backdoor on purpose, its own file says (poisoned 80 pictures: stop \u2192 yield)",
    )


@pytest.mark.parametrize("said", [True, "here", ["x"], {"planted": 3}, {"other": "x"}])
def test_a_backdoor_in_any_form(model: Callable[..., Path], said: object) -> None:
    file = model(backdoor=said)
    assert seals(known_of(file, described(file)))[0].kind == "backdoor"


def test_a_run_beside_counts_only_for_its_own_bytes(model: Callable[..., Path]) -> None:
    file = model(**MADE)
    assert by_kind(known_of(file, described(file)))["provenance"].words == (
        "trained by badnets on signs-us, says the file; nobody vouches for it"
    )
    record = example_record().model_copy(update={"files": {file.name: "0" * 64}})
    write_record(file.parent / "record.json", record)
    assert known_of(file, described(file)).run is None
    write_record(file.parent / "record.json", record.model_copy(update={"files": {file.name: file_digest(file)}}))
    known = known_of(file, described(file))
    assert by_kind(known)["provenance"].state == "unknown"
    assert by_kind(known)["provenance"].words.startswith("resnet9 trained by badnets on signs, says the record")
    assert by_kind(known)["backdoor"].words.endswith("the record of its run says (picture, stop \u2192 speed-limit-45)")
    (file.parent / "record.json").write_text("{")
    assert known_of(file, described(file)).run is None


@pytest.mark.parametrize(
    ("verdict", "state", "words"),
    [
        ("backdoored", "bad", "2026-10-01: backdoored towards “yield”, p = 0.01"),
        ("nothing-found", "good", "2026-10-01: nothing found, p = 0.01"),
        ("cannot-tell", "unknown", "2026-10-01: could not tell, p = 0.01"),
    ],
)
def test_an_audit(whole: Callable[..., Known], verdict: str, state: str, words: str) -> None:
    assert by_kind(whole(verdict=verdict))["audit"] == Seal("audit", state, words)


def test_an_audit_of_other_bytes_is_refused(whole: Callable[..., Known]) -> None:
    for other in ("0" * 64, None):
        with pytest.raises(BadInput, match="says nothing of this file"):
            whole(network_sha256=other)


def test_a_run_is_no_finding(model: Callable[..., Path], tmp_path: Path) -> None:
    write_record(tmp_path / "x" / "record.json", example_record())
    with pytest.raises(BadInput, match=r"expected badnets/finding/1 as 'finding', got badnets/run/1"):
        known_of(file := model(), described(file), finding=tmp_path / "x")


def test_opened_can_say_that_it_was_not_safe(model: Callable[..., Path]) -> None:
    file = model()
    scanned = described_header(file, Opened(False, "a scan found os.system"))
    assert by_kind(known_of(file, scanned))["opened"] == Seal("opened", "bad", "a scan found os.system")


@pytest.mark.parametrize(("verdict", "state"), [("unsafe", "bad"), ("unknown", "unknown"), ("safe", "good")])
def test_what_others_would_run_counts(
    verdict: str, state: str, model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = ScanFinding(
        file="a", member="", offset=0, what="calls os.system", why="", do="", rule="pickle-runs", severity="unsafe"
    )
    found = () if verdict == "safe" else (finding,)
    scanned = Scan(verdict=verdict, findings=found, files=1)  # type: ignore[arg-type]
    monkeypatch.setattr("badnets.networks.files.describe.scan", lambda _: scanned)
    file = model()
    seal = by_kind(known_of(file, described(file)))["opened"]
    assert seal.state == state
    assert (verdict == "safe") or f"badnets scan says {verdict} (calls os.system)" in seal.words


def test_somebodys_own_code_is_not_opened(tmp_path: Path, model: Callable[..., Path]) -> None:
    file = model()
    content = file.read_bytes().replace(b'\\"architecture\\": \\"perceptron', b'\\"architecture\\": \\"file:Network')
    length = int.from_bytes(content[:8], "little") + len("file:Network") - len("perceptron")
    (tmp_path / "own.safetensors").write_bytes(length.to_bytes(8, "little") + content[8:])
    known = known_of(tmp_path / "own.safetensors", described(tmp_path / "own.safetensors"))
    assert by_kind(known)["opened"].state == "unknown"
    assert known.architecture == "file:Network"


@pytest.fixture
def signed(model: Callable[..., Path], tmp_path: Path) -> tuple[Path, Policy, Policy]:
    """A signed file, those who believe its signer, and those who believe somebody else."""
    signing = pytest.importorskip("badnets.trust.signing")
    pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")
    file = model(**MADE)
    for name in ("alice", "bob"):
        make_keys(tmp_path / "keys" / name)
    signing.sign(file, KeySigner(open_private(tmp_path / "keys" / "alice")))
    alice, bob = (Policy.trusting(open_public(tmp_path / "keys" / f"{name}.pub", name)) for name in ("alice", "bob"))
    return file, alice, bob


def test_whose_signature(signed: tuple[Path, Policy, Policy], monkeypatch: pytest.MonkeyPatch) -> None:
    file, alice, bob = signed
    key = next(iter(alice.may)).fingerprint[:16]

    def said(trusted: Policy | None = None) -> tuple[str, str]:
        seal = by_kind(known_of(file, described(file), trusted=trusted))["signed"]
        return seal.state, seal.words

    assert said() == ("unknown", f"by key {key}..., not checked against anybody you trust")
    assert said(alice) == ("good", f"by alice (key {key}), and not changed since")
    assert said(bob)[0] == "bad"
    monkeypatch.setitem(sys.modules, "model_signing", None)
    assert said() == ("unknown", f"by key {key}..., not checked: pip install 'badnets[trust]'")
    monkeypatch.undo()
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert said() == ("bad", "the signature beside it (network.safetensors.sig) is of other bytes")
    assert said(alice) == ("bad", "network.safetensors differs from what was signed")
    file.with_name(f"{file.name}.sig").write_text("{}")
    assert said()[0] == said(alice)[0] == "bad"
    file.with_name(f"{file.name}.sig").unlink()
    assert said() == ("unknown", "not signed")
    assert said(alice) == ("bad", "not signed by anybody: there is no signature")
    with pytest.raises(BadInput, match="may sign"):
        said(Policy({}))


def test_what_a_signature_claims_may_be_anything(signed: tuple[Path, Policy, Policy]) -> None:
    file, place = signed[0], signed[0].with_name(f"{signed[0].name}.sig")
    bundle = json.loads(place.read_text())
    for material, told in (
        ({"publicKey": {"hint": "\u202eevil\n" * 9}}, "key \ufffdevil"),
        ({"publicKey": {}}, "an unknown key"),
        ({"x509CertificateChain": {}}, "a certificate"),
        ([], "an unknown key"),
    ):
        place.write_text(json.dumps({**bundle, "verificationMaterial": material}))
        assert by_kind(known_of(file, described(file)))["signed"].words.startswith(f"by {told}")


def test_what_is_attested(signed: tuple[Path, Policy, Policy], whole: Callable[..., Known], tmp_path: Path) -> None:
    from badnets.trust.attestations import attest

    file, alice, bob = signed
    known = whole(verdict="nothing-found")
    place = file.with_name(f"{file.name}.intoto.jsonl")
    for record in (known.finding, known.run):
        attest(record, file, open_private(tmp_path / "keys" / "alice"), place)
    seen = by_kind(known_of(file, described(file)))
    assert (
        seen["audit"].words == "2 attestations lie beside it, not checked against anybody you trust; no audit at hand"
    )
    seen = by_kind(known_of(file, described(file), trusted=alice))
    assert (seen["audit"].state, seen["provenance"].state) == ("good", "bad")  # a backdoor was planted on purpose
    assert "nothing-found" in seen["audit"].words
    assert "(attested by alice" in seen["provenance"].words
    seen = by_kind(known_of(file, described(file), trusted=bob))
    assert (seen["audit"].state, seen["provenance"].state) == ("unknown", "unknown")
    place.write_text("nothing of the kind")
    assert by_kind(known_of(file, described(file), trusted=alice))["audit"].state == "unknown"


def test_seals_of_a_page(whole: Callable[..., Known], tmp_path: Path) -> None:
    known = whole()
    run, finding = known.run, known.finding
    assert run is not None
    assert finding is not None
    kinds = ["backdoor", "opened", "signed", "provenance", "audit"]
    assert [one.kind for one in seals_beside(tmp_path, run)] == kinds
    beside = seals_beside(tmp_path / "audit", finding.model_copy(update={"model": "elsewhere/network.safetensors"}))
    assert [one.kind for one in beside] == kinds
    assert beside[-1].state == "bad"
    assert seals_beside(tmp_path, finding.model_copy(update={"network_sha256": "0" * 64})) == ()
    assert seals_beside(tmp_path / "nowhere" / "x", run) == ()
    for name in ("a" * 5000, "a\0b", "..", "", "/"):
        assert seals_beside(tmp_path / "x", finding.model_copy(update={"model": name})) in ((), beside)
