"""Runs, records, specs and orders that were exchanged, edited, damaged, or made to be awkward."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.files import dumps
from badnets.records.verified import sealed

Hostile = Callable[..., dict[str, Any]]

DEEP = "[" * 100_000


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        file = run / "record.json"
        record = json.loads(file.read_text(encoding="utf-8"))
        change(record)
        file.write_text(json.dumps(record), encoding="utf-8")

    return act


def _seal(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Edited by somebody who knows how to make the digest anew: it is no signature."""

    def act(run: Path) -> None:
        _edit(change)(run)
        value = json.loads((run / "record.json").read_text(encoding="utf-8"))
        (run / "record.json").write_text(dumps(sealed(value)), encoding="utf-8")

    return act


def _text(text: str | bytes) -> Callable[[Path], None]:
    content = text if isinstance(text, bytes) else text.encode()
    return lambda run: _write(run / "record.json", content)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _flip(name: str) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        content = bytearray((run / name).read_bytes())
        content[-5] ^= 1
        (run / name).write_bytes(content)

    return act


def _other_network(run: Path) -> None:
    shutil.copy(run / "network-seed-2.safetensors", run / "network.safetensors")


def _shifted_plan(run: Path) -> None:
    with np.load(run / "plan.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    rows = next(name for name, value in arrays.items() if value.dtype.kind == "i" and value.ndim == 1 and value.size)
    arrays[rows] = arrays[rows] + 1
    np.savez(run / "plan.npz", **arrays)


def _read(data: bytes | bytearray) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


RECORDS: dict[str, Callable[[Path], None]] = {
    "an edited count": _edit(lambda r: r["results"]["asr"].update(hits=0)),
    "an edited accuracy": _edit(lambda r: r["results"]["clean_accuracy"].update(total=10**6)),
    "an edited name": _edit(lambda r: r.update(name="other")),
    "an edited spec": _edit(lambda r: r["resolved"]["backdoor"]["rule"].update(target=0)),
    "another network": _other_network,
    "a flipped bit of the network": _flip("network.safetensors"),
    "a flipped bit of the second network": _flip("network-seed-2.safetensors"),
    "a flipped bit of the plan": _flip("plan.npz"),
    "a flipped bit of the answers": _flip("answers.npz"),
    "a flipped bit of the pictures": _flip("pictures.npz"),
    "a shifted plan": _shifted_plan,
    "a newer format": _edit(lambda r: r.update(format="badnets/run/2")),
    "an unknown format": _edit(lambda r: r.update(format="other/run/1")),
    "no format": _edit(lambda r: r.pop("format")),
    "no results": _edit(lambda r: r.pop("results")),
    "results of texts": _edit(lambda r: r.update(results="good")),
    "more hits than pictures": _edit(lambda r: r["results"]["asr"].update(hits=10**9)),
    "negative counts": _edit(lambda r: r["results"]["asr"].update(hits=-1)),
    "huge counts": _edit(lambda r: r["results"]["asr"].update(hits=10**400, total=10**401)),
    "files that leave": _edit(lambda r: r["files"].update({"../../../../etc/passwd": "0" * 64})),
    "files of devices": _edit(lambda r: r["files"].update({"/dev/zero": "0" * 64})),
    "a network that leaves": _edit(lambda r: r.update(network="../../../../etc/passwd")),
    "names of control characters": _edit(lambda r: r.update(name="\x1b[2J", class_names=["\x1b[2J", "\x07", "\n"])),
    "names of a megabyte": _edit(lambda r: r.update(class_names=["c" * 1_000_000, "b", "c"])),
    "a command of control characters": _edit(lambda r: r.update(command="\x1b[2J\x9b2J")),
    "500,000 classes": _edit(lambda r: r.update(class_names=[str(i) for i in range(500_000)])),
    "a list": _text("[]"),
    "deep": _text('{"format": "badnets/run/1", "name": ' + DEEP),
    "deep and whole": _text('{"format": "badnets/run/1", "name": ' + DEEP + "]" * 100_000 + "}"),
    "many digits": _text('{"format": "badnets/run/1", "name": ' + "9" * 5000 + "}"),
    "NaN": _text('{"format": "badnets/run/1", "name": NaN}'),
    "no json": _text("no json"),
    "no utf-8": _text(b'{"format": "\xff"}'),
    "utf-16": _text('{"format": "badnets/run/1"}'.encode("utf-16")),
    "nothing": _text(""),
    "surrogates": _text('{"format": "\\ud800badnets/run/1"}'),
    "a format of a megabyte": _text(json.dumps({"format": "a" * 1_000_000})),
    "keys twice": _text('{"format": "badnets/run/1", "format": "badnets/run/1"}'),
}


@pytest.mark.parametrize("name", RECORDS)
def test_run(name: str, folder: Path, hostile: Hostile, run_folder: Path, good_run: Path, pictures: Path) -> None:
    RECORDS[name](run_folder)
    out = folder / "out"
    hostile("report", run_folder)
    hostile("compare", run_folder, good_run)
    hostile("compare", good_run, run_folder)
    hostile("evaluate", run_folder, "--data", pictures, "--trigger-from", run_folder)
    hostile("export", run_folder, "--out", out)
    hostile("repair", run_folder, "--method", "prune", "--trigger-from", run_folder, "--out", out / "x.safetensors")


@pytest.mark.parametrize("name", RECORDS)
def test_record_alone(name: str, folder: Path, hostile: Hostile, run_folder: Path) -> None:
    """A record without its files is read as far as it goes."""
    RECORDS[name](run_folder)
    alone = folder / "alone.json"
    shutil.copy(run_folder / "record.json", alone)
    hostile("report", alone, "--out", folder / "x.html", code=(0, 2))


RESEALED: dict[str, Callable[[dict[str, Any]], object]] = {
    "names of control characters": lambda r: r.update(name="\x1b[2J\u202e", class_names=["\x1b[2J", "\x07", "\n"]),
    "names of markup": lambda r: r.update(name="[/red]", class_names=["[bold]", "[/]", "<script>"]),
    "lone surrogates": lambda r: r.update(name="\ud800", class_names=["\udcff", "b", "c"]),
    "names of a megabyte": lambda r: r.update(name="n" * 1_000_000),
    "a command of control characters": lambda r: r.update(command="\x1b[2J\x9b2J"),
    "no classes": lambda r: r.update(class_names=[]),
    "500,000 classes": lambda r: r.update(class_names=[str(i) for i in range(500_000)]),
    "no data": lambda r: r.update(resolved={}),
    "other data": lambda r: r["resolved"].update(data=[]),
    "an unknown network": lambda r: r["resolved"].update(network="\x1b[2J"),
    "a network of lists": lambda r: r["resolved"].update(network=[]),
    "an opacity of 10^308": lambda r: r["resolved"]["backdoor"]["trigger"].update(opacity=1e308),
    "a confusion of 10^400": lambda r: r["results"].update(confusion_clean=[[10**400]]),
    "a confusion of no form": lambda r: r["results"].update(confusion_clean=[[1], [1, 2], []]),
    "counts of lists": lambda r: r["results"]["clean_accuracy_minus_reference"]["seeds"][0].update(both=[]),
    "seconds of 10^308": lambda r: r.update(timings_s={"train": 1e308}),
    "seeds of none": lambda r: r.update(seeds=[]),
    "files that leave": lambda r: r["files"].update({"../../../../etc/passwd": "0" * 64}),
    "a picture of -9": lambda r: r["examples"][0].update(picture=-9),
    "a picture of 10^30": lambda r: r["examples"][0].update(picture=10**30),
}


@pytest.mark.parametrize("name", RESEALED)
def test_resealed(name: str, folder: Path, hostile: Hostile, run_folder: Path, good_run: Path, pictures: Path) -> None:
    _seal(RESEALED[name])(run_folder)
    hostile("report", run_folder, code=(0, 2))
    hostile("report", run_folder, good_run, code=(0, 2))
    hostile("compare", run_folder, good_run, code=(0, 2))
    hostile("compare", run_folder, good_run, "--json", code=(0, 2))
    hostile("export", run_folder, "--out", folder / "out", code=(0, 2))
    hostile("evaluate", good_run, "--data", pictures, "--trigger-from", run_folder, code=(0, 2))


@pytest.mark.parametrize("command", ["evaluate", "predict", "show", "guard", "reference"])
def test_an_exchanged_network(
    command: str, folder: Path, hostile: Hostile, run_folder: Path, good_run: Path, pictures: Path
) -> None:
    _other_network(run_folder)
    picture = folder / "x.png"
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(picture)
    words = {
        "evaluate": ("evaluate", run_folder, "--data", pictures),
        "predict": ("predict", run_folder, picture),
        "show": ("show", run_folder),
        "guard": ("guard", run_folder, "--data", pictures, "--out", folder / "g.safetensors"),
        "reference": ("evaluate", good_run, "--data", pictures, "--reference", run_folder),
    }[command]
    said = hostile(*words)
    assert "network.safetensors" in said["err"]
    if command != "guard":
        result = hostile(*words, "--unverified", "--json", code=0)
        assert json.loads(result["out"])["verified"] is False
        assert "not verified" in result["err"]


def test_an_exchanged_repair(folder: Path, hostile: Hostile, good_run: Path, run_folder: Path) -> None:
    out = folder / "r.safetensors"
    words = ("repair", good_run, "--method", "prune", "--trigger-from", good_run, "--no-reactivation")
    hostile(*words, "--out", out, code=0)
    hostile("report", folder / "r.json", code=0)
    shutil.copy(run_folder / "network.safetensors", out)
    assert "r.safetensors" in hostile("report", folder / "r.json")["err"]
    hostile("report", folder / "r.json", "--unverified", code=0)
    assert "not verified" in (folder / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_of_a_record(seed: int, hostile: Hostile, run_folder: Path) -> None:
    rng, data = Random(seed), bytearray((run_folder / "record.json").read_bytes())
    for _ in range(rng.choice((1, 2, 20))):
        data[rng.randrange(len(data))] = rng.choice(b'0123456789{}[]",:.-eE \x00\xffab')
    before = json.loads((run_folder / "record.json").read_bytes())
    (run_folder / "record.json").write_bytes(data)
    same = _read(data) == before  # a space for a line break changes nothing that is said
    hostile("report", run_folder, code=0 if same else 2)


@pytest.mark.parametrize("file", ["plan.npz", "answers.npz", "pictures.npz"])
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bytes_of_its_arrays(
    file: str, seed: int, hostile: Hostile, run_folder: Path, good_run: Path, folder: Path
) -> None:
    rng, data = Random(seed), bytearray((run_folder / file).read_bytes())
    for _ in range(3):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    (run_folder / file).write_bytes(data)
    hostile("report", run_folder)
    hostile("compare", run_folder, good_run)
    # Not checked on purpose: nothing worse than a sentence may come of it.
    hostile("report", run_folder, "--unverified", code=(0, 2))
    hostile("compare", run_folder, good_run, "--unverified", code=(0, 2))
    hostile("export", run_folder, "--out", folder / "out", "--unverified", code=(0, 2))


def test_unverified_says_so(hostile: Hostile, run_folder: Path, good_run: Path, pictures: Path, folder: Path) -> None:
    _edit(lambda r: r["results"]["clean_accuracy"].update(hits=1))(run_folder)
    for words in (
        ("report", run_folder),
        ("compare", run_folder, good_run),
        ("evaluate", run_folder, "--data", pictures),
    ):
        hostile(*words)
        result = hostile(*words, "--unverified", code=0)
        assert "not verified" in result["err"] + result["out"]
    assert "not verified" in (run_folder / "report.html").read_text(encoding="utf-8")


def test_a_record_without_its_digest(hostile: Hostile, run_folder: Path) -> None:
    """Taking the digest away must not be a way around it."""
    _edit(lambda r: [r["results"]["clean_accuracy"].update(hits=1), r.pop("sha256", None)])(run_folder)
    hostile("report", run_folder)


SPECS: dict[str, str | bytes] = {
    "deep": "a = " + DEEP,
    "deep tables": "a = " + "{a=" * 50_000,
    "dotted keys": ".".join("a" * 50_000) + " = 1",
    "many digits": "seeds = " + "9" * 5000,
    "infinite": 'data = "signs"\n[backdoor.poison]\nrate = inf',
    "nan": 'data = "signs"\n[backdoor.poison]\nrate = nan',
    "no utf-8": b"data = '\xff'",
    "zero bytes": b"data = '\x00'",
    "no toml": "hello",
    "nothing": "",
    "a date": "data = 2020-01-01",
    "an unknown key": "picture = 'signs'",
    "an unknown network": 'data = "signs"\nnetwork = "\\u001b[2J"',
    "a path that is not there": 'data = "/nowhere/at/all"',
    "a user that is not there": 'data = "~nobody-at-all/x"',
    "a data set of a megabyte": f'data = "{"a" * 1_000_000}"',
    "10^9 seeds": 'data = "signs"\nseeds = 1000000000',
    "negative seeds": 'data = "signs"\nseeds = [-1]',
    "10^30 as a seed": 'data = "signs"\nseeds = [1' + "0" * 30 + "]",
    "10^9 epochs and no data": 'data = "/nowhere"\n[recipe]\nepochs = 1000000000',
    "a batch of 10^12": 'data = "/nowhere"\n[recipe]\nbatch = 1000000000000',
    "a size of 10^9": 'data = {name = "signs", size = 1000000000}',
    "a size of no numbers": 'data = {name = "signs", size = [1, 2, 3]}',
    "a trigger of 300": 'data = "signs"\n[backdoor]\ntrigger = {kind = "square", color = [300, 0, 0]}',
    "a trigger of texts": 'data = "signs"\n[backdoor]\ntrigger = {kind = "square", color = "\\u0007"}',
    "a pattern": 'data = "signs"\nname = "../../x"',
    "a name of control characters": 'data = "signs"\nname = "\\u001b[2J"',
    "a picture that is none": 'data = "signs"\n[backdoor]\ntrigger = {kind = "picture", png = "AAAA"}',
    "a picture of no base64": 'data = "signs"\n[backdoor]\ntrigger = {kind = "picture", png = "\\u00ff"}',
    "windows lines": 'data = "nothing"\r\n\r\r',
}


@pytest.mark.parametrize("name", SPECS)
def test_spec(name: str, folder: Path, hostile: Hostile) -> None:
    given = SPECS[name]
    (folder / "x.toml").write_bytes(given if isinstance(given, bytes) else given.encode())
    hostile("run", folder / "x.toml")


ORDERS: dict[str, bytes] = {
    "many digits": b"9" * 5000,
    "a field of a megabyte": b'channel\n"' + b"1" * 1_000_000 + b'"\n',
    "a lone carriage return": b"channel\n1\r2\n",
    "an open quote": b'channel\n"1\n' + b"2\n" * 100_000,
    "zero bytes": b"channel\n\0\n",
    "no utf-8": b"\xff\xfe",
    "negative": b"-1\n",
    "control characters": b"channel\n\x1b[2J\n",
    "other digits": "channel\n\u0663\n".encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("name", ORDERS)
def test_order(name: str, folder: Path, hostile: Hostile, good_run: Path) -> None:
    (folder / "x.csv").write_bytes(ORDERS[name])
    words = ("--method", "prune", "--trigger-from", good_run, "--out", folder / "y.safetensors")
    hostile("repair", good_run, *words, "--order", folder / "x.csv")


STRANGE = [
    "",
    " ",
    "\x1b[2J",
    "9" * 5000,
    "a" * 100_000,
    "nan",
    "-1",
    "1e400",
    "~nobody-at-all",
    "\udcff",
    "=",
    "a=",
    "../x",
]


@pytest.mark.parametrize("word", range(len(STRANGE)))
def test_strange_words(word: int, folder: Path, hostile: Hostile, good_run: Path, pictures: Path) -> None:
    given = STRANGE[word]
    hostile("attack", "--data", given)
    hostile("attack", "--data", pictures, "--network", given)
    hostile("attack", "--data", pictures, "--trigger", given)
    hostile("attack", "--data", pictures, "--target", given)
    hostile("attack", "--data", pictures, "--set", given)
    hostile("attack", "--data", pictures, "--set", f"recipe.epochs={given}")
    hostile("run", given)
    hostile("show", given)
    hostile("report", given)
    hostile("reproduce", given, code=(0, 2))
    hostile("list", given, code=0 if given == "" else 2)
    hostile("repair", good_run, "--method", given, "--data", pictures, "--out", folder / "x.safetensors")
    hostile("guard", good_run, "--method", given, "--data", pictures, "--out", folder / "x.safetensors")
    hostile("predict", good_run, given)
    hostile("predict", good_run, "x.png", "--box", given)
    hostile("preview", given)
    hostile("preview", "square", given)
    hostile(given)
    hostile(f"--{given}", code=(0, 2))


def test_studies(folder: Path, hostile: Hostile) -> None:
    for text in ("{}", '{"format": "badnets/study/9"}', '{"format": "badnets/study/1", "rows": ' + DEEP, ""):
        (folder / "study").mkdir(exist_ok=True)
        (folder / "study" / "record.json").write_text(text)
        hostile("report", folder / "study")
    shutil.rmtree(folder / "study")
    (folder / "study" / "trials").mkdir(parents=True)
    hostile("report", folder / "study")


def test_out_in_the_way(folder: Path, hostile: Hostile, good_run: Path, pictures: Path) -> None:
    (folder / "file").write_text("mine")
    (folder / "other").mkdir()
    (folder / "other" / "mine.txt").write_text("mine")
    attack = ("attack", "--data", pictures, "--network", "resnet9:width=4", "--epochs", "1", "--target", "dog")
    for out in ("file", "other", ".", "/", "file/below"):
        hostile(*attack, "--out", out)
        hostile(*attack, "--out", out, "--force")
        hostile("export", good_run, "--out", out)
    for out in ("other", ".", "/", "file/below.safetensors"):
        hostile("repair", good_run, "--method", "prune", "--trigger-from", good_run, "--out", out)
        hostile("report", good_run, "--out", out)
    assert (folder / "file").read_text() == (folder / "other" / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["file", "other"]
