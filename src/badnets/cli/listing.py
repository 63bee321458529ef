"""``badnets list``, ``convert`` and ``preview``: what there is, a network as a file of ours, a trigger on a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from badnets.cli.console import command
from badnets.cli.options import SIZE, Foreign, settings, sized
from badnets.core.errors import BadInput, nearest
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from badnets.core.registry import Entry, Registry
    from badnets.data.targets import Regions

_NAMES = 12
"""Classes that are shown."""
FAMILIES = {
    "triggers": ("badnets.backdoors.trigger", "TRIGGERS"),
    "rules": ("badnets.backdoors.rules", "RULES"),
    "datasets": ("badnets.data.registry", "SOURCES"),
    "networks": ("badnets.networks.architecture", "ARCHITECTURES"),
    "guards": ("badnets.networks.architecture", "GUARDS"),
    "detectors": ("badnets.audits.detector", "DETECTORS"),
    "repairs": ("badnets.defenses.repair", "REPAIRS"),
    "abstainers": ("badnets.defenses.abstain", "ABSTAINERS"),
    "studies": ("badnets.studies.registry", "STUDIES"),
}
"""Where the table of each family is; imported when it is listed."""


def family(name: str) -> Registry[object]:
    """The table of a family."""
    module, table = FAMILIES[name]
    registry: Registry[object] = getattr(import_module(module), table)
    return registry


@command
def list_command(
    what: str = Argument("", help=f"{', '.join(FAMILIES)}; all of them by default."),
) -> Iterator[Any]:
    """List what there is of each family, that of other packages included."""
    from badnets.core.registry import OURS

    if what and what not in FAMILIES:
        raise BadInput(f"expected something to list, got {what!r}; {nearest(what, FAMILIES)}")
    items, lines = [], []
    for kind in [what] if what else FAMILIES:
        entries = _entries(kind)
        shown = _folded(entries)
        width = max((len(entry.name) for entry in entries if entry.name in shown), default=0)
        if not what:
            lines.append(f"{kind}:")
        for entry in entries:
            package = "" if entry.package == OURS else entry.package
            more = {"kind": "" if what else kind, "package": package, "problem": entry.problem}
            known = {key: value for key, value in more.items() if value}
            items.append({"name": entry.name, "summary": entry.summary, **known})
            origin = f" [{package}]" if package else ""
            if entry.name in shown:
                more_names = f"; also {', '.join(shown[entry.name])}" if shown[entry.name] else ""
                lines.append(f"{'' if what else '  '}{entry.name:<{width}}  {entry.summary}{more_names}{origin}")
    yield {"format": "badnets/list/1", "items": items}
    yield from lines


def _entries(kind: str) -> list[Entry[Any]]:
    """What there is of a family; of networks the forms that names may have, too."""
    from badnets.core.registry import Entry

    entries: list[Entry[Any]] = [*family(kind).entries()]
    if kind == "networks":
        from badnets.networks.names import FORMS, by_numbers

        entries.sort(key=lambda entry: by_numbers(entry.name))
        entries += [Entry(name=form.name, value=form) for form in FORMS]
    return entries


def _folded(entries: list[Entry[Any]]) -> dict[str, list[str]]:
    """The names that get a line, each with the other sizes of its shape, which get none."""
    lines: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for entry in entries:
        shape = getattr(entry.value, "family", "")
        if shape and shape in first:
            lines[first[shape]].append(entry.name)
        else:
            first[shape] = entry.name
            lines[entry.name] = []
    return lines


def folded(names: Sequence[str]) -> str:
    """The names of classes on a line: all of a few, the first and the last of many."""
    return ", ".join(names) if len(names) <= _NAMES else f"{', '.join(names[: _NAMES - 2])}, ..., {names[-1]}"


@command
def convert_command(
    watcher: Watcher,
    model: Path = Argument(help="A network file that another program wrote."),
    out: Path = Option(..., help="The new file, NAME.safetensors."),
    data: str | None = Option(None, help="Clean pictures, a named set or a path: what is not said is found on them."),
    set_: list[str] = settings("A setting of the data: --set size=32."),
    size: int | None = SIZE,
    force: bool = Option(False, "--force", help="Replace a file that is there."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Write a network of another program as a file of badnets, which says itself what it is."""
    from badnets.networks.files.foreign import is_ours, open_any
    from badnets.networks.files.own import save_network
    from badnets.referee.data import load_data
    from badnets.referee.spec import make_data

    if out.exists() and not force:
        raise BadInput(f"expected a new file as --out, got {out}, which is there; choose another, or add --force")
    if model.is_file() and is_ours(model):
        raise BadInput(f"expected a file of another program, got {model}, which badnets wrote; use it as it is")
    clean = None if data is None else load_data(make_data(data, [*sized(size), *set_]), watcher)
    network = open_any(model, foreign.options, clean=None if clean is None else clean.train or clean.test)
    save_network(network, out)
    c, h, w = network.input_size
    known = network.provenance
    yield {
        "format": "badnets/converted/1",
        "file": str(out),
        "architecture": network.architecture,
        "class_names": list(network.class_names),
        "input_size": {"channels": c, "height": h, "width": w},
        "mean": network.mean.flatten().tolist(),
        "std": network.std.flatten().tolist(),
        "channel_order": network.channel_order,
        "provenance": known,
    }
    mean, std = (
        ", ".join(f"{number:.4g}" for number in part.flatten().tolist()) for part in (network.mean, network.std)
    )
    yield f"network  {out}"
    yield f"  {known.get('network', network.architecture)}"
    yield f"  {h}x{w}x{c} -> {network.classes} classes ({folded(network.class_names)})"
    yield f"  pictures less {mean}, over {std} (on the scale 0 to 1); channels {network.channel_order}"


@command
def preview_command(
    watcher: Watcher,
    trigger: str = Argument(help="Kind of trigger (badnets list triggers)."),
    image: Path | None = Argument(None, help="A picture file; or leave it out and name --data."),
    set_: list[str] = settings("A setting of the trigger, or of the data: --set size=4, --set data.grey=true."),
    size: int | None = Option(None, min=4, help="Resize the picture to SIZE x SIZE first."),
    data: str | None = Option(None, help="A named set or a path: a picture of its test part."),
    row: int = Option(0, min=0, help="Which picture of --data; the trigger goes to its first object."),
    out: Path = Option(Path("preview.png"), help="Where to write the PNG."),
) -> Iterator[Any]:
    """Render a trigger on a picture: before, the trigger, after, the difference; and as the physical world has it."""
    import numpy as np

    from badnets.backdoors.preview import render_preview
    from badnets.backdoors.trigger import TRIGGERS
    from badnets.core.files import whole_file
    from badnets.data.formats.decode import read_picture
    from badnets.referee.data import load_data
    from badnets.referee.spec import make_data, make_trigger

    of_data = [change.removeprefix("data.") for change in set_ if change.startswith("data.")]
    value = make_trigger(trigger, [change for change in set_ if not change.startswith("data.")])
    region: Regions | None = None  # the whole picture
    if image is not None and data is None:
        shown = read_picture(image, size=None if size is None else (size, size))
    elif image is None and data is not None:
        test = load_data(
            make_data(data, [*sized(size), *(change.removeprefix("data.") for change in of_data)]), watcher
        ).test
        if row >= len(test):
            raise BadInput(f"expected --row 0..{len(test) - 1} for the test part of {data}, got {row}")
        one = test.take(np.array([row], np.int64))
        shown, regions = one.pixels.one(0), one.objects.regions
        region = None if regions is None or not len(regions) else regions[0]  # of the first object
    else:
        raise BadInput(f"expected either a picture or --data, got {'neither' if image is None else 'both'}; give one")
    picture = render_preview(value, shown, region=region, disturbed=True)
    with whole_file(out) as partial:
        picture.save(partial, format="PNG")
    yield {"format": "badnets/preview/1", "trigger": TRIGGERS.to_json(value), "picture": str(out)}
    yield f"picture  {out}"
