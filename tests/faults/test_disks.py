"""Full disks, and places that may not be written: one sentence, what stood there stands, and the next try ends well."""

from __future__ import annotations

from typing import Any

import pytest

SIZES = [0, 100, 1000, 4000, 8000, 16_000, 32_000, 64_000, 128_000]


def _sentence(ended: dict[str, Any]) -> str:
    lines = [line for line in ended["err"].splitlines() if line.startswith("badnets: ") and "warning" not in line]
    assert len(lines) == 1, ended["err"]
    assert "Traceback" not in ended["err"]
    return str(lines[0])


def _names(place: Any) -> set[str]:
    return {path.name for path in place.here.iterdir()}


@pytest.mark.parametrize("size", SIZES)
def test_a_run_on_a_full_disk(place: Any, wanted: Any, size: int) -> None:
    """No file may become larger than ``size``: as a disk that is full at different moments."""
    files = wanted(place.attack("run"))
    ended = place(place.attack("run"), file_limit=size)
    if ended["code"]:
        assert ended["code"] == 2
        assert "room" in _sentence(ended) or "free some" in ended["err"]
        assert not (place.here / "run").exists()
    assert place(place.attack("run"))["code"] == 0
    assert place.contents("run") == files
    assert _names(place) == {"run"}


@pytest.mark.parametrize("size", SIZES[1::2])
def test_an_old_run_stays_on_a_full_disk(place: Any, size: int) -> None:
    place(place.attack("run"))
    before = place.contents("run")
    ended = place(place.attack("run", "--force"), file_limit=size)
    assert ended["code"] in (0, 2)
    assert place.contents("run") == before
    assert place(place.attack("run"))["code"] == 0
    assert _names(place) == {"run"}


@pytest.mark.parametrize("size", SIZES[::2])
def test_repair_guard_and_export_on_a_full_disk(place: Any, size: int) -> None:
    place(place.attack("run"))
    data = ["--data", str(place.pictures)]
    commands = (
        (["repair", "run", *data, "--method", "fine-tune", "--set", "epochs=1", "--out", "r.safetensors"], "r"),
        (["guard", "run", *data, "--method", "strip", "--refuse", "0.3", "--out", "g.safetensors"], "g"),
        (["export", "run", "--out", "export"], "export"),
    )
    for words, stem in commands:
        ended = place(words, file_limit=size)
        names = {name for name in _names(place) if name.split(".")[0] == stem}
        if ended["code"]:
            assert (ended["code"], names) == (2, set())
            assert "room" in _sentence(ended) or "free some" in ended["err"]
            assert place(words)["code"] == 0
        assert not any(name.startswith(".") for name in _names(place))


def test_a_folder_that_may_not_be_written(place: Any) -> None:
    place(place.attack("run"))
    place.here.chmod(0o555)
    for argv in (place.attack("new"), ["export", "run", "--out", "new"]):
        ended = place(argv)
        assert ended["code"] == 2
        assert "Permission denied" in _sentence(ended)
    ended = place(["repair", "run", "--data", str(place.pictures), "--method", "fine-tune", "--out", "r.safetensors"])
    assert ended["code"] == 2
    assert "can be written" in _sentence(ended)
    assert _names(place) == {"run"}


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444, 0o555])
@pytest.mark.parametrize("filled", [False, True])
def test_a_cache_without_permission_is_one_warning(place: Any, mode: int, filled: bool) -> None:
    """Never an end after the training."""
    if filled:
        place(place.attack("first"))
    for path in [path for path in (place.around / "cache").rglob("*") if path.is_dir()]:
        path.chmod(mode)
    (place.around / "cache").chmod(mode)
    ended = place(place.attack("run"))
    (place.around / "cache").chmod(0o755)
    assert ended["code"] == 0, ended["err"]
    assert ended["err"].count("cannot be written") == (0 if filled and mode == 0o555 else 1)


def test_no_cache_and_no_temporary_folder(place: Any) -> None:
    for name in ("cache", "tmp"):
        (place.around / name).chmod(0o555)
    ended = place(place.attack("run"))
    assert ended["code"] == 0, ended["err"]
    assert ended["err"].count("cannot be written") == 1
    assert "network.safetensors" in place.contents("run")


@pytest.mark.parametrize("named", [".", "..", "/", "../..", "../here", "../../..", "sub/.."])
@pytest.mark.parametrize("command", ["attack", "export", "reproduce"])
def test_the_current_folder_is_not_replaced(place: Any, named: str, command: str) -> None:
    (place.here / "sub").mkdir()
    words = {
        "attack": place.attack(named),
        "export": ["export", "../run", "--out", named],
        "reproduce": ["reproduce", "two-trials", "--out", named],
    }[command]
    if command == "export":
        place(place.attack("../run"))
    for more in ([], ["--force"]) if command != "export" else ([],):
        ended = place([*words, *more])
        assert ended["code"] == 2
        assert "--out" in _sentence(ended) or "new folder" in _sentence(ended)
    assert _names(place) == {"sub"}
