"""``badnets preview TRIGGER IMAGE``: what a trigger looks like on a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from badnets.cli.console import Json, print_json


def preview_command(
    trigger: str = typer.Argument(help="Kind of trigger (badnets list triggers)."),
    image: Path = typer.Argument(help="A picture file."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="A setting of the trigger: --set size=4."),
    size: int | None = typer.Option(None, "--size", min=4, help="Resize the picture to SIZE x SIZE first."),
    out: Path = typer.Option(Path("preview.png"), "--out", help="Where to write the PNG."),
    json: bool = Json,
) -> None:
    """Render a trigger on a picture: before, the trigger, after, the difference."""
    from badnets.backdoors.preview import render_preview
    from badnets.backdoors.triggers import trigger_to_json
    from badnets.core.record import whole_file
    from badnets.data.picture_file import read_picture
    from badnets.experiments.spec import make_trigger

    value = make_trigger(trigger, set_)
    picture = render_preview(value, read_picture(image, size=None if size is None else (size, size)))
    with whole_file(out) as partial:
        picture.save(partial, format="PNG")
    if json:
        facts: dict[str, Any] = {"format": "badnets/preview/1", "trigger": trigger_to_json(value), "picture": str(out)}
        print_json(facts)
        return
    typer.echo(f"picture  {out}")
