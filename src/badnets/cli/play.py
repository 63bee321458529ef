"""``badnets play``: a page on which a sticker is dragged over a picture, and networks say what they see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer import Argument, Option, echo

from badnets.cli.console import Serving, command
from badnets.cli.options import SIZE, Foreign, settings, sized
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher


@command
def play_command(
    watcher: Watcher,
    model: list[Path] = Argument(
        None,
        help="Up to four network files or runs' folders, which answer side by side [the last run here, else the demo, "
        "which is made].",
    ),
    data: str | None = Option(None, help="Test pictures, a named set or a path [those of the run]."),
    size: int | None = SIZE,
    finding: Path | None = Option(None, help="An audit's finding: its reconstructed trigger is at hand."),
    port: int = Option(8765, min=1, max=65535, help="Where to serve; the next free one where it is in use."),
    host: str = Option("127.0.0.1", help="Whom to serve: this machine; others need --i-know."),
    i_know: bool = Option(False, "--i-know", help="Serve to other machines, knowing that whoever has the address may."),
    browser: bool = Option(True, "--browser/--no-browser", help="Open the page in a browser."),
    set_: list[str] = settings("A setting of the data: --set grey=true."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Drag a sticker over a picture in your browser and see what a network says, until Ctrl-C."""
    try:
        import starlette  # noqa: F401  # asked for before anything is made or opened
        import uvicorn  # noqa: F401
    except ImportError as error:
        package = (error.name or "starlette").partition(".")[0]
        raise BadInput(f"expected the package {package} for the page, got none; pip install 'badnets[play]'") from None
    from badnets.play.opening import open_table
    from badnets.play.serving import check_host, find_place, open_browser, serve

    check_host(host, knowing=i_know)
    models = model or [_run_at_hand(watcher)]
    changes = [*sized(size), *(change.removeprefix("data.") for change in set_)]
    table = open_table(models, data=data, settings=changes, finding=finding, foreign=foreign.options, watcher=watcher)
    place = find_place(host, port, watcher.say)

    def until_stopped() -> None:
        problem = open_browser(place.address) if browser else None
        if problem is not None:
            echo(problem, err=True)
        serve(table, place)
        echo("stopped", err=True)

    shown = {"networks": [player.name for player in table.players], "address": place.address}
    yield Serving({"format": "badnets/play/1", **shown}, 0, until_stopped)
    yield place.address


def _run_at_hand(watcher: Watcher) -> Path:
    """The last run here; where there is none, the demo's, which is made."""
    from badnets.play.opening import latest_run
    from badnets.referee.run import run
    from badnets.referee.spec import demo_spec

    found = latest_run()
    if found is None:
        watcher.say("there is no run here yet, so the demo is made: two minutes")
        found = run(demo_spec(), command="badnets demo", watcher=watcher).folder
    return found
