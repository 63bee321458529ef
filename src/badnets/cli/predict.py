"""``badnets predict MODEL IMAGE...``: what a network says to pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from badnets.cli.console import Json, print_json
from badnets.cli.options import Foreign, with_options
from badnets.core.errors import BadInput

if TYPE_CHECKING:
    from badnets.data.images import Pixels
    from badnets.networks.inference import Box
    from badnets.networks.network import ImageNetwork

_SURE = 0.5


@with_options
def predict_command(
    model: Path = typer.Argument(help="A network file, or a run's folder."),
    image: list[Path] = typer.Argument(help="Picture files of any size; resized to the network's input."),
    box: str | None = typer.Option(
        None, "--box", metavar="X1,Y1,X2,Y2", help="Show a classifier this part of the picture only, in pixels."
    ),
    confidence: float | None = typer.Option(
        None, "--confidence", help="Leave out objects of which a detector is less sure [0.5]."
    ),
    draw: Path | None = typer.Option(
        None, "--draw", metavar="OUT", help="Write the picture with the objects drawn on it; a folder for several."
    ),
    *,
    foreign: Foreign,
    json: bool = Json,
) -> None:
    """Say what a network sees in pictures, with its confidence; one that abstains may say "refused"."""
    from badnets.data.formats.decode import read_picture
    from badnets.networks.files.foreign import open_any
    from badnets.networks.inference import check_box

    part = None if box is None else _box(box)
    network = open_any(model, foreign.foreign)
    _check_options(network, part=part, confidence=confidence, draw=draw)
    files = {} if draw is None else _drawn_files(draw, image)
    photos = [read_picture(path, channels=network.input_size[0]) for path in image]
    for path, photo in zip(image, photos, strict=True):  # before the first answer, for nothing should be half done
        if part is not None:
            check_box(part, photo, str(path))
    predictions = []
    for path, photo in zip(image, photos, strict=True):
        told = {"image": str(path), **_told(network, photo, part, _SURE if confidence is None else confidence)}
        if path in files:
            _draw(photo, told, part, files[path])
            told["drawn"] = str(files[path])
        predictions.append(told)
    if json:
        print_json({"format": "badnets/predictions/1", "predictions": predictions})
        return
    for told in predictions:
        for line in _lines(told):
            typer.echo(line)


def _told(network: ImageNetwork, photo: Pixels, part: Box | None, confidence: float) -> dict[str, Any]:
    """``{"objects"}`` of a detector, ``{"label", "class_name", "confidence"}`` of others; ``"box"`` where there is
    one."""
    from badnets.networks.inference import ask, detect_photo
    from badnets.referee.examples import sightings

    if network.task == "detect":
        seen = sightings(detect_photo(network, photo), 0, network.class_names, confidence)
        return {"objects": [one.to_json() for one in seen]}
    answer = ask(network, photo, part)
    return {
        "label": answer.label,
        "class_name": network.class_names[answer.label] if answer.label < network.classes else "refused",
        "confidence": round(answer.confidence, 6),
        **({} if answer.box is None else {"box": [round(side, 2) for side in answer.box]}),
    }


def _lines(told: dict[str, Any]) -> list[str]:
    objects = told.get("objects", [told])
    if not objects:
        return [f"{told['image']}  nothing"]
    return [f"{told['image']}  {_words(one)}" for one in objects]


def _words(one: dict[str, Any]) -> str:
    box = "  box " + ",".join(f"{side:.0f}" for side in one["box"]) if "box" in one else ""
    return f"{one['class_name']}  confidence {one['confidence']:.4f}{box}"


def _box(text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(number) for number in text.split(","))
    except ValueError:
        raise BadInput(f"expected --box as four numbers x1,y1,x2,y2 in pixels, got {text!r}") from None
    if not (all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2):
        raise BadInput(f"expected --box as x1,y1,x2,y2 with x1 < x2 and y1 < y2, got {text!r}")
    return x1, y1, x2, y2


def _check_options(network: ImageNetwork, *, part: Box | None, confidence: float | None, draw: Path | None) -> None:
    """Refuse what makes no sense with this kind of network."""
    if network.task == "detect":
        if part is not None:
            raise BadInput(
                f"expected no --box with a detector ({network.architecture}), which looks at the whole picture itself; "
                "leave it out"
            )
        if confidence is not None and not 0 <= confidence <= 1:
            raise BadInput(f"expected --confidence from 0 to 1, got {confidence}")
        return
    if confidence is not None:
        raise BadInput(
            f"expected --confidence with a detector only, got {network.architecture}, which always gives one class; "
            "leave it out"
        )
    if draw is not None and part is None and network.task != "locate":
        raise BadInput(
            f"expected --draw with a detector or with --box, got {network.architecture}, which gives no boxes; "
            "add --box x1,y1,x2,y2 or leave it out"
        )


def _drawn_files(out: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """Which file the drawing of each picture goes to: ``out`` itself, or for several pictures one each in it."""
    if len(images) == 1 and not out.is_dir():
        if out.suffix.lower() != ".png":
            raise BadInput(f"expected --draw as a .png file, got {out}; name it {out.with_suffix('.png').name}")
        files = {images[0]: out}
    else:
        if not out.is_dir() and (out.exists() or out.suffix.lower() == ".png"):
            raise BadInput(f"expected --draw as a folder for {len(images)} pictures, got {out}")
        files = {path: out / f"{path.stem}.png" for path in images}
    if len(set(files.values())) < len(set(images)):
        raise BadInput(f"expected pictures of different names to draw into {out}, got two of one name; draw them apart")
    inputs = {path.resolve() for path in images}
    for file in files.values():
        if file.resolve() in inputs:
            raise BadInput(f"expected --draw to name another file than a picture given, got {file}; choose another")
    return files


def _draw(photo: Pixels, told: dict[str, Any], part: Box | None, file: Path) -> None:
    from badnets.data.drawing import draw_objects, save_png

    objects = told.get("objects", [told])
    framed = [(one.get("box", part), f"{one['class_name']} {100 * one['confidence']:.1f} %") for one in objects]
    save_png(draw_objects(photo, framed), file)
