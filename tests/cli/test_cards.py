"""``badnets show``, ``card`` and ``bom``: exit codes, files, messages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import Badnets

from badnets.core.files import file_digest
from badnets.networks.files.own import open_network
from badnets.trust.keys import make_keys


def kinds(seals: list[dict[str, str]]) -> dict[str, str]:
    return {one["kind"]: one["state"] for one in seals}


def test_show_begins_with_the_seals(badnets: Badnets, tiny_run: Path) -> None:
    lines = badnets.silent("show", tiny_run).out.splitlines()
    assert lines[0].startswith("WARNING: this network carries a backdoor on purpose, its own file says (poisoned ")
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["[+]", "good", "opened"], ["[?]", "unknown", "signed"], ["[?]", "unknown", "provenance"],
        ["[?]", "unknown", "audit"],
    ]  # fmt: skip
    assert kinds(badnets.silent("show --json", tiny_run).json["seals"]) == {
        "backdoor": "bad", "opened": "good", "signed": "unknown", "provenance": "unknown", "audit": "unknown"
    }  # fmt: skip


def test_of_another_programs_file(badnets: Badnets, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 64), "fc.bias": torch.zeros(3)}, tmp_path / "theirs.pt")
    assert badnets.silent("show theirs.pt").out.startswith("[+] good     opened      as torch; nothing in it was run")
    assert badnets.silent("bom theirs.pt").out.startswith("bill of materials  theirs.pt.cdx.json")
    assert badnets.silent("card theirs.pt").out == "card  theirs.pt.card.html\n"


def test_a_run_and_its_audit(badnets: Badnets, tiny_run: Path, found: Callable[..., Path], tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    file = run / "network.safetensors"
    finding = found(open_network(file), 7, network_sha256=file_digest(file), date="2026-10-01")
    said = badnets.silent("bom run --json --finding", finding).json
    assert (said["format"], said["file"]) == ("badnets/bom/1", "run.cdx.json")
    assert json.loads((tmp_path / "run.cdx.json").read_text()) == said["bom"]
    badnets.refused("add --force", "bom run")
    badnets.done("bom run --force")
    shown = badnets.silent("card run --json --out card.md --finding", finding).json
    assert (shown["format"], shown["card"], kinds(shown["seals"])["audit"]) == ("badnets/card/1", "card.md", "bad")
    assert "| audit | **bad** | 2026-10-01: backdoored towards “7”" in (tmp_path / "card.md").read_text("utf-8")
    badnets.done("card --out c.html", run / "network.safetensors")
    assert "this network carries a backdoor" in (tmp_path / "c.html").read_text("utf-8").lower()
    assert "badnets run" not in (run / "report.html").read_text("utf-8")[:10]
    badnets.done("report run")
    assert 'class="seals"' in (run / "report.html").read_text("utf-8")
    badnets.done("report --out audit.html", finding)
    assert 'class="seals"' not in (tmp_path / "audit.html").read_text("utf-8")  # its network lies elsewhere
    shutil.copy(file, tmp_path / "m")
    badnets.done("report --out audit.html", finding)
    assert 'class="seals"' in (tmp_path / "audit.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("card run --out card.pdf", "expected --out as a .html or .md file, got card.pdf"),
        ("card nix", "nix"),
        ("bom run --finding nix", "nix"),
        ("bom run --finding run", "expected badnets/finding/1 as --finding, got badnets/run/1"),
        ("bom run --certificate run", "expected badnets/certificate/1 as --certificate, got badnets/run/1"),
        ("show run --finding other", "says nothing of this file"),
        ("card run --finding other", "says nothing of this file"),
        ("show run --key nix.pub", "nix.pub"),
        ("show run --key nix.pub --policy nix.toml", "one of --key, --policy"),
    ],
)
def test_bad_input(
    line: str, told: str, badnets: Badnets, tiny_run: Path, found: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    found(open_network(tiny_run / "network.safetensors"), 7, name="other", network_sha256="0" * 64)
    badnets.refused(told, line)
    assert not [*tmp_path.glob("*.cdx.json"), *tmp_path.glob("*.card.html")]


def test_signed_by_somebody_known(badnets: Badnets, tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for name in ("alice", "bob"):
        make_keys(tmp_path / name)
    badnets.done("sign run --key alice")
    assert "not checked against anybody you trust" in badnets.silent("show run").out
    seen = badnets.silent("show run --json --key alice.pub").json["seals"]
    assert (kinds(seen)["signed"], kinds(seen)["provenance"]) == ("good", "good")
    assert kinds(badnets.silent("show run --json --key bob.pub").json["seals"])["signed"] == "bad"
    (tmp_path / "policy.toml").write_text('[keys.alice]\npublic_key = "alice.pub"\n')
    assert "by alice (key " in badnets.silent("show run --policy policy.toml").out
    badnets.done("card run")
    badnets.done("bom run")
    assert badnets("verify run --key alice.pub").code == 0  # nothing was written into what is signed
    (run / "plan.npz").write_bytes(b"another")
    assert kinds(badnets("show run --json --unverified --key alice.pub").json["seals"])["signed"] == "bad"
