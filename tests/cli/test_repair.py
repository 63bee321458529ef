"""``badnets repair``: what it writes, what it prints, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from badnets.data.load import load
from badnets.defenses.repairs import fine_tune
from badnets.networks.files.own import open_network, save_network
from badnets.records.verified import sealed

Call = Any
METHOD = "--method fine-tune --set epochs=1 --size 16 --out repaired.safetensors"
ON_DIGITS = f"--data digits {METHOD}"


@pytest.fixture
def digits(tmp_path: Path) -> Callable[..., Path]:
    """``digits(rows, ...)``: some of them as an npz file, 16x16, with other arrays beside them."""

    def write(rows: Any = slice(None), name: str = "d.npz", **more: Any) -> Path:
        data = load("digits", size=16).train
        arrays = {"images": data.images()[rows][..., 0], "labels": data.labels[rows], **more}
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


def test_the_stable_names(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    said = badnets.done(f"repair --json {METHOD} --pictures 100", tiny_run, "--trigger-from", tiny_run)
    value = said.json
    evaluated = badnets("evaluate --json --data digits --size 16", tiny_run, "--trigger-from", tiny_run).json["results"]
    for name in ("clean_accuracy", "asr", "robust_accuracy"):
        assert value["before"][name] == evaluated[name]
        assert set(value["after"][name]) == {"hits", "total", "value", "low", "high"}
    assert value["network"] == "repaired.safetensors"
    assert [row["step"] for row in value["trace"]] == [1]
    assert value["reactivation"]["repaired"]["total"] == evaluated["asr"]["total"]
    assert value["clean_network"]["after"]["clean_accuracy"]["total"] == evaluated["clean_accuracy"]["total"]
    assert json.loads((tmp_path / "repaired.json").read_text(encoding="utf-8")) == value
    page = (tmp_path / "repaired.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count('<li class="seal') >= 4
    assert said.err == ""


def test_as_a_table(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    said = badnets.done(f"repair {ON_DIGITS} --pictures 100 --page p.html", tiny_run)
    for words in (
        "clean accuracy",
        "difference, points",
        "no trigger was given",
        "network  repaired.safetensors",
        "p.html",
    ):
        assert words in said.out
    assert "attack success" not in said.out
    assert (tmp_path / "p.html").exists()
    assert not (tmp_path / "repaired.html").exists()


def test_pruning_in_the_order_of_a_file(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    network = open_network(tiny_run / "network.safetensors")
    last = [name for name, module in network.body.named_modules() if isinstance(module, nn.Conv2d)][-1]
    order = [5, 0, 3, 1, 2, 4]
    (tmp_path / "order.csv").write_text("step,channel\n" + "".join(f"{i},{c}\n" for i, c in enumerate(order)))
    line = "repair --json --data digits --size 16 --method prune --channels 3 --order order.csv --out p.safetensors"
    line += f" --layer {last}"
    said = badnets.done(line, tiny_run)
    pruned = open_network(tmp_path / "p.safetensors")
    weight, original = (dict(n.body.named_modules())[last].weight.detach() for n in (pruned, network))
    silent = [channel for channel in range(len(weight)) if not weight[channel].any()]
    assert silent == sorted(order[:3])
    kept = [channel for channel in range(len(weight)) if channel not in silent]
    assert torch.equal(weight[kept], original[kept])
    assert said.json["method"]["order"] == order
    badnets.done(line.replace("--layer", "--shrink --layer").replace("p.saf", "s.saf"), tiny_run)
    assert (tmp_path / "s.safetensors").stat().st_size < (tmp_path / "p.safetensors").stat().st_size


def test_where_no_step_fits_the_original_is_given_back(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    last = tmp_path / "order.txt"
    last.write_text("0\n")
    said = badnets(
        "repair --data digits --size 16 --method prune --channels 0 --order order.txt --out p.safetensors", tiny_run
    )
    assert said.code == 0, said.err
    assert "The repair changed nothing" in said.out


def test_ctrl_c_writes_what_there_is(
    badnets: Call, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tune, "sgd", stop)
    for more in ("", " --json --force"):
        said = badnets(f"repair {ON_DIGITS}{more}", tiny_run)
        assert (said.code, said.out) == (130, "")
        assert said.message.startswith("badnets: interrupted after 0 steps; the network as it was then is in repaired")
    assert open_network(tmp_path / "repaired.safetensors").classes == 10


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data digits --size 16 --out o.safetensors", "missing option '--method'"),
        ("--data digits --size 16 --method fine-tune", "missing option '--out'"),
        ("--method fine-tune --out o.safetensors", "expected clean pictures in --data"),
        (f"{ON_DIGITS} --layer conv", "repair fine-tune: unknown key 'layer'"),
        (f"{ON_DIGITS} --channels 3", "unknown key 'channels'"),
        (f"{ON_DIGITS} --set epohcs=3", "did you mean 'epochs'?"),
        (f"{ON_DIGITS} --set epochs=0", "expected a value of at least 1 for 'epochs', got 0"),
        (f"{ON_DIGITS} --set epochs", "--set key=value"),
        (f"{ON_DIGITS} --set data.sise=8", "did you mean 'size'"),
        (f"--data digits {METHOD.replace('fine-tune', 'fine-tun')}", "did you mean 'fine-tune'?"),
        (f"{ON_DIGITS} --pictures 19", "expected at least 20 clean pictures, got 19"),
        (f"{ON_DIGITS} --seed x", "see badnets repair --help"),
        (f"{ON_DIGITS} --budget 0", "budget above 0"),
        (f"{ON_DIGITS} --input-range 0-255", "--input-range"),
        (f"{ON_DIGITS} --trigger-from nix", "expected a run"),
        (f"{ON_DIGITS} --trigger-from nix --triggered nix", "got both"),
        (f"{ON_DIGITS} --triggered nix.npz", "got nothing; check the path"),
        (f"{ON_DIGITS} --clean-network nix.safetensors", "nix.safetensors"),
        (ON_DIGITS.replace("--size 16", "--size 8"), "expected pictures of digits of 16x16x1, got 8x8x1"),
        (ON_DIGITS.replace("repaired.safetensors", "o.pt"), "end in .safetensors"),
        (f"--data mnst {METHOD}", "did you mean 'mnist'"),
        ("--data digits --size 16 --method prune --layer nix --out o.safetensors", "got 'nix'; its convolutions:"),
        ("--data digits --size 16 --method prune --order nix.csv --out o.safetensors", "nix.csv, got nothing"),
    ],
)
def test_wrong_use(badnets: Call, tiny_run: Path, tmp_path: Path, line: str, words: str) -> None:
    said = badnets("repair", tiny_run, *line.split())
    assert (said.code, said.out) == (2, "")
    assert words.lower() in said.message.lower()
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_will_not_do(badnets: Call, tiny_run: Path, digits: Callable[..., Path]) -> None:
    labels = load("digits", size=16).train.labels
    other = np.array([*"abcdefghij"])
    for path, words in (
        (digits(slice(10)), "expected at least"),
        (digits(np.flatnonzero(labels == 3), "one.npz"), "at least 2 classes, got only '3'"),
        (
            digits(name="names.npz", class_names=other),
            "expected data with the network's 10 classes (0, 1, 2, 3, 4, ...), got 10 (a, b",
        ),
        (digits(name="more.npz", labels=labels % 10 + 5), "classes"),
    ):
        badnets.refused(words, f"repair {METHOD}", tiny_run, "--data", path)


def test_hdf5_that_will_not_do(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["pictures"] = np.zeros((3, 1, 16, 16), np.uint8)
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w") as file:
        file["data"] = np.zeros((100, 1, 16, 16), np.uint8)
        file["label"] = np.arange(100) % 10
    (tmp_path / "half.h5").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for name, words in (("other", "expected datasets data and label"), ("half", "truncated or damaged")):
        badnets.refused(words, f"repair {METHOD} --data {name}.h5", tiny_run)


def test_networks_that_will_not_do(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    (tmp_path / "disguised.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "disguised.h5").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "renamed.safetensors").write_bytes((tmp_path / "module.pt").read_bytes())
    network = open_network(tiny_run / "network.safetensors")
    with torch.no_grad():
        next(network.parameters())[0] = float("nan")
    save_network(network, tmp_path / "nan.safetensors")
    for name, words in (
        ("module.pt --arch g1-cnn", "module.pt"),
        ("disguised.safetensors", "disguised.safetensors"),
        ("disguised.safetensors --arch g1-cnn", "disguised.safetensors"),
        ("disguised.h5 --arch g1-cnn", "disguised.h5"),
        ("renamed.safetensors", "renamed.safetensors"),
        ("nan.safetensors", "NaN"),
        ("nix.safetensors", "nix.safetensors"),
    ):
        badnets.refused(words, f"repair {name} {ON_DIGITS}")
    assert not (tmp_path / "repaired.safetensors").exists()


def test_a_run_without_a_backdoor_or_with_other_data(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    record = json.loads((tiny_run / "record.json").read_text(encoding="utf-8"))
    for change, words in (
        ({"resolved": {**record["resolved"], "backdoor": None}}, "expected a run with a backdoor"),
        ({"data_digest": "0" * 64}, "expected the data that"),
    ):
        folder = tmp_path / words.split()[-1]
        folder.mkdir()
        (folder / "record.json").write_text(json.dumps(sealed({**record, **change})), encoding="utf-8")
        said = badnets(f"repair {ON_DIGITS} --pictures 50", tiny_run, "--trigger-from", folder)
        assert (said.code, said.out) == (2, "")
        assert words in said.err.splitlines()[-1]


@pytest.mark.data
def test_the_published_order_on_the_real_network(badnets: Call, shared_data: Path, tmp_path: Path) -> None:
    contest = shared_data / "csaw-hackml"
    order = contest / "published_pruning_curve.csv"
    words = f"repair {contest}/lab3_bd_weights.h5 --arch deepid --input-range 0-255 --data {contest}/clean_faces.h5"
    more = f"--method prune --layer conv_3 --channels 43 --order {order} --no-reactivation --json --out p.safetensors"
    said = badnets.done(f"{words} {more} --triggered {contest}/sunglasses_faces.h5")
    weight = open_network(tmp_path / "p.safetensors").state_dict()["body.conv_3.weight"]
    silent = {channel for channel in range(len(weight)) if not weight[channel].any()}
    published = [int(line.split(",")[1]) for line in order.read_text().splitlines()[1:]]
    assert silent == set(published[:43])
    assert said.json["before"]["asr"]["total"] == 87
    assert said.json["before"]["robust_accuracy"] is None


def test_repairs_and_abstainers_are_listed(badnets: Call) -> None:
    for kind, name in (("repairs", "fine-tune"), ("abstainers", "agreement")):
        items = badnets(f"list {kind} --json").json["items"]
        assert name in [item["name"] for item in items]
        assert all(item["summary"] for item in items)
