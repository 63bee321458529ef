"""The page in a real browser: by mouse, by keyboard, on a phone, in the dark, with a server that goes away."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from badnets.core.toml import parse_toml
from badnets.networks.registry import build_network
from badnets.play.opening import Player, Table
from badnets.play.serving import Place, find_place

pytestmark = pytest.mark.browser
ANSWERED = "html[data-answered]"
FAULTS = (Path(__file__).parent / "faults.js").read_text(encoding="utf-8")
Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def place(served: Any, table: Table) -> Iterator[Place]:
    with served(table) as running:
        yield running


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """``opened(address, width, look)``: a page that has its first answer; ``page.seen`` has errors and requests."""
    contexts = []

    def start(address: str, width: int = 1280, look: str = "light", *, answered: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=look, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # a busy machine is no fault of the page
        page.seen = []
        page.on("console", lambda message: page.seen.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: page.seen.append(f"error: {error}"))
        page.on("request", lambda request: page.seen.append(f"request: {request.url}"))
        page.goto(address)
        if answered:
            page.wait_for_selector(ANSWERED)
        return page

    yield start
    for context in contexts:
        context.close()


def until(page: Any, condition: str) -> None:
    """Wait for a condition in the page; its own policy forbids the eval that playwright's waiting needs."""
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"{condition}: {page.locator('#problem').inner_text()} {page.seen[-5:]}"
        page.wait_for_timeout(40)


def settled(page: Any) -> None:
    """Wait until nothing is asked any more."""
    last = None
    while last != (last := page.evaluate("document.documentElement.dataset.answered")):
        page.wait_for_timeout(250)


def first(page: Any, card: int = 0) -> str:
    return str(page.locator(".card .first").nth(card).inner_text())


def frame(page: Any) -> dict[str, float]:
    return {
        side: float(page.locator("#over .frame").nth(1).get_attribute(side)) for side in ("x", "y", "width", "height")
    }


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_whole(opened: Opener, place: Place, width: int, look: str) -> None:
    page = opened(place.address, width, look)
    page.click("#heat")
    page.wait_for_selector(".maps figure")
    page.click("#measure")
    page.wait_for_selector(".rates")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(FAULTS) == []
    own = place.address.rpartition("/")[0]
    others = [line for line in page.seen if not line.startswith((f"request: {own}", "request: data:"))]
    assert others == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 24)"
    assert dark == (look == "dark")
    scale = page.evaluate("document.getElementById('picture').clientWidth / document.getElementById('picture').width")
    assert scale == round(scale)


def test_dragging_moves_it_and_the_answer_follows(opened: Opener, place: Place) -> None:
    page = opened(place.address)
    settled(page)
    before, heights = frame(page), page.evaluate("document.body.scrollHeight")
    stage = page.locator("#stage").bounding_box()
    x, y = stage["x"] + before["x"] + 5, stage["y"] + before["y"] + 5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y - 90, steps=8)
    page.mouse.up()
    settled(page)
    after = frame(page)
    assert after["x"] < before["x"] - 90
    assert after["y"] < before["y"] - 60
    assert page.evaluate("document.body.scrollHeight") == heights  # nothing jumps
    # The handle at the corner makes it larger, the one above turns it.
    page.mouse.move(stage["x"] + after["x"] + after["width"], stage["y"] + after["y"] + after["height"])
    page.mouse.down()
    page.mouse.move(
        stage["x"] + after["x"] + 2 * after["width"], stage["y"] + after["y"] + 2 * after["height"], steps=5
    )
    page.mouse.up()
    settled(page)
    assert frame(page)["width"] > 1.5 * after["width"]
    page.click("#back")
    settled(page)
    assert frame(page) == before


def test_by_keyboard_alone(opened: Opener, place: Place) -> None:
    page = opened(place.address)
    settled(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "stage"
    before = frame(page)
    page.keyboard.press("ArrowLeft")
    settled(page)
    step = before["x"] - frame(page)["x"]
    assert step == pytest.approx(page.locator("#picture").bounding_box()["width"] / 16, abs=0.1)
    page.keyboard.press("ArrowUp")
    for _ in range(5):
        page.keyboard.press("+")
    settled(page)
    assert frame(page)["width"] > before["width"]
    page.keyboard.press("]")
    settled(page)
    assert page.locator("#turn-out").inner_text() == "5°"
    page.keyboard.press("[")
    page.keyboard.press(" ")
    settled(page)
    assert page.locator("#over .frame").count() == 0
    assert not page.locator("#on").is_checked()
    until(page, "document.getElementById('heard').textContent.includes('clean network')")


def test_a_dropped_file_is_looked_at(opened: Opener, place: Place) -> None:
    page = opened(place.address)
    picture = io.BytesIO()
    Image.new("RGB", (50, 40), "orange").save(picture, "PNG")
    text = base64.b64encode(picture.getvalue()).decode("ascii")
    drop = """([text, name]) => {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name, { type: "image/png" }));
        const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
        document.getElementById("stage").dispatchEvent(event);
    }"""
    page.evaluate(drop, [text, "photo.png"])
    until(page, "document.getElementById('true').textContent === ''")
    page.evaluate(drop, [base64.b64encode(b"no picture").decode("ascii"), "broken.png"])
    until(page, "document.getElementById('problem').textContent.startsWith('Expected a picture')")
    settled(page)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")  # the page goes on with the last one
    until(page, "document.getElementById('problem').textContent === ''")


def test_a_sticker_of_ones_own(opened: Opener, place: Place, tmp_path: Path) -> None:
    page = opened(place.address)
    Image.new("RGBA", (30, 30), (255, 0, 0, 200)).save(tmp_path / "mine.png")
    page.set_input_files("#sticker-file", tmp_path / "mine.png")
    until(page, "document.getElementById('which').value === 'a file'")
    settled(page)
    assert frame(page)["width"] == pytest.approx(page.locator("#stage").bounding_box()["width"] / 2)
    page.select_option("#which", "a drawing")
    stage = page.locator("#stage").bounding_box()
    page.mouse.move(stage["x"] + 40, stage["y"] + 40)
    page.mouse.down()
    page.mouse.move(stage["x"] + 160, stage["y"] + 100, steps=6)
    page.mouse.up()
    settled(page)
    drawn = frame(page)
    assert drawn["x"] == pytest.approx(40, abs=40)
    assert drawn["width"] > drawn["height"]


def test_every_trigger_can_be_chosen(opened: Opener, place: Place) -> None:
    page = opened(place.address)
    for kind in page.evaluate("[...document.querySelectorAll('#which optgroup option')].map((one) => one.value)"):
        page.select_option("#which", kind)
        for slider in page.locator("#knobs input[type=range]").all():
            slider.focus()
            page.keyboard.press("ArrowRight")
        settled(page)
        assert page.locator("#problem").inner_text() == ""


def test_what_is_kept_comes_back(opened: Opener, place: Place, tmp_path: Path) -> None:
    page = opened(place.address)
    page.click("#thumbs button >> nth=3")
    page.select_option("#which", "square")
    page.select_option("#target", "4")
    page.locator("#stage").focus()
    for key in ("ArrowLeft", "ArrowUp", "+", "]"):
        page.keyboard.press(key)
    settled(page)
    content = "document.getElementById('picture').toDataURL()"
    was = page.evaluate(content), frame(page), first(page)
    with page.expect_download() as saving:
        page.click("#keep-picture")
    saving.value.save_as(tmp_path / "kept.png")
    with Image.open(tmp_path / "kept.png") as kept:
        assert kept.size == (16, 16)
    with page.expect_download() as saving:
        page.click("#keep-spec")
    saving.value.save_as(tmp_path / "kept.toml")
    spec = parse_toml((tmp_path / "kept.toml").read_text(encoding="utf-8"), "the file")
    assert spec["backdoor"]["rule"] == {"kind": "all-to-one", "target": 4}
    page.click("#keep-link")
    until(page, "document.getElementById('text').value.includes('#')")
    other = opened(page.input_value("#text"))
    settled(other)
    assert (other.evaluate(content), frame(other), first(other)) == was
    assert other.input_value("#target") == "4"
    broken = opened(f"{place.address}#nonsense!")
    assert broken.locator(".card").count() == 2


def test_networks_side_by_side_and_names_are_text(opened: Opener, served: Any, table: Table) -> None:
    names = ["<img src=x onerror=alert(1)>", "b", "c"]
    other = build_network("g1-cnn", class_names=names, input_size=(1, 16, 16), seed=1).eval()
    four = (*table.players, Player("<b>mine</b>", "asked", other), Player("again", "asked", other))
    with served(dataclasses.replace(table, players=four), find_place(port=18800)) as running:
        page = opened(running.address, 390)
        assert page.locator(".card").count() == 4
        assert page.locator(".card h2").nth(2).inner_text() == "<b>mine</b>"
        assert page.locator("#said img").count() == 0
        assert names[0] in page.locator(".card").nth(2).inner_text()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_a_server_that_is_gone_and_comes_back(opened: Opener, served: Any, table: Table) -> None:
    with served(table, find_place(port=18850)) as running:
        page = opened(running.address)
        settled(page)
    page.locator("#stage").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#gone:not([hidden])")
    assert "The server is gone" in page.locator("#gone").inner_text()
    again = dataclasses.replace(find_place(port=int(running.address.split(":")[2].split("/")[0])), may=running.may)
    with served(table, again):
        page.wait_for_selector("#gone[hidden]", state="attached")
        page.keyboard.press("ArrowUp")
        settled(page)
        assert page.locator("#gone").is_hidden()


def test_two_hundred_moves_in_five_seconds(opened: Opener, place: Place) -> None:
    page = opened(place.address)
    settled(page)
    stage, box = page.locator("#stage").bounding_box(), frame(page)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    page.mouse.move(stage["x"] + box["x"] + 4, stage["y"] + box["y"] + 4)
    page.mouse.down()
    for number in range(200):
        page.mouse.move(stage["x"] + 30 + number, stage["y"] + 60 + number / 2)
        page.wait_for_timeout(20)
    page.mouse.up()
    settled(page)
    asked = sum("ask/answer" in line for line in page.seen)
    assert asked <= 203
    assert frame(page)["x"] == pytest.approx(30 + 199 - 4, abs=24)  # where the mouse came to rest, in whole pixels
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    assert [line for line in page.seen if line.startswith(("console", "error"))] == []


def test_the_camera_gives_frames(opened: Opener, place: Place) -> None:
    page = opened(place.address)
    settled(page)
    before = int(page.evaluate("document.documentElement.dataset.answered"))
    page.click("#camera")
    until(page, f"Number(document.documentElement.dataset.answered) > {before + 5}")
    assert page.locator("#camera").get_attribute("aria-pressed") == "true"
    assert page.locator("#problem").inner_text() == ""
    page.click("#camera")
    settled(page)


def test_the_files_are_small() -> None:
    from badnets.play.server import page_files

    files = page_files()
    assert {"index.html", "play.css", "main.js"} <= set(files)
    assert sum(len(content) for content, _ in files.values()) < 150_000
    for name, (content, _) in files.items():
        assert not re.search(rb"https?://(?!www\.w3\.org/2000/svg)", content), name
