"""Take the pictures of teach.md from the real page of ``badnets play``: part of ``make docs``.

Needs Chromium; without it the pictures stay as they are. The demo's run is made where it is not there yet. Fonts differ
from machine to machine, so ``make check`` compares no pixels: each picture carries the digest of what the page looks
like (its HTML and CSS) and of this script, and must be as wide as it is taken.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from badnets.core.progress import Watcher
from badnets.referee.run import run
from badnets.referee.spec import demo_spec

PICTURES = Path(__file__).resolve().parent / "images"
WINDOW = 1100
WIDTHS = {"play-sticker": 1008, "play-without": 1008, "play-moved": 1008, "play-places": 480}
"""Every picture, and how many pixels wide it is."""
LARGEST = 300_000
FORM = "badnets page"


def form() -> str:
    """A digest of what decides how the page looks and what is taken of it."""
    page = files("badnets.play").joinpath("page")
    parts = [page.joinpath(name).read_text(encoding="utf-8") for name in ("index.html", "play.css")]
    parts.append(Path(__file__).read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def problems(folder: Path = PICTURES) -> list[str]:
    """What is wrong with the pictures in ``folder``, a sentence each."""
    found = []
    for name, width in WIDTHS.items():
        place = folder / f"{name}.png"
        if not place.is_file():
            found.append(f"expected the picture {place.name}, got none; run make docs")
            continue
        with Image.open(place) as image:
            shown, wide = image.info.get(FORM), image.width
        if shown != form():
            found.append(f"expected {place.name} of the page as it is now, got an older one; run make docs")
        if wide != width or place.stat().st_size > LARGEST:
            found.append(f"expected {place.name} {width} pixels wide and at most {LARGEST:,} bytes; run make docs")
    return found


def take(page: Any) -> None:
    """The lesson, step by step."""

    def settle() -> None:
        page.wait_for_timeout(1500)

    def shot(name: str, part: str) -> None:
        place, marks = PICTURES / f"{name}.png", PngInfo()
        marks.add_text(FORM, form())
        with Image.open(io.BytesIO(page.locator(part).screenshot())) as image:
            image.convert("RGB").save(place, "PNG", pnginfo=marks, optimize=True)

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
            page = chromium.new_page(viewport={"width": WINDOW, "height": 900})
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
