"""The page in a real browser: by mouse, by keyboard, on a phone, in the dark, with a server that goes away."""

from __future__ import annotations

import base64
import io
import math
import re
import resource
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.play.conftest import Opener, first, frame, settled, until

from badnets.core.toml import parse_toml
from badnets.play.serving import Place

pytestmark = pytest.mark.browser
OUTSIDE = """[...document.querySelectorAll("button, select, input")].filter((e) => e.getClientRects().length
    && !e.closest(".sr") && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML)"""


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_whole(opened: Opener, barriers: Any, place: Place, width: int, look: str) -> None:
    page = opened(place.address, width, look)
    assert barriers(page) == []
    page.click("#heat")
    page.wait_for_selector(".maps figure")
    page.click("#measure")
    page.wait_for_selector(".rates")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == []
    page.click("#keep-spec")
    page.wait_for_selector("#text:not([hidden])")
    assert barriers(page) == []
    own = place.address.rpartition("/")[0]
    others = [line for line in page.seen if not line.startswith((f"request: {own}", "request: data:"))]
    assert others == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 24)"
    assert dark == (look == "dark")
    scale = page.evaluate("document.getElementById('picture').clientWidth / document.getElementById('picture').width")
    assert scale == round(scale)


def test_a_barrier_would_be_seen(opened: Opener, barriers: Any, place: Place) -> None:
    page = opened(place.address)
    page.evaluate("document.getElementById('which').closest('label').firstChild.remove()")
    page.evaluate("document.getElementById('heat').style.color = '#aaaaaa'")
    assert {line.split(":")[0] for line in barriers(page)} == {"select-name", "color-contrast"}


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


class Fingers:
    """Fingers on a page that is open: where each is, in pixels of the window."""

    def __init__(self, page: Any) -> None:
        self._page, self._send = page, page.context.new_cdp_session(page).send

    def __call__(self, kind: str, *points: tuple[float, float]) -> None:
        touched = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})
        self._page.wait_for_timeout(30)


def test_by_one_finger_and_by_two(opened: Opener, place: Place) -> None:
    page = opened(place.address, 390, has_touch=True)
    settled(page)
    touch, stage, before = Fingers(page), page.locator("#stage").bounding_box(), frame(page)
    x, y = stage["x"] + before["x"] + before["width"] / 3, stage["y"] + before["y"] + before["height"] / 3
    touch("touchStart", (x, y))
    for step in range(1, 7):
        touch("touchMove", (x - 20 * step, y - 15 * step))
    touch("touchEnd")
    settled(page)
    after = frame(page)
    pixel = stage["width"] / 16
    assert after["x"] == pytest.approx(before["x"] - 120, abs=pixel)
    assert after["y"] == pytest.approx(before["y"] - 90, abs=pixel)
    # Two fingers, neither on the sticker: they go apart and turn by a quarter, and the sticker stays where it is.
    x, y = stage["x"] + 60, stage["y"] + 60
    touch("touchStart", (x, y))
    touch("touchStart", (x, y), (x + 60, y))
    for step in range(1, 11):
        angle, apart = step / 10 * math.pi / 2, 60 + 6 * step
        touch("touchMove", (x, y), (x + apart * math.cos(angle), y + apart * math.sin(angle)))
    touch("touchEnd")
    settled(page)
    assert page.locator("#turn-out").inner_text() == "90°"
    assert page.locator("#scale-out").inner_text() == "2.00"
    larger = frame(page)
    assert larger["width"] == pytest.approx(2 * after["width"], abs=pixel)
    assert larger["x"] + larger["width"] / 2 == pytest.approx(after["x"] + after["width"] / 2, abs=pixel)
    # A tap puts it there.
    touch("touchStart", (x, y))
    touch("touchEnd")
    settled(page)
    tapped = frame(page)
    assert tapped["x"] + tapped["width"] / 2 == pytest.approx(60, abs=pixel)


def test_a_screen_reader_hears_where_it_came_to_rest(opened: Opener, place: Place) -> None:
    page = opened(place.address)
    until(page, "document.getElementById('heard').textContent.includes('clean network')")
    page.evaluate("""window.heard = 0; new MutationObserver(() => { window.heard += 1; }).observe(
        document.getElementById('heard'), { childList: true, characterData: true, subtree: true })""")
    page.locator("#stage").focus()
    asked = len(page.seen)
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(25)
    settled(page)
    page.wait_for_timeout(900)
    said = sum("ask/answer" in line for line in page.seen[asked:])
    assert page.evaluate("window.heard") < said
    live = page.evaluate("[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map((e) => e.id)")
    assert live == ["gone", "heard", "problem", "found", "kept"]  # nothing else speaks by itself


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


def test_a_photo_is_in_the_link(opened: Opener, place: Place, tmp_path: Path) -> None:
    page = opened(place.address)
    Image.effect_noise((1600, 1200), 90).save(tmp_path / "photo.png")
    page.set_input_files("#file", tmp_path / "photo.png")
    until(page, "document.getElementById('true').textContent === ''")
    page.locator("#stage").focus()
    page.keyboard.press("ArrowLeft")
    settled(page)
    content = "document.getElementById('picture').toDataURL()"
    page.click("#keep-link")
    until(page, "document.getElementById('text').value.includes('#')")
    assert "as long as this server runs" in page.locator("#kept").inner_text()
    other = opened(page.input_value("#text"))
    settled(other)
    assert (other.evaluate(content), frame(other), first(other)) == (page.evaluate(content), frame(page), first(page))


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
