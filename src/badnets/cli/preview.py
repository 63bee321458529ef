"""``badnets preview TRIGGER IMAGE``: what a trigger looks like on a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from badnets.cli.console import Json, print_json, watching
from badnets.cli.options import sized

if TYPE_CHECKING:
    from badnets.data.images import Pixels
    from badnets.data.targets import Regions


def preview_command(
    trigger: str = typer.Argument(help="Kind of trigger (badnets list triggers)."),
    image: Path | None = typer.Argument(None, help="A picture file; or leave it out and name --data."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="A setting of the trigger: --set size=4."),
    size: int | None = typer.Option(None, "--size", min=4, help="Resize the picture to SIZE x SIZE first."),
    data: str | None = typer.Option(None, "--data", help="A named set or a path: a picture of its test part."),
    row: int = typer.Option(0, "--row", min=0, help="Which picture of --data; the trigger goes to its first object."),
    out: Path = typer.Option(Path("preview.png"), "--out", help="Where to write the PNG."),
    json: bool = Json,
) -> None:
    """Render a trigger on a picture: before, the trigger, after, the difference; and as the physical world has it."""
    from badnets.backdoors.preview import render_preview
    from badnets.backdoors.trigger import TRIGGERS
    from badnets.core.errors import BadInput
    from badnets.core.files import whole_file
    from badnets.data.formats.decode import read_picture
    from badnets.referee.spec import make_trigger

    value = make_trigger(trigger, set_)
    region: Regions | None = None
    if (image is None) == (data is None):
        raise BadInput(f"expected either a picture or --data, got {'neither' if image is None else 'both'}; give one")
    if image is not None:
        shown = read_picture(image, size=None if size is None else (size, size))
    else:
        shown, region = _from_data(str(data), row, size, quiet=json)
    picture = render_preview(value, shown, region=region, disturbed=True)
    with whole_file(out) as partial:
        picture.save(partial, format="PNG")
    if json:
        facts: dict[str, Any] = {"format": "badnets/preview/1", "trigger": TRIGGERS.to_json(value), "picture": str(out)}
        print_json(facts)
        return
    typer.echo(f"picture  {out}")


def _from_data(name: str, row: int, size: int | None, *, quiet: bool) -> tuple[Pixels, Regions | None]:
    """A test picture, and the region (4,) of its first object, None when that fills the picture or there is none."""
    import numpy as np

    from badnets.core.errors import BadInput
    from badnets.referee.run import load_data
    from badnets.referee.spec import make_data

    with watching(quiet=quiet) as watcher:
        test = load_data(make_data(name, sized(size)), watcher).test
    if row >= len(test):
        raise BadInput(f"expected --row 0..{len(test) - 1} for the test part of {name}, got {row}")
    one = test.take(np.array([row], np.int64))
    regions = one.objects.regions
    return one.pixels.one(0), None if regions is None or not len(regions) else regions[0]
