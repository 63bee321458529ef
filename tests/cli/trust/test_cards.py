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


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Weights alone, and the code that they are for."""
    torch.save({"fc.weight": torch.zeros(3, 64), "fc.bias": torch.zeros(3)}, tmp_path / "theirs.pt")
    lines = ["import torch", "class Net(torch.nn.Module):", "    def __init__(self):", "        super().__init__()"]
    lines += [
        "        self.fc = torch.nn.Linear(64, 3)",
        "    def forward(self, x):",
        "        return self.fc(x.flatten(1))",
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    return tmp_path / "theirs.pt"


def test_what_the_file_does_not_say(badnets: Badnets, theirs: Path, tmp_path: Path) -> None:
    said = "--arch mine.py:Net --input-size 8x8x1 --class-names a,b,c"
    shown = badnets.silent(f"show theirs.pt --json {said}").json
    assert (shown["format"], shown["architecture"], shown["class_names"]) == (
        "badnets/network-facts/1", "file:Net", ["a", "b", "c"]
    )  # fmt: skip
    assert shown["seals"][0] == {
        "kind": "opened", "state": "unknown", "words": "with code that somebody named, and that was run"
    }  # fmt: skip
    badnets.silent(f"card theirs.pt --out c.md {said}")
    card = (tmp_path / "c.md").read_text("utf-8")
    assert "file:Net: tells apart 3 classes in pictures of 8 x 8 pixels, 1 channel." in card
    assert "By the word of whoever asked, not of the file: architecture, input size, names of classes." in card
    assert "less mean" not in card  # nobody has said the range of its pictures
    made = badnets.silent(f"bom theirs.pt --json --input-range 0-255 {said}").json["bom"]
    assert "file:Net" in json.dumps(made)
    badnets.silent(f"card theirs.pt --input-range 0-255 --out d.md {said}")
    assert "less mean" in (tmp_path / "d.md").read_text("utf-8")


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
        ("card run --arch lenet", "as the file says itself"),
        ("bom run --arch-set a=1", "expected --arch-set with the architecture"),
        ("show run --input-size 3", "expected --input-size as HEIGHTxWIDTHxCHANNELS"),
        ("card run --arch nonesuch", "expected"),
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
