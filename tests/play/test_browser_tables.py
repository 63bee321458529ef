"""The page in a real browser, with other networks on the table and with a server that goes away."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.play.conftest import ANSWERED, Opener, first, settled, until

from badnets.networks.guards.guard import as_network
from badnets.networks.guards.refuse_class import RefuseClass
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import build_network
from badnets.play.answers import Answers
from badnets.play.opening import Player, Table
from badnets.play.serving import find_place
from badnets.play.state import Ask

pytestmark = pytest.mark.browser


class Slow(ImageNetwork):
    """A network that takes its time, and counts how often it was asked."""

    def __init__(self, of: ImageNetwork) -> None:
        super().__init__(of.body, **of.description)
        self.calls = 0
        self.eval()

    def forward(self, images: Any, *more: Any) -> Any:
        time.sleep(0.25)
        self.calls += 1
        return super().forward(images, *more)


def test_networks_side_by_side_and_names_are_text(opened: Opener, barriers: Any, served: Any, table: Table) -> None:
    names = ["<img src=x onerror=alert(1)>", "b", "c"]
    other = build_network("g1-cnn", class_names=names, input_size=(1, 16, 16), seed=1).eval()
    four = (*table.players, Player("<b>mine</b>", "asked", other), Player("again", "asked", other))
    with served(dataclasses.replace(table, players=four), find_place(port=18800)) as running:
        page = opened(running.address, 390)
        assert page.locator(".card").count() == 4
        assert page.locator(".card h2").nth(2).inner_text() == "<b>mine</b>"
        assert page.locator("#said img").count() == 0
        assert names[0] in page.locator(".card").nth(2).inner_text()
        assert barriers(page) == []
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_a_map_can_be_stopped_and_the_latest_wins(opened: Opener, served: Any, table: Table) -> None:
    slow = dataclasses.replace(table, players=(Player("slow", "asked", Slow(table.network)),))
    with served(slow, find_place(port=18950)) as running:
        page = opened(running.address)
        page.click("#heat")
        page.wait_for_selector("#found progress[value]")
        until(page, "document.querySelector('#found progress').value > 0")
        assert re.search(r"\d+ of \d+ places", page.locator("#found").inner_text())
        page.click("#found button")
        until(page, "document.getElementById('found').textContent === ''")
        assert page.evaluate("document.activeElement.id") == "heat"
        page.click("#heat")
        page.wait_for_selector("#found progress")
        page.click("#measure")
        page.wait_for_selector(".rates")
        assert page.locator("#found figure").count() == 0
        assert page.locator("#problem").inner_text() == ""
        # The one that was stopped does not go on behind the page's back.
        calls = slow.network.calls
        page.wait_for_timeout(1500)
        assert slow.network.calls <= calls + 1


def test_a_map_of_a_detector(opened: Opener, barriers: Any, served: Any, tmp_path: Path) -> None:
    small = {"width": 4, "proposals": 20}
    size = (3, 64, 96)
    network = build_network("faster-rcnn", class_names=["stop", "yield"], input_size=size, seed=1, arguments=small)
    Image.effect_noise((300, 200), 90).convert("RGB").save(tmp_path / "photo.png")
    with served(Table(players=(Player("detector", "asked", network.eval()),)), find_place(port=18960)) as running:
        page = opened(running.address, 390, answered=False)
        page.wait_for_selector(".card", state="attached")
        page.set_input_files("#file", tmp_path / "photo.png")
        page.wait_for_selector(ANSWERED)
        page.select_option("#target", "1")
        page.click("#heat")
        page.wait_for_selector(".maps figure")
        assert page.locator(".maps circle").count() == 49
        assert "yield appears at" in page.locator(".maps figcaption").inner_text()
        ratio = "(e) => e.getBoundingClientRect().width / e.getBoundingClientRect().height"
        assert page.locator(".map").evaluate(ratio) == pytest.approx(1.5, abs=0.02)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
        assert barriers(page) == []


def test_a_refusal_is_shown_in_words(opened: Opener, served: Any, table: Table) -> None:
    said = Answers(table).answer(Ask(picture={"row": 0}))["said"][0]["likeliest"][0]["label"]
    guarded = Player("guarded network", "guarded", as_network(RefuseClass(table.network, said), table.network))
    with served(dataclasses.replace(table, players=(table.players[0], guarded)), find_place(port=18970)) as running:
        page = opened(running.address)
        page.uncheck("#on")
        page.click("#thumbs button >> nth=0")
        settled(page)
        assert first(page, 1) == "\u25cf refuses to answer"
        until(page, "document.getElementById('heard').textContent.includes('guarded network: refuses to answer')")


def test_a_server_that_was_started_anew_is_another_one(opened: Opener, served: Any, table: Table) -> None:
    with served(table, find_place(port=18870)) as running:
        page = opened(running.address)
        settled(page)
    port = int(running.address.split(":")[2].split("/")[0])
    page.locator("#stage").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#gone:not([hidden])")
    with served(table, find_place(port=port)) as another:
        until(page, "document.getElementById('gone').textContent.includes('started anew')")
        told = page.locator("#gone").inner_text()
        assert "the new address, which stands in the terminal" in told
        assert another.may.token not in page.content()
        page.locator("#stage").focus()
        page.keyboard.press("ArrowUp")  # it stays said
        page.wait_for_timeout(600)
        assert page.locator("#gone").inner_text() == told


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
