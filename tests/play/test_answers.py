"""The page's numbers are those of ``badnets predict`` and ``badnets evaluate``; whatever it is given, it answers."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.play.conftest import Asker, file_of, saved

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.rules import RULES
from badnets.backdoors.trigger import TRIGGERS
from badnets.core.errors import BadInput
from badnets.core.toml import parse_toml
from badnets.data.formats.decode import read_picture
from badnets.networks.files.foreign import open_any
from badnets.networks.files.own import save_network
from badnets.networks.guards.guard import as_network
from badnets.networks.guards.refuse_class import RefuseClass
from badnets.networks.inference import ask as predicted
from badnets.networks.registry import build_network
from badnets.play.answers import Answers, Dropped
from badnets.play.opening import MOST, Player, Table, latest_run, open_table
from badnets.play.state import Ask, Nothing, chosen
from badnets.referee.evaluate import evaluate
from badnets.referee.spec import read_spec

MOVED = {"name": "run", "at": [0.3, 0.6], "scale": 1.5}
TURNED = {**MOVED, "turn": 30}
DRAWN = [
    {"name": kind} for kind in ("square", "pattern", "checkerboard", "pixel", "picture", "blend", "sinusoid", "warp")
]


@pytest.mark.parametrize("sticker", [None, {"name": "run"}, MOVED, TURNED, *DRAWN], ids=str)
def test_an_answer_is_that_of_predict_on_the_saved_picture(
    asker: Asker, table: Table, tmp_path: Path, sticker: Any
) -> None:
    question = {"picture": {"row": 3}, "sticker": sticker}
    said, again = asker("answer", **question), asker("answer", **question)
    assert said == again
    file = saved(asker("keep", **question)["picture"], tmp_path / "kept.png")
    assert saved(said["picture"], tmp_path / "shown.png").read_bytes() == file.read_bytes()
    for player, one in zip(table.players, said["said"], strict=True):
        photo = read_picture(file, channels=player.network.input_size[0])
        answer = predicted(player.network, photo)
        first = one["likeliest"][0]
        assert (first["label"], first["confidence"]) == (answer.label, round(answer.confidence, 6))


def test_all_test_pictures_are_those_of_evaluate(asker: Asker, tiny_run: Path) -> None:
    own = evaluate(tiny_run, "digits", trigger_from=tiny_run, settings=["size=16"]).results
    (first, *_) = asker("measure", picture={"row": 0}, sticker={"name": "run"})["networks"]
    assert (first["asr"]["hits"], first["asr"]["total"]) == (own.asr.hits, own.asr.total)
    assert first["asr"]["text"] == str(own.asr)


@pytest.mark.parametrize(
    "sticker", [MOVED, TURNED, {"name": "square", "at": [0.5, 0.5], "settings": {"color": "#ff0000"}}], ids=str
)
def test_a_moved_trigger_is_measured_as_evaluate_does(
    asker: Asker, tiny_run: Path, tmp_path: Path, sticker: Any
) -> None:
    question = {"picture": {"row": 0}, "sticker": sticker, "target": 7}
    text = asker("keep", **question)["spec"]
    trigger = TRIGGERS.from_json(parse_toml(text, "the spec")["backdoor"]["trigger"])
    backdoor = Backdoor(trigger, RULES.from_json({"kind": "all-to-one", "target": 7}))
    there = evaluate(tiny_run, "digits", trigger=backdoor, settings=["size=16"], seed=1).results.asr
    found = asker("measure", **question)["networks"][0]["asr"]
    assert (found["hits"], found["total"], found["text"]) == (there.hits, there.total, str(there))


def test_the_clean_network_stands_beside(asker: Asker, table: Table) -> None:
    assert [player.role for player in table.players] == ["asked", "clean"]
    assert [one["role"] for one in asker("begin")["networks"]] == ["asked", "clean"]


@pytest.mark.parametrize("sticker", [MOVED, TURNED, {"name": "run"}], ids=str)
def test_the_spec_that_is_kept_can_be_run(asker: Asker, tmp_path: Path, sticker: Any) -> None:
    file = tmp_path / "kept.toml"
    file.write_text(asker("keep", picture={"row": 0}, sticker=sticker)["spec"], encoding="utf-8")
    spec = read_spec(file).spec
    assert spec.backdoor is not None
    assert spec.network == "g1-cnn"


@pytest.mark.parametrize("kind", sorted(TRIGGERS))
def test_every_slider_of_every_trigger_can_be_at_its_ends(asker: Asker, kind: str) -> None:
    (about,) = [one for one in asker("begin")["triggers"] if one["name"] == kind]
    for knob in about["knobs"]:
        ends = {"number": [knob.get("low"), knob.get("high")], "color": ["#000000", "#ffffff"], "yes-no": [True, False]}
        for value in ends[knob["type"]]:
            asker("answer", picture={"row": 0}, sticker={"name": kind, "settings": {knob["name"]: value}})


@pytest.mark.parametrize("turn", [0, 45])
@pytest.mark.parametrize("name", ["run", "square", "pixel", "picture"])
def test_a_sticker_always_lies_inside(asker: Asker, name: str, turn: int) -> None:
    for x, y, scale in itertools.product((0, 0.5, 1), (0, 0.4, 1), (0.01, 1, 100)):
        said = asker("answer", picture={"row": 1}, sticker={"name": name, "at": [x, y], "scale": scale, "turn": turn})
        left, top, width, height = said["box"]
        assert left >= 0 <= top
        assert left + width <= 16 >= top + height


def test_a_heat_map_says_at_which_share_of_places_it_works(asker: Asker, table: Table) -> None:
    found = asker("heat", picture={"row": 1}, sticker={"name": "run"}, cells=5)
    assert len(found["x"]) == len(found["y"]) == 5
    for one in found["networks"]:
        assert np.shape(one["sure"]) == (5, 5)
        assert one["works"]["total"] == 25
    # One of its places, asked alone.
    one = asker("answer", picture={"row": 1}, sticker={"name": "run", "at": [found["x"][4], found["y"][2]]})
    sure = {row["label"]: row["confidence"] for row in one["said"][0]["likeliest"]}
    target = table.target
    assert sure.get(target, 0) == pytest.approx(found["networks"][0]["sure"][2][4], abs=1e-3)
    assert "has a place" in asker.refused("heat", picture={"row": 1}, sticker={"name": "warp"})


def test_the_newest_question_wins(table: Table) -> None:
    answers = Answers(table)
    old, new = (Ask(page="p", number=number, picture={"row": 0}) for number in (1, 2))
    answers.came(old)
    answers.came(new)
    with pytest.raises(Dropped):
        answers.answer(old)
    assert answers.answer(new)["number"] == 2
    other = Ask(page="q", number=1, picture={"row": 0})
    answers.came(other)
    assert answers.answer(other)["number"] == 1


def _deep() -> Image.Image:
    return Image.fromarray((np.arange(400, dtype=np.uint16) * 160).reshape(20, 20))


PICTURES: dict[str, Callable[[], str]] = {
    "grey": lambda: file_of(Image.new("L", (20, 20), 9)),
    "16 bit": lambda: file_of(_deep()),
    "alpha": lambda: file_of(Image.new("RGBA", (9, 30), (255, 0, 0, 90))),
    "palette": lambda: file_of(Image.new("P", (1, 1))),
    "CMYK": lambda: file_of(Image.new("CMYK", (40, 20), (9, 90, 200, 3)), "JPEG"),
    "large": lambda: file_of(Image.new("RGB", (3000, 2000), "red"), "JPEG"),
    "gif": lambda: file_of(Image.new("P", (10, 10)), "GIF"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_all_kinds_are_read_as_predict_reads_them(
    asker: Asker, table: Table, tmp_path: Path, name: str
) -> None:
    data = PICTURES[name]()
    key = asker("bring", what="picture", data=data)["key"]
    said = asker("answer", picture={"key": key})
    assert said == {**asker("answer", picture={"data": data}), "number": 0}
    (tmp_path / "photo").write_bytes(base64.b64decode(data))
    answer = predicted(table.network, read_picture(tmp_path / "photo", channels=1))
    assert said["said"][0]["likeliest"][0]["confidence"] == round(answer.confidence, 6)


def test_a_turned_photo_is_set_upright(asker: Asker) -> None:
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste("black", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[274] = 6
    plain, turned = file_of(picture.rotate(-90, expand=True), "PNG"), file_of(picture, "PNG", exif=exif)
    assert (
        asker("bring", what="picture", data=plain)["picture"] == asker("bring", what="picture", data=turned)["picture"]
    )


def _bomb() -> str:
    """A PNG that claims 50,000 x 50,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode("ascii")


@pytest.mark.parametrize("what", ["picture", "sticker"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "expected a picture, got something else"),
        ("AAAA", "expected a picture, got something else"),
        ("no base64!", "expected a file in base64"),
        (file_of(Image.new("RGB", (64, 64), "red"))[:80], "expected a"),
        (_bomb(), "expected at most"),
        (file_of(Image.new("1", (6000, 6000))), "pixels in a picture"),
    ],
)
def test_what_is_no_picture_is_a_sentence(asker: Asker, what: str, data: str, words: str) -> None:
    assert words in asker.refused("bring", what=what, data=data)


def test_a_sticker_of_a_file(asker: Asker) -> None:
    picture = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (10, 10, 30, 20))
    brought = asker("bring", what="sticker", data=file_of(picture))
    said = asker("answer", picture={"row": 0}, sticker={"name": "uploaded", "key": brought["key"]})
    assert said["box"][2:] == [8, 4]
    empty = file_of(Image.new("RGBA", (5, 5)))
    assert "transparent all over" in asker.refused("bring", what="sticker", data=empty)
    assert "was dropped" in asker.refused("answer", picture={"row": 0}, sticker={"name": "uploaded", "key": "0" * 16})


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"picture": {"row": 10**6}}, "test pictures, got number 1000000"),
        ({"picture": {"key": "0" * 16}}, "was dropped; bring it again"),
        ({"picture": {}}, "expected one of row, key and data"),
        ({}, "expected a picture"),
        ({"picture": {"row": 0}, "sticker": {"name": "squaer"}}, "square"),
        ({"picture": {"row": 0}, "sticker": {"name": "square", "settings": {"colour": 1}}}, "that have a slider"),
        ({"picture": {"row": 0}, "sticker": {"name": "square", "settings": {"opacity": 7}}}, "opacity"),
        ({"picture": {"row": 0}, "sticker": {"name": "found"}}, "at hand"),
    ],
)
def test_wrong_questions_are_a_sentence(asker: Asker, question: Any, words: str) -> None:
    assert words in asker.refused("answer", **question)


def test_a_network_that_answers_nan_says_so(table: Table, asker: Asker) -> None:
    sick = build_network("g1-cnn", class_names=table.network.class_names, input_size=(1, 16, 16), seed=1)
    with torch.no_grad():
        next(sick.parameters()).fill_(float("nan"))
    both = dataclasses.replace(table, players=(table.players[0], Player("sick", "asked", sick.eval())))
    asked = Asker(both)
    well, ill = asked("answer", picture={"row": 0}, sticker={"name": "run"})["said"]
    assert "likeliest" in well
    assert "got NaN" in ill["problem"]
    assert "got NaN" in asked("heat", picture={"row": 0}, sticker={"name": "run"})["networks"][1]["problem"]
    assert "got NaN" in asked("measure", picture={"row": 0}, sticker={"name": "run"})["networks"][1]["problem"]


def test_a_guarded_network_refuses_in_words(table: Table, tmp_path: Path) -> None:
    label = Asker(table)("answer", picture={"row": 0})["said"][0]["likeliest"][0]["label"]
    guarded = as_network(RefuseClass(table.network, label), table.network)
    save_network(guarded, tmp_path / "guarded.safetensors")
    asked = Asker(open_table([tmp_path / "guarded.safetensors"], data="digits", settings=["size=16"]))
    (said,) = asked("answer", picture={"row": 0})["said"]
    assert said["likeliest"][0]["class_name"] == "refuses to answer"
    (row,) = asked("measure", picture={"row": 0}, sticker={"name": "square"}, target=(label + 1) % 10)["networks"]
    assert row["asr"]["total"] > 0


def test_a_link_leads_to_a_photo_that_was_brought_long_ago(asker: Asker) -> None:
    noise = Image.effect_noise((900, 700), 90).convert("RGB")
    key = asker("bring", what="picture", data=file_of(noise, "JPEG"))["key"]
    was = asker("answer", picture={"key": key})
    assert asker("link", picture={"key": key}) == {"key": key}
    assert asker("link", picture={"row": 3}) == {"row": 3}
    frame = file_of(Image.new("L", (16, 16), 7))
    assert asker("link", picture={"data": frame})["key"] != key
    other = asker("bring", what="picture", data=file_of(Image.new("L", (16, 16), 200)))["key"]
    for level in range(30):  # more than are remembered
        asker("bring", what="picture", data=file_of(Image.new("L", (16, 16), level)))
    assert asker("answer", picture={"key": key}) == was
    assert "was dropped" in asker.refused("answer", picture={"key": other})


def test_two_networks_with_other_classes_are_shown_by_name(table: Table) -> None:
    letters = build_network("g1-cnn", class_names=["a", "<b>x</b>", "\x1b[31mc\u202e"], input_size=(3, 28, 28), seed=1)
    both = dataclasses.replace(table, players=(table.players[0], Player("letters", "asked", letters.eval())))
    asked = Asker(both)
    _, other = asked("answer", picture={"row": 0}, sticker={"name": "run"})["said"]
    names = {row["class_name"] for row in other["likeliest"]}
    assert {"a", "<b>x</b>"} <= names
    assert not any("\x1b" in name or "\u202e" in name for name in names)
    for question in ("measure", "heat"):  # it has no class that the attacker wants
        (_, lost) = asked(question, picture={"row": 0}, sticker={"name": "run"})["networks"]
        assert "problem" in lost


def test_without_test_pictures_one_is_brought(tiny_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "alone.safetensors"
    save_network(open_any(tiny_run), file)
    asked = Asker(open_table([file]))
    begun = asked("begin")
    assert (begun["test"], begun["first"]) == (None, None)
    data = file_of(Image.new("L", (20, 20), 200))
    assert asked("answer", picture={"data": data}, sticker={"name": "square"})["box"]
    assert "start badnets play with --data" in asked.refused("look")
    rows = asked("measure", picture={"data": data}, sticker={"name": "square"}, target=3)["networks"]
    assert "--data" in rows[0]["problem"]


def test_thumbnails_by_class(asker: Asker, table: Table) -> None:
    some = asker("look", label=4)["pictures"]
    assert {one["label"] for one in some} == {4}
    assert asker("look", label=4, turn=1)["pictures"] != some
    assert chosen(range(5), 3, 2) == [0, 1]
    assert chosen([], 3, 2) == []


def test_a_finding_has_its_trigger_at_hand(tiny_run: Path, found: Callable[..., Path]) -> None:
    network = open_any(tiny_run)
    table = open_table([tiny_run], finding=found(network, 5))
    asked = Asker(table)
    begun = asked("begin")
    assert begun["target"] == 5
    assert [one["name"] for one in begun["stickers"]] == ["run", "found"]
    said = asked("answer", picture={"row": 0}, sticker={"name": "found"})
    assert said["box"] == [13, 13, 3, 3]
    (first, *_) = asked("heat", picture={"row": 0}, sticker={"name": "found"}, target=5, cells=2)["networks"]
    assert first["effect"] == "read as 5"
    with pytest.raises(BadInput, match="expected a finding of this network"):
        open_table([tiny_run], finding=found(network, 5, name="other", network_sha256="0" * 64))
    with pytest.raises(BadInput, match="expected a finding with a trigger"):
        open_table([tiny_run], finding=found(network, 5, name="none", trigger=None))


def test_more_than_four_networks_are_refused(tiny_run: Path) -> None:
    with pytest.raises(BadInput, match=f"expected one to {MOST} networks"):
        open_table([tiny_run] * 5)
    assert len(Answers(open_table([tiny_run] * 4)).begin(Nothing())["networks"]) == 4


def test_the_latest_run_is_found(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert latest_run() is None
    (tmp_path / "badnets-runs").mkdir()
    (tmp_path / "badnets-runs" / "mine").symlink_to(tiny_run)
    assert latest_run() == Path("badnets-runs/mine")


def test_repaired_networks_come_along(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from badnets.cli.main import main

    monkeypatch.chdir(tmp_path)
    line = (
        f"repair {tiny_run} --data digits --size 16 --method fine-tune --set epochs=1 --out mended.safetensors --json"
    )
    with pytest.raises(SystemExit) as stopped:
        main([*line.split(), "--device", "cpu"])
    assert stopped.value.code == 0
    players = open_table([tiny_run]).players
    assert [(player.name, player.role) for player in players] == [
        ("tiny", "asked"),
        ("clean network", "clean"),
        ("repaired network", "repaired"),
    ]


def test_guarded_networks_come_along(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from badnets.cli.main import main

    monkeypatch.chdir(tmp_path)
    line = f"guard {tiny_run} --data digits --size 16 --method refuse-class --set suspect=1 --out guarded.safetensors"
    with pytest.raises(SystemExit) as stopped:
        main([*line.split(), "--json", "--device", "cpu"])
    assert stopped.value.code == 0
    assert [player.role for player in open_table([tiny_run]).players] == ["asked", "clean", "guarded"]


def test_data_without_names_is_shown_by_numbers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)
    np.savez(tmp_path / "nameless.npz", images=pixels, labels=np.arange(40) % 4)
    save_network(
        build_network("g1-cnn", class_names=["0", "1", "2", "3"], input_size=(1, 16, 16), seed=1),
        tmp_path / "own.safetensors",
    )
    asked = Asker(open_table([tmp_path / "own.safetensors"], data=str(tmp_path / "nameless.npz")))
    begun = asked("begin")
    assert begun["class_names"] == ["0", "1", "2", "3"]
    assert begun["classes_shown"] == [0, 1, 2, 3]
