"""Take the pictures of teach.md from the real page of ``badnets play``: part of ``make docs``.

Needs Chromium; without it the pictures stay as they are. The demo's run is made where it is not there yet.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from badnets.core.progress import Watcher
from badnets.referee.run import run
from badnets.referee.spec import demo_spec

PICTURES = Path(__file__).resolve().parent / "images"


def take(page: Any) -> None:
    """The lesson, step by step."""

    def settle() -> None:
        page.wait_for_timeout(1500)

    def shot(name: str, part: str) -> None:
        page.locator(part).screenshot(path=PICTURES / f"{name}.png")

    settle()
    shot("play-sticker", ".look")
    page.uncheck("#on")
    settle()
    shot("play-without", ".look")
    page.check("#on")
    page.locator("#stage").focus()
    for _ in range(14):
        page.keyboard.press("ArrowUp")
    settle()
    shot("play-moved", ".look")
    page.click("#back")
    settle()
    page.click("#heat")
    page.wait_for_selector(".maps figure")
    settle()
    shot("play-places", "#found")


def main() -> int:
    """0, also where there is no browser: a sentence says so."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        print("no Chromium here, so the pictures of docs/teach.md stay as they are")
        return 0
    from playwright.sync_api import sync_playwright

    folder = run(demo_spec(), command="badnets demo", watcher=Watcher(say=print)).folder
    command = [sys.executable, "-m", "badnets", "play", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as started:  # noqa: S603
        try:
            address = "" if server.stdout is None else server.stdout.readline().strip()
            chromium = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
            page = chromium.new_page(viewport={"width": 1100, "height": 900})
            page.goto(address)
            page.wait_for_selector("html[data-answered]")
            take(page)
            chromium.close()
        finally:
            server.terminate()
    print("wrote docs/images/play-*.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
