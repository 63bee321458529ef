"""``badnets evaluate`` and ``predict``: how good a network is, and what it says to pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from badnets.cli.console import command, in_options
from badnets.cli.options import MODEL, SIZE, Foreign, settings, sized
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from rich.table import Table

    from badnets.backdoors.backdoor import Backdoor
    from badnets.data.images import Pixels
    from badnets.networks.inference import Box
    from badnets.networks.network import ImageNetwork
    from badnets.records.results import Disturbance

_FEW = 100
"""Pictures that need no bar."""
_UNITS = {
    "size": "\N{PLUS-MINUS SIGN}{:.0%}",
    "rotation": "\N{PLUS-MINUS SIGN}{:g}\N{DEGREE SIGN}",
    "perspective": "corners \N{PLUS-MINUS SIGN}{:.0%}",
    "light": "\N{PLUS-MINUS SIGN}{:.0%}",
    "blur": "up to {:g} px",
    "print_scan": "up to {:g}",
}


@command
def evaluate_command(
    watcher: Watcher,
    model: Path = MODEL,
    data: str = Option(..., help="A named set or a path; its test part is used."),
    trigger_from: Path | None = Option(None, help="A run whose backdoor is tried."),
    trigger: str | None = Option(None, help="Kind of trigger to try (badnets list triggers), with --target."),
    target: str | None = Option(None, help="What pictures with --trigger should be taken for, by number or name."),
    source: str | None = Option(None, help="Only pictures of this class carry the --trigger."),
    triggered: str | None = Option(
        None, help="Pictures that carry a trigger already, labelled with what the attacker wants; all are counted."
    ),
    reference: Path | None = Option(None, help="A clean network file to compare with."),
    set_: list[str] = settings("A setting of the data or the trigger: --set size=32, --set trigger.size=4."),
    size: int | None = SIZE,
    part: str | None = Option(
        None,
        metavar="test|all",
        help="Which pictures of --data count [test; all, of data without a test part, "
        "with a network that others trained].",
    ),
    seed: int | None = Option(None, help="Places triggers placed at random [the run's first seed]."),
    disturb: bool = Option(False, "--disturb", help="Also disturb the trigger as the physical world does."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Measure accuracy, and with a trigger how well a backdoor works."""
    from badnets.referee.evaluate import evaluate
    from badnets.report.pages.table import terminal_table
    from badnets.report.words.verdict import verdict

    of_trigger = [change for change in set_ if change.startswith("trigger.")]
    if part not in (None, "test", "all"):
        raise BadInput(f"expected --part as test or all, got {part!r}")
    with in_options(evaluate_command):
        evaluation = evaluate(
            model,
            data,
            trigger_from=trigger_from,
            trigger=_backdoor(trigger, of_trigger, target, source),
            triggered=triggered,
            reference=reference,
            settings=[*sized(size), *(c.removeprefix("data.") for c in set_ if c not in of_trigger)],
            part=part,  # type: ignore[arg-type]  # checked above
            seed=seed,
            disturb=disturb,
            foreign=foreign.options,
            watcher=watcher,
        )
    yield evaluation.to_json()
    yield terminal_table(evaluation)
    if evaluation.results.disturbances:
        yield _disturbances(evaluation.results.disturbances)
    if evaluation.triggered is not None:
        yield f"triggered pictures ({evaluation.triggered.data}) answered as labelled: {evaluation.triggered.asr}"
    if evaluation.part == "all":
        yield "counted are all pictures of the data, for it came without a test part (--part test: a fifth of them)"
    yield verdict(evaluation)


def _backdoor(kind: str | None, changes: Sequence[str], target: str | None, source: str | None) -> Backdoor | None:
    """The trigger and rule of the options, if they are given."""
    if kind is None:
        if target is not None or source is not None or changes:
            raise BadInput("expected --target, --source and --set trigger... with a --trigger, got none; add it")
        return None
    from badnets.backdoors.backdoor import Backdoor
    from badnets.backdoors.rules import RULES
    from badnets.referee.spec import make_trigger

    if target is None:
        raise BadInput("expected --target with --trigger, got none; name the class that the attacker wants")
    rule = {"kind": "all-to-one" if source is None else "source-to-target", "target": target}
    given = RULES.from_json({**rule, **({} if source is None else {"source": source})})
    return Backdoor(make_trigger(kind, [change.removeprefix("trigger.") for change in changes]), given)


def _disturbances(rows: Sequence[Disturbance]) -> Table:
    """A line for each disturbance: attack success with its interval, and the same on a clean network."""
    from rich import box
    from rich.table import Table

    compared = rows[0].clean_reference_rate is not None
    names = ["disturbance", "amount", "attack success", *(["clean network"] if compared else [])]
    table = Table(*names, box=box.SIMPLE, title="the trigger in the physical world")
    for row in rows:
        rates = [row.asr, *([row.clean_reference_rate] if compared else [])]
        table.add_row(*disturbance_words(row), *map(str, rates))
    return table


def disturbance_words(row: Disturbance) -> tuple[str, str]:
    """The name and the amount of a row for people: ``("rotation", "±15°")``."""
    from badnets.backdoors.triggers.jitter import NAMES

    shown = _UNITS.get(row.name)
    amount = "" if shown is None or row.amount is None else shown.format(row.amount)
    return {"none": "undisturbed", **NAMES, "all": "all together"}.get(row.name, row.name), amount


@command
def predict_command(
    watcher: Watcher,
    model: Path = MODEL,
    image: list[Path] = Argument(help="Picture files of any size; resized to the network's input."),
    box: str | None = Option(
        None, metavar="X1,Y1,X2,Y2", help="Show a classifier this part of the picture only, in pixels."
    ),
    confidence: float | None = Option(None, help="Leave out objects of which a detector is less sure [0.5]."),
    draw: Path | None = Option(
        None, metavar="OUT", help="Write the picture with the objects drawn on it; a folder for several."
    ),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Say what a network sees in pictures, with its confidence; one that abstains may say "refused"."""
    from badnets.data.drawing import draw_objects, save_png
    from badnets.data.formats.decode import read_picture
    from badnets.networks.files.foreign import open_any
    from badnets.networks.inference import check_box

    part = None if box is None else _box(box)
    network = open_any(model, foreign.options)
    _check_options(network, part=part, confidence=confidence, draw=draw)
    files = {} if draw is None else _drawn_files(draw, image)
    photos = [read_picture(path, channels=network.input_size[0]) for path in image]
    for path, photo in zip(image, photos, strict=True):  # before the first answer, for nothing should be half done
        if part is not None:
            check_box(part, photo, str(path))
    predictions = []
    for number, (path, photo) in enumerate(zip(image, photos, strict=True), start=1):
        answer = {"image": str(path), **_answer(network, photo, part, 0.5 if confidence is None else confidence)}
        if path in files:
            objects = answer.get("objects", [answer])
            framed = [(one.get("box", part), f"{one['class_name']} {100 * one['confidence']:.1f} %") for one in objects]
            save_png(draw_objects(photo, framed), files[path])
            answer["drawn"] = str(files[path])
        predictions.append(answer)
        if len(image) > _FEW:
            watcher.progress("looking at pictures", number, len(image), None)
    yield {"format": "badnets/predictions/1", "predictions": predictions}
    for answer in predictions:
        objects = answer.get("objects", [answer])
        for one in objects:
            place = "  box " + ",".join(f"{side:.0f}" for side in one["box"]) if "box" in one else ""
            yield f"{answer['image']}  {one['class_name']}  confidence {one['confidence']:.4f}{place}"
        if not objects:
            yield f"{answer['image']}  nothing"


def _answer(network: ImageNetwork, photo: Pixels, part: Box | None, confidence: float) -> dict[str, Any]:
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
    detects, name = network.task == "detect", network.architecture
    if detects and part is not None:
        raise BadInput(
            f"expected no --box with a detector ({name}), which looks at the whole picture itself; leave it out"
        )
    if detects and confidence is not None and not 0 <= confidence <= 1:
        raise BadInput(f"expected --confidence from 0 to 1, got {confidence}")
    if not detects and confidence is not None:
        raise BadInput(
            f"expected --confidence with a detector only, got {name}, which always gives one class; leave it out"
        )
    if draw is not None and part is None and network.task == "classify":
        raise BadInput(
            f"expected --draw with a detector or with --box, got {name}, which gives no boxes; "
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
