"""Signing, attesting, publishing and downloading on full disks, killed and interrupted: nothing half written, one
sentence, and the next try ends well."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.faults.server import KILLED

from badnets.core.errors import BadInput

pytest.importorskip("tuf", reason="the extra badnets[trust] is not installed")
pytest.importorskip("model_signing", reason="the extra badnets[trust] is not installed")
ROOT = "--root c/metadata/1.root.json"
COMMANDS = {
    "keygen": "keygen made --no-password",
    "sign": "sign network.pt --key online --signature made.sig",
    "init": "catalogue init made --root-key root1 --root-key root2 --root-threshold 2 --key online",
    "add": "catalogue add c new network.pt --key online",
    "add, staged": "catalogue add c hers/1 network.pt --key hers1",
    "rotate, staged": "catalogue rotate c online.pub hers2 --key root1",
    "refresh": "catalogue refresh c --key online",
    "remove": "catalogue remove c old --key online",
    "get": f"get old --from c {ROOT} --out made.pt",
    "card": "card network.pt --out made.html",
    "bom": "bom network.pt --out made.json",
    "scan": "scan network.pt --sarif made.sarif",
}
OFTEN = ("sign", "add")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with an entry; two have to sign its root, and two what is below hers/."""
    import torch

    from badnets.trust.catalogue import publish
    from badnets.trust.catalogue.publish import Keys
    from badnets.trust.catalogue.signers import party
    from badnets.trust.keys import make_keys

    here = tmp_path_factory.mktemp("state")
    torch.save({"fc.weight": torch.zeros(3, 640), "fc.bias": torch.zeros(3)}, here / "network.pt")
    names = ("root1", "root2", "online", "hers1", "hers2")
    for name in names:
        make_keys(here / name)
    keys = {name: party(here / name) for name in names}
    online = {keys["online"].id: keys["online"]}
    roots, hers = Keys([keys["root1"], keys["root2"]], 2), Keys([keys["hers1"], keys["root2"]], 2)
    publish.init(here / "c", roots, Keys([keys["online"]]), Keys([keys["online"]]))
    publish.delegate(here / "c", "hers", "hers/*", hers, online)
    publish.add(here / "c", "old", here / "network.pt", online)
    return here


@pytest.fixture
def published(place: Any, state: Path) -> Any:
    """A copy of it, to run commands in."""
    shutil.copytree(state, place.here, dirs_exist_ok=True)
    return place


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(pytest.param(name, 700, marks=() if name in OFTEN else pytest.mark.slow) for name in COMMANDS),
        *(pytest.param(name, size, marks=pytest.mark.slow) for name in OFTEN for size in (0, 3000)),
    ],
)
def test_a_full_disk(name: str, size: int, published: Any) -> None:
    """No file may become larger than ``size``: what was there stays, byte for byte, or all is done."""
    words = COMMANDS[name].split()
    before = tree(published.here)
    ended = published(words, file_limit=size)
    if ended["code"]:
        assert ended["code"] == 2, ended["err"]
        (line,) = [line for line in ended["err"].splitlines() if line.startswith("badnets: ")]
        assert line.startswith("badnets: expected ")
        assert "room" in line or "temporary directory" in line
        after = tree(published.here)
        new = {path for path in after if path not in before}
        # Metadata that no timestamp names yet may be left, and bytes that no metadata names.
        assert all(path.startswith(("c/metadata/", "c/targets/")) for path in new), new
        assert {path: content for path, content in after.items() if path in before} == before
        ended = published(words)
    assert ended["code"] == 0, ended["err"]
    assert published(f"get old --from c {ROOT} --out x.pt".split())["code"] == (2 if name == "remove" else 0)


@pytest.mark.parametrize("every", [pytest.param(7, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_killed_while_it_publishes(published: Any, every: int, tmp_path: Path) -> None:
    """Of a key that is put in another's place by people far apart, those who download see the old state or the new,
    or are refused between the last two files."""
    from badnets.trust.catalogue.getting import Trusted, get, opened

    catalogue, kept = published.here / "c", tmp_path / "kept"

    def downloads() -> None:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BADNETS_CACHE", str(tmp_path / "cache"))
            with opened(str(catalogue), Trusted(root=catalogue / "metadata" / "1.root.json")) as seen:
                get("old", seen, tmp_path / "got", force=True)
        assert (tmp_path / "got").read_bytes() == (published.here / "network.pt").read_bytes()

    for line in ("catalogue rotate c online.pub hers2 --key root1", "catalogue sign c --key root2"):
        assert published(line.split())["code"] == 0
    shutil.copytree(catalogue, kept)
    words = ["catalogue", "sign", "c", "--key", "hers2"]
    steps = published(words)["steps"]
    assert len(steps) > 10
    for at in range(1, len(steps) + 1, every):
        shutil.rmtree(catalogue)
        shutil.copytree(kept, catalogue)
        assert published(words, kill_at=at)["code"] == KILLED
        try:
            downloads()
        except BadInput as refused:  # the new root is there, its timestamp not yet: no order of two files avoids that
            assert (catalogue / "metadata" / "2.root.json").exists()
            assert "refused, too few signatures" in str(refused)
        ended = published(["catalogue", "refresh", "c", "--key", "hers2"])
        assert ended["code"] == 0, f"killed before step {at} ({steps[at - 1]}): {ended['err']}"
        assert (catalogue / "metadata" / "2.root.json").exists()
        assert not (catalogue / "staged").exists()
        downloads()


def test_ctrl_c_while_it_signs(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs the process list of Linux")
    with (tmp_path / "network.pt").open("wb") as file:
        file.truncate(3 << 30)
    command = [sys.executable, "-m", "badnets"]
    subprocess.run([*command, "keygen", "key", "--no-password"], cwd=tmp_path, check=True, capture_output=True)
    words = [*command, "sign", "network.pt", "--key", "key"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        while not _reads(process.pid, "network.pt"):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("badnets: interrupted")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.pub", "network.pt"]


def _reads(process: int, name: str) -> bool:
    try:
        return any(one.readlink().name == name for one in Path(f"/proc/{process}/fd").iterdir())
    except OSError:  # it closed something meanwhile
        return False
