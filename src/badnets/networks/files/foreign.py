"""Open networks that others trained, in whatever file: the one entrance.

A file is recognized by its first bytes. Formats: safetensors, torch's own (weights only), Keras weights or models in
HDF5. Nothing in a file is run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import file_digest
from badnets.core.rate import Rate
from badnets.data.images import ImageData
from badnets.networks.architecture import LOGITS_OF, Architecture, InputSize
from badnets.networks.files.fitting import Matched, load, match
from badnets.networks.files.formats import SUFFIXES, Entry, ForeignFile, read_keras, read_safetensors, read_torch
from badnets.networks.files.header import Shape, has_our_header, opened, read_safetensors_header
from badnets.networks.files.own import open_network
from badnets.networks.files.tensors import reading
from badnets.networks.inference import align_classes, predict_data
from badnets.networks.network import ImageNetwork, LogProbabilities, kind_of_outputs
from badnets.networks.registry import build_network, find_architecture, parse_network, skeleton
from badnets.records.read import network_file

Normalization = tuple[list[float], list[float]]
"""Mean and std per channel on the 0..1 scale, as in ``ImageNetwork``."""

_RANGES = {"0-1": (0.0, 1.0), "0-255": (0.0, 1 / 255), "-1-1": (0.5, 0.5)}
_IMAGENET = "0.485,0.456,0.406/0.229,0.224,0.225"
_FORMS = f"{', '.join(_RANGES)} or MEAN/STD such as {_IMAGENET}"
_CANDIDATES = 16  # numbers of classes that are tried; each builds the architecture's skeleton
_TRIED = 1000  # pictures; more do not change which range is best
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLED = (b"PK", b"\x80")


class ForeignWarning(UserWarning):
    """A foreign network could be used, but something about it was guessed."""


@dataclass(frozen=True, kw_only=True)
class ForeignOptions:
    """What a person says about a foreign file. ``arch`` may have arguments (``resnet9:width=32``); ``input_size`` is
    (channels, height, width); what is None is found out, or asked for."""

    arch: str
    classes: int | None = None
    input_size: InputSize | None = None
    input_range: str | None = None


def open_any(
    path: Path | str, foreign: ForeignOptions | None = None, *, clean: ImageData | None = None
) -> ImageNetwork:
    """A network of ours (a file or a run's folder), or with ``foreign`` any other; see ``open_foreign``. Of our own
    files the header counts; ``foreign`` may then be given, but must not say anything else."""
    path = network_file(Path(path))
    if foreign is None:
        return open_network(path)
    if _is_ours(path):
        return _agreeing(path, open_network(path), foreign)
    return open_foreign(path, **asdict(foreign), clean=clean)


def open_foreign(
    path: Path | str,
    *,
    arch: str,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    input_size: InputSize | None = None,
    input_range: str | None = None,
    clean: ImageData | None = None,
) -> ImageNetwork:
    """A network of architecture ``arch`` with the weights of a file that another program wrote, in evaluation mode.

    Tensors are matched by name, else by shape and order, which ``ForeignWarning`` says. ``classes`` defaults to those
    of the file's last dense layer, ``class_names`` to ``"0"``, ``"1"``, ...; ``input_size`` (channels, height, width)
    to the one the architecture was made for, else that of ``clean``. ``input_range`` is ``0-1``, ``0-255``, ``-1-1`` or
    ``mean/std``; without it, each is tried on ``clean`` and the one with the highest accuracy is taken. A network that
    gives probabilities is followed by their logarithm. ``provenance`` says all that.
    Raises ``BadInput``, in one sentence that names the file and the tensor, for whatever cannot be used.
    """
    path = Path(path)
    name, arguments = parse_network(arch)
    architecture = find_architecture(name)
    resolved = architecture.resolve(arguments)
    size = input_size or architecture.input_size
    if size is None:
        if clean is None:
            raise BadInput(
                f"{architecture.name}: expected the size of its pictures, got none; add --input-size 32x32x3"
            )
        size = clean.shape[2], clean.shape[0], clean.shape[1]
    if input_range is None and not clean:
        raise BadInput(
            f"{path}: expected an input range (--input-range {_FORMS}) or clean data to try them on, got none"
        )
    if input_range is not None:
        parse_range(input_range, size[0])  # before the file is read, for a slip of the pen should be told at once
    with reading(path):
        file = _read(path)
        expected = classes if class_names is None else len(class_names)
        number, matched = _match(path, file, architecture, resolved, size, expected)
        names = tuple(map(str, range(number))) if class_names is None else tuple(class_names)
        built = build_network(architecture.name, class_names=names, input_size=size, seed=0, arguments=resolved)
        load(path, file, matched, built.body, size)
    if not matched.by_name:
        order = "the file's order" if file.ordered else "the order of their names, for this format keeps none"
        warnings.warn(
            f"{path.name}: its tensors have other names than those of {architecture.name} and were matched by shape "
            f"and {order}; {matched.swappable} of {len(matched.entries)} have a shape that others have too: check the "
            "accuracy",
            ForeignWarning,
            stacklevel=2,
        )
    provenance = {
        "foreign": True,
        "file": path.name,
        "sha256": file_digest(path),
        "file_format": file.format,
        "matched": "names" if matched.by_name else "shapes and order",
    }
    return _finish(built, provenance, input_range, clean).eval()


def _finish(
    built: ImageNetwork, provenance: dict[str, Any], input_range: str | None, clean: ImageData | None
) -> ImageNetwork:
    """``built`` with its range, named or found on ``clean``, and with logits as outputs."""
    channels = built.input_size[0]
    outputs = kind_of_outputs(built)
    changes: dict[str, Any] = {"provenance": {**built.provenance, **provenance, "outputs": outputs}}
    body = built.body
    if outputs == "probabilities":
        body, changes["architecture"] = LogProbabilities(body), LOGITS_OF + built.architecture

    def make(normal: Normalization) -> ImageNetwork:
        return built.with_body(body, mean=normal[0], std=normal[1], **changes)

    origin: dict[str, Any] = {"chosen": input_range, "found_on": None, "tried": {}}
    if input_range is None and clean is not None:
        input_range, accuracies = find_range(make, clean, channels)
        tried = {text: rate.to_json() for text, rate in accuracies.items()}
        origin = {"chosen": input_range, "found_on": clean.name, "tried": tried}
        listed = "; ".join(f"{text}: {rate}" for text, rate in accuracies.items())
        warnings.warn(
            f"{provenance['file']}: the input range {input_range} was found by trying on {clean.name} ({listed})",
            ForeignWarning,
            stacklevel=3,
        )
    network = make(parse_range(input_range or "", channels))
    network.provenance["input_range"] = origin
    return network


def _read(path: Path) -> ForeignFile:
    """The tensors of a file, by what its first bytes say it is."""
    with opened(path, "the file") as stream:
        start = stream.read(9)
    if start.startswith(_HDF5):
        return read_keras(path)
    if start[4:] == b"\0\0\0\0{":  # before pickles: a header's length may begin with the same byte
        return read_safetensors(path)
    if start.startswith(_PICKLED):
        if path.suffix.lower() not in SUFFIXES:
            raise BadInput(
                f"{path}: expected weights in HDF5 or safetensors, got a pickled file in disguise, which may run code "
                "when opened; nothing in it was run"
            )
        return read_torch(path)
    got = "an empty one" if not start else "something else"
    raise BadInput(f"{path}: expected a file of weights (safetensors, .pt or .pth, Keras HDF5), got {got}")


def _match(
    path: Path,
    file: ForeignFile,
    architecture: Architecture,
    arguments: Mapping[str, Any],
    size: InputSize,
    classes: int | None,
) -> tuple[int, Matched]:
    """The number of classes, and which tensor is which: the first number that fits, of those that the file suggests."""
    recorded = architecture.recorded(arguments)

    def shapes(number: int) -> dict[str, Shape]:
        bare = skeleton(architecture, number, size, recorded)
        return {name: tuple(value.shape) for name, value in bare.state_dict().items()}

    candidates = [classes] if classes is not None else _class_counts(file.entries, shapes(2), shapes(3))
    refused: BadInput | None = None
    for number in candidates:
        try:
            return number, match(path, file, shapes(number), f"{architecture.name} of {number} classes")
        except BadInput as error:
            refused = refused or error
    raise refused or BadInput(f"{path}: expected a last dense layer, got none; say how many classes (--classes)")


def _class_counts(entries: Sequence[Entry], two: Mapping[str, Shape], three: Mapping[str, Shape]) -> list[int]:
    """How many classes the file may be for: as its tensor of the head's name says, else its dense layers from the last.
    The head is what changes when the architecture is built for two and for three classes."""
    head = [name for name, shape in two.items() if shape != three[name] and len(shape) > 1]
    named = [e.shape[0] for e in entries for name in head if e.key == name or e.key.endswith(f".{name}")]
    dense = [e.shape[0] for e in reversed(entries) if len(e.shape) == 2]
    return list(dict.fromkeys([*named, *dense]))[:_CANDIDATES]


def _is_ours(path: Path) -> bool:
    """Whether it is a safetensors file with our header."""
    try:
        return has_our_header(read_safetensors_header(path))
    except BadInput:
        return False


def _agreeing(path: Path, network: ImageNetwork, foreign: ForeignOptions) -> ImageNetwork:
    """``network`` of our own file, unless ``foreign`` says something else about it."""
    name = find_architecture(parse_network(foreign.arch)[0]).name
    for what, has, said in (
        ("architecture", network.architecture.removeprefix(LOGITS_OF), name),
        ("classes", network.classes, foreign.classes),
        ("input size", network.input_size, foreign.input_size),
    ):
        if said is not None and has != said:
            raise BadInput(f"{path}: expected {what} {has}, as the file says itself, got {said}; leave the option away")
    if foreign.input_range is not None:
        numbers = torch.tensor(parse_range(foreign.input_range, network.input_size[0]))
        if not torch.allclose(numbers, torch.stack([network.mean.flatten(), network.std.flatten()]).cpu()):
            raise BadInput(
                f"{path}: expected the input range that the file has itself, got {foreign.input_range}; leave the "
                "option away (--input-range)"
            )
    return network


def parse_range(text: str | tuple[Sequence[float], Sequence[float]], channels: int) -> Normalization:
    """``0-1``, ``0-255``, ``-1-1``, or ``mean/std`` (numbers on the 0..1 scale, one or one for each channel), which may
    also be two sequences of numbers."""
    if not isinstance(text, str):
        text = "/".join(",".join(map(repr, map(float, part))) for part in text)
    if text in _RANGES:
        mean, std = _RANGES[text]
        return [mean] * channels, [std] * channels
    try:
        means, stds = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        raise BadInput(f"expected an input range {_FORMS}, got {text!r}") from None
    if not (all(np.isfinite([*means, *stds])) and min(stds) > 0):
        raise BadInput(f"expected finite means and positive deviations as an input range, got {text!r}")
    if len(means) not in (1, channels) or len(stds) not in (1, channels):
        raise BadInput(f"expected an input range MEAN/STD with 1 or {channels} numbers each, got {text!r}")
    return means * (channels // len(means)), stds * (channels // len(stds))


def find_range(
    make: Callable[[Normalization], ImageNetwork], clean: ImageData, channels: int
) -> tuple[str, dict[str, Rate]]:
    """The range with which the network is right most often on (at most 1,000 of) ``clean``, and the accuracy of each.
    Tried are 0-1, 0-255, -1-1 and, for color, ImageNet's mean and std; of equals the first is taken. Raises
    ``CannotTell`` when none gives a single right answer."""
    rows = np.unique(np.linspace(0, len(clean) - 1, min(len(clean), _TRIED)).astype(np.int64))
    tried: dict[str, Rate] = {}
    for text in (*_RANGES, *([_IMAGENET] if channels == 3 else [])):
        network = make(parse_range(text, channels))
        some = align_classes(clean.take(rows), network)
        tried[text] = Rate.of(predict_data(network, some).labels == some.labels)
    best = max(tried, key=lambda text: tried[text].hits)
    if not tried[best].hits:
        raise CannotTell(
            f"expected right answers on {clean.name} with some input range, got none of {len(rows)} with each of "
            f"{', '.join(tried)}; name the range (--input-range), or other data"
        )
    return best, tried
