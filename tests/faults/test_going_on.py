"""What was begun and goes on: other threads, damaged checkpoints, changed seeds; and two at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


KILLED = 137
DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": _flip,
    "cut off": _cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no checkpoint"),
}


def _killed_after(place: Any, argv: list[str], name: str, **fault: Any) -> Path:
    """Killed as soon as there is a file called ``name`` in the working folder, which is given back."""
    assert place(argv, kill_after=name, **fault)["code"] == KILLED
    (partial,) = place.here.glob(".run.*.partial")
    assert [path.name for path in partial.glob("seed-*/*")].count(name) == 1
    return Path(partial)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_begun_again(place: Any, wanted: Any, damage: str) -> None:
    argv = place.attack("run", epochs=2)
    files = wanted(argv)
    partial = _killed_after(place, argv, "checkpoint.pt")
    DAMAGES[damage](partial / "seed-1" / "checkpoint.pt")
    ended = place(argv)
    assert ended["code"] == 0, ended["err"]
    assert "damaged, so it starts again" in ended["err"]
    assert place.contents("run") == files


@pytest.mark.parametrize("threads", [(1, 2), (2, 1)])
def test_other_threads(place: Any, wanted: Any, threads: tuple[int, int]) -> None:
    """It goes on with the number that it was begun with, and the bits and the record say so."""
    argv = place.attack("run", epochs=2)
    files = wanted(argv, threads=threads[0])
    _killed_after(place, argv, "checkpoint.pt", threads=threads[0])
    ended = place(argv, threads=threads[1])
    assert ended["code"] == 0, ended["err"]
    plural = "s" * (threads[0] != 1)
    assert f"going on with {threads[0]} thread{plural}, as this was begun, not {threads[1]}" in ended["err"]
    assert json.loads((place.here / "run" / "record.json").read_text())["environment"]["threads"] == threads[0]
    assert place.contents("run") == files


def test_another_machine(place: Any, wanted: Any) -> None:
    """The bits are those of no machine, and the sentence and the record say so."""
    argv = place.attack("run", epochs=2)
    wanted(argv)
    partial = _killed_after(place, argv, "checkpoint.pt")
    (partial / "machines").write_text("Abacus with torch 0.1")
    ended = place(argv)
    assert ended["code"] == 0, ended["err"]
    assert "this was begun on Abacus with torch 0.1: the bits will be those of neither" in ended["err"]
    claim = json.loads((place.here / "run" / "record.json").read_text())["determinism"]
    assert "bits of no single machine" in claim
    assert "Abacus with torch 0.1; " in claim


@pytest.mark.parametrize("note", ["", "many", "-1", "9" * 50])
def test_a_damaged_note_of_the_threads(place: Any, wanted: Any, note: str) -> None:
    argv = place.attack("run", epochs=2)
    files = wanted(argv)
    partial = _killed_after(place, argv, "checkpoint.pt")
    (partial / "threads").write_text(note)
    ended = place(argv)
    assert ended["code"] == 0, ended["err"]
    assert place.contents("run") == files


@pytest.mark.parametrize("name", ["network.safetensors", "plan.npz", "answers.npz", "pictures.npz", "result.json"])
@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_finished_seed_that_was_changed_is_run_again(place: Any, wanted: Any, name: str, damage: str) -> None:
    argv = place.attack("run", "--seeds", "2")
    files = wanted(argv)
    partial = _killed_after(place, argv, "result.json")
    path = partial / "seed-1" / name
    path.unlink() if damage == "missing" else _flip(path)
    ended = place(argv)
    assert ended["code"] == 0, ended["err"]
    assert ("run again" in ended["err"]) == ((name, damage) != ("result.json", "missing"))
    assert place.contents("run") == files
    assert not list(place.here.glob(".*"))


def test_an_edited_result_is_not_believed(place: Any, wanted: Any) -> None:
    argv = place.attack("run", "--seeds", "2")
    files = wanted(argv)
    path = _killed_after(place, argv, "result.json") / "seed-1" / "result.json"
    value = json.loads(path.read_text())
    value["result"]["figures"]["asr"]["hits"] = 0
    path.write_text(json.dumps(value))
    assert "run again" in place(argv)["err"]
    assert place.contents("run") == files


@pytest.mark.parametrize("kind", ["references", "npz"])
def test_one_bit_in_the_cache(place: Any, kind: str) -> None:
    """It is made anew after one warning, whichever bit it is."""
    argv = place.attack("run", "--set", "data.options.map_above=10")
    place(argv)
    files = place.contents("run")
    for entry in (place.around / "cache" / kind).iterdir():
        _flip(entry)
    ended = place([*argv, "--force"])
    assert ended["code"] == 0, ended["err"]
    assert ended["err"].count("damaged in the cache, and made anew") >= 1
    assert place.contents("run") == files
    assert "damaged" not in place([*argv, "--force"])["err"]


def test_a_finished_run_that_was_not_published(place: Any) -> None:
    """What is ready in a working folder is published as it is; with anything else in it, it is put together anew."""
    place(place.attack("run"))
    files, record = place.contents("run"), json.loads((place.here / "run" / "record.json").read_text())
    for strange in (None, ".network.safetensors.x.partial", "notes.txt"):
        partial = place.here / f".run.{record['digest'][:12]}.partial"
        partial.mkdir()
        (place.here / "run").rename(partial / "finished")
        if strange:
            (partial / "finished" / strange).write_text("left over")
        ended = place(place.attack("run"))
        assert ended["code"] == 0, ended["err"]
        assert place.contents("run") == files
        assert not list(place.here.glob(".*"))


def test_two_at_once(place: Any) -> None:
    """One runs, the other is told; or finds it finished."""
    for _ in range(2):
        place(place.attack("run", epochs=2), wait=False)
    ended = place.collect()
    assert sorted(one["code"] for one in ended) in ([0, 0], [0, 2])
    assert all("another process" in one["err"] for one in ended if one["code"])
    assert {path.name for path in place.here.iterdir()} == {"run"}


def test_two_specs_in_one_place(place: Any) -> None:
    """The first that is finished stays; the other says so and is kept."""
    place(place.attack("run", epochs=3), wait=False)
    place(place.attack("run"), wait=False)
    ended = place.collect()
    assert sorted(one["code"] for one in ended) == [0, 2]
    (refused,) = (one["err"] for one in ended if one["code"])
    assert "meanwhile" in refused or "a run of this spec" in refused
    shutil.rmtree(place.here / "run")
    lost = place.attack("run", epochs=3 if ended[0]["code"] else 1)
    assert place(lost)["code"] == 0
    assert {path.name for path in place.here.iterdir()} == {"run"}


def test_two_repairs_in_one_place(place: Any) -> None:
    place(place.attack("run"))
    words = ["repair", "run", "--data", str(place.pictures), "--method", "fine-tune", "--set", "epochs=5"]
    for seed in ("1", "2"):
        place([*words, "--seed", seed, "--out", "r.safetensors"], wait=False)
    ended = place.collect()
    assert sorted(one["code"] for one in ended) == [0, 2]
    assert {path.name for path in place.here.iterdir()} == {"run", "r.safetensors", "r.json", "r.html"}


def test_a_live_temporary_file_is_not_removed(place: Any) -> None:
    """Two exports at once: neither takes the other's folder for a leftover."""
    place(place.attack("run"))
    for _ in range(3):
        place(["export", "run", "--out", "export"], wait=False)
    ended = place.collect()
    assert sum(one["code"] == 0 for one in ended) == 1, [one["err"] for one in ended]
    assert all("there already" in one["err"] or "meanwhile" in one["err"] for one in ended if one["code"])
    assert {path.name for path in place.here.iterdir()} == {"run", "export"}


@pytest.mark.parametrize("beside", ["r.json", "r.html"])
@pytest.mark.parametrize("content", ["mine", '{"format": "mine"}', "[1]"])
def test_files_of_others_beside_a_repair(place: Any, beside: str, content: str) -> None:
    place(place.attack("run"))
    words = ["repair", "run", "--data", str(place.pictures), "--method", "fine-tune", "--set", "epochs=1"]
    (place.here / beside).write_text(content)
    assert place([*words, "--out", "r.safetensors"])["code"] == 2
    if beside == "r.json":  # with --force too
        assert place([*words, "--out", "r.safetensors", "--force"])["code"] == 2
    assert (place.here / beside).read_text() == content
    assert {path.name for path in place.here.iterdir()} == {"run", beside}


def test_a_strangers_leftover_moves_nothing_elsewhere(place: Any) -> None:
    place(place.attack("run"))
    (place.around / "victim").write_text("mine")
    shop = place.here / ".r.safetensors.partial"
    shop.mkdir()
    (shop / "0-r.safetensors").write_text("theirs")
    was = {str(place.around / "victim"): None}
    moves = {"moves": [["0-r.safetensors", str(place.around / "victim")]], "was": was}
    (shop / "moves.json").write_text(json.dumps(moves))
    words = ["repair", "run", "--data", str(place.pictures), "--method", "fine-tune", "--set", "epochs=1"]
    ended = place([*words, "--out", "r.safetensors"])
    assert ended["code"] == 0, ended["err"]
    assert (place.around / "victim").read_text() == "mine"
    assert not shop.exists()
