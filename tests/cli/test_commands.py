"""Every command: what it prints for people, and with --json nothing but JSON."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.cli.main import COMMANDS, GROUPS

Call = Any
RATE = {"hits", "total", "value", "low", "high"}


def test_help(badnets: Call) -> None:
    for line in ("--help", ""):
        said = badnets.silent(line)
        assert all(f"  {name.partition(' ')[0]}" in said.out for name in COMMANDS)
    for group in GROUPS:
        said = badnets.silent(group)
        assert all(f"  {name.partition(' ')[2]}" in said.out for name in COMMANDS if name.startswith(f"{group} "))
    for name in COMMANDS:
        said = badnets.done(f"{name} --help")
        assert "--json" in said.out


def test_version(badnets: Call) -> None:
    assert badnets("--version").out.startswith("badnets 0.")


def test_attack(badnets: Call, tiny: str, tmp_path: Path) -> None:
    said = badnets.done(f"attack {tiny} --out deep/run")
    assert "clean accuracy" in said.out
    assert "attack success" in said.out
    assert said.out.rstrip().endswith("page  deep/run/report.html")
    assert "poisoned 431 of 1,438 pictures: pattern -> 0" in said.err
    assert "training g1-cnn" in said.err
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    again = badnets(f"attack {tiny} --out deep/run")
    assert again.code == 0
    assert again.out == said.out
    assert again.message == "this run is finished already (--force runs it again)"


def test_attack_as_json(badnets: Call, tiny: str, tiny_run: Path) -> None:
    said = badnets.silent(f"attack {tiny} --json --out", tiny_run)
    value = said.json
    for name in ("clean_accuracy", "asr", "robust_accuracy", "clean_reference_rate"):
        assert set(value["results"][name]) == RATE
    assert value["results"]["leak"] is None
    assert isinstance(value["timings_s"]["train"], float)
    assert Path(value["network"]) == tiny_run / "network.safetensors"
    assert Path(value["network"]).is_file()


def test_json_while_it_trains(badnets: Call, tiny: str) -> None:
    said = badnets.silent(f"attack {tiny} --json --seeds 2 --out run")
    rate = said.json["results"]["asr"]
    assert set(rate) == RATE | {"seeds"}
    assert [seed["seed"] for seed in rate["seeds"]] == [1, 2]
    assert said.json["network"] == "run/network.safetensors"  # as the caller can open it


def test_run_is_attack_from_a_file(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "my spec.toml").write_text(
        """
        data = { name = "digits" }
        network = "g1-cnn"
        recipe = { batch = 128, precision = "fp32" }
        [backdoor]
        trigger = "pattern"
        rule = { kind = "all-to-one", target = "0" }
        poison = { rate = 0.3 }
        """
    )
    said = badnets.silent("run", "my spec.toml", "--set", "recipe.epochs=1", "--set", "data.size=16", "--json")
    assert said.json["folder"].startswith("badnets-runs/my-spec-")
    assert said.json["command"] == "badnets run 'my spec.toml' --set recipe.epochs=1 --set data.size=16"
    compared = badnets("compare --json", tiny_run, said.json["folder"]).json
    assert [row["difference"]["value"] for row in compared["rows"]] == [0, 0, 0]


def test_evaluate(badnets: Call, tiny: str, tiny_run: Path) -> None:
    said = badnets.silent("evaluate --data digits --size 16 --json --trigger-from", tiny_run, tiny_run)
    own = badnets(f"attack {tiny} --json --out", tiny_run).json["results"]
    for name in ("clean_accuracy", "asr", "robust_accuracy", "leak", "per_class", "confusion_clean"):
        assert said.json["results"][name] == own[name], name
    alone = badnets("evaluate --data digits --set size=16 --json", tiny_run / "network.safetensors").json
    assert alone["results"]["asr"] is None
    table = badnets("evaluate --data digits --size 16", tiny_run)
    assert "clean accuracy" in table.out
    assert "attack success" not in table.out


def test_predict(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    for name, mode, size in (("a.png", "L", (16, 16)), ("b.jpg", "RGB", (50, 30))):
        Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).convert(mode).save(tmp_path / name)
    said = badnets.silent("predict --json", tiny_run, "a.png", "b.jpg")
    assert set(said.json) == {"format", "predictions"}
    assert [p["image"] for p in said.json["predictions"]] == ["a.png", "b.jpg"]
    for prediction in said.json["predictions"]:
        assert set(prediction) == {"image", "label", "class_name", "confidence"}
        assert prediction["class_name"] == str(prediction["label"])
        assert 0.1 <= prediction["confidence"] <= 1
    assert badnets("predict", tiny_run, "a.png").out.startswith("a.png  ")


def test_list(badnets: Call) -> None:
    everything = badnets("list")
    assert everything.code == 0
    for what in ("triggers", "rules", "datasets", "networks", "studies"):
        said = badnets(f"list {what} --json")
        assert set(said.json) == {"format", "items"}
        assert said.json["items"]
        for item in said.json["items"]:
            assert set(item) == {"name", "summary"}
            assert item["summary"]
            assert "\n" not in item["summary"]
            assert item["name"] in everything.out
    assert len(badnets("list --json").json["items"]) > 20


def test_show(badnets: Call, tiny_run: Path) -> None:
    value = badnets("show --json", tiny_run).json
    assert value["architecture"] == "g1-cnn"
    assert value["input_size"] == {"channels": 1, "height": 16, "width": 16}
    assert value["layers"]
    assert "backdoor" in value["provenance"]
    said = badnets("show", tiny_run)
    assert "WARNING: this network carries a backdoor on purpose" in said.out
    assert f"{value['parameters']:,}" in said.out


def test_preview(badnets: Call, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    said = badnets("preview square a.png --set size=5 --out p.png --json")
    assert said.json["trigger"]["size"] == 5
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.width > 100
    assert badnets("preview pattern a.png --size 16").out == "picture  preview.png\n"


def test_report(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_run, tmp_path / "copy")
    (copy / "report.html").unlink()
    assert badnets("report copy").out == "page  copy/report.html\n"
    assert (copy / "report.html").read_text() == (tiny_run / "report.html").read_text()
    value = badnets("report --json --out both.html copy", tiny_run).json
    assert value["page"] == "both.html"
    assert "<html" in (tmp_path / "both.html").read_text()


def test_compare(badnets: Call, tiny_run: Path) -> None:
    said = badnets.silent("compare", tiny_run, tiny_run)
    assert "clean accuracy" in said.out


def test_export(badnets: Call, tiny_run: Path, tmp_path: Path) -> None:
    said = badnets.silent("export --json --only-changed --out pictures", tiny_run)
    assert (said.json["pictures"], said.json["changed"]) == (431, 431)
    assert len(list((tmp_path / "pictures").glob("*/*.png"))) == 431
    assert badnets("export --out all", tiny_run).out == "pictures  all  (1,438, of which 431 changed)\n"
    assert badnets("export --out all", tiny_run).code == 2
    loaded = badnets("attack --data all --network g1-cnn --epochs 1 --json --out again")
    assert loaded.code == 0
    assert loaded.json["class_names"] == [str(digit) for digit in range(10)]


def test_demo_is_the_shipped_spec(badnets: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from badnets.referee import spec as specs

    spec = tmp_path / "small.toml"
    spec.write_text('data = { name = "digits", size = 16 }\nnetwork = "g1-cnn"\nseeds = 3\nrecipe = { epochs = 1 }\n')
    asked: list[str] = []

    def ship(name: str) -> Path:
        asked.append(name)
        return spec

    monkeypatch.setattr(specs, "shipped_spec", ship)
    value = badnets("demo --json").json
    assert asked == ["signs-sticker"]
    assert value["seeds"] == [1]
    assert value["folder"].startswith("badnets-runs/demo-")
    assert value["command"] == "badnets demo"


def test_classes_by_name_or_number(badnets: Call, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("10", "2", "stop it", "7"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for row in range(8):
            Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(tmp_path / "data" / name / f"{row}.png")
    line = "attack --data data --network g1-cnn --epochs 1 --rate 0.2 --json --force --out run --target"
    for target, goal in (("10", "10"), ("stop it", "stop it"), ("7", "7"), ("0", None)):
        said = badnets.done(line, target)
        assert said.json["poisoned"]["sentence"] == f"pattern -> {goal or said.json['class_names'][0]}"
    assert badnets(line, "stop").code == 2
