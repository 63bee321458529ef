"""Open networks that others trained, in whatever file: the one entrance.

What a file does not say is found out, or asked for: the architecture by the names and shapes of its tensors, the range
of its pictures and the order of their channels by trying on clean ones. Nothing in a file is run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from badnets.core.errors import BadInput
from badnets.core.files import file_digest
from badnets.core.text import brief
from badnets.data.images import ImageData
from badnets.networks.architecture import LOGITS_OF, InputSize
from badnets.networks.files.candidates import Candidate, guessed, named
from badnets.networks.files.class_names import IMAGEFOLDER
from badnets.networks.files.formats.hugging_face import is_hugging_face, open_hugging_face
from badnets.networks.files.formats.kinds import is_onnx, read_foreign
from badnets.networks.files.formats.onnx_file import onnx_candidate
from badnets.networks.files.header import has_our_header, read_safetensors_header
from badnets.networks.files.own import open_network
from badnets.networks.files.ranges import FORMS, Found, Way, all_ways, find_way, parse_range, ranges_in_use
from badnets.networks.files.tensors import reading
from badnets.networks.inference import align_classes
from badnets.networks.network import ORDERS, ChannelOrder, ImageNetwork, LogProbabilities, kind_of_outputs
from badnets.networks.registry import find_architecture, parse_network
from badnets.records.read import network_file


class ForeignWarning(UserWarning):
    """A foreign network could be used, but something about it was guessed."""


@dataclass(frozen=True, kw_only=True)
class ForeignOptions:
    """What a person says about a foreign file. ``arch`` may have arguments (``resnet9:width=32``), or they are
    ``arguments``; ``class_names`` may be ``"imagefolder"``; ``input_size`` is (channels, height, width); what is None
    is found out, or asked for."""

    arch: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    classes: int | None = None
    class_names: Sequence[str] | None = None
    input_size: InputSize | None = None
    input_range: str | None = None
    channel_order: ChannelOrder | None = None


def open_any(
    path: Path | str, foreign: ForeignOptions | None = None, *, clean: ImageData | None = None
) -> ImageNetwork:
    """A network of ours (a file or a run's folder), or any other; see ``open_foreign``. Of our own files the header
    counts; ``foreign`` may then be given, but must not say anything else."""
    said = foreign or ForeignOptions()
    if is_hugging_face(Path(path)):
        return _from_hub(Path(path), said)
    path = network_file(Path(path))
    if is_ours(path):
        if said.arch is not None:  # code that is named with it must be known before a file of its network is opened
            find_architecture(parse_network(said.arch)[0])
        return _agreeing(path, open_network(path), said)
    return _opened(path, said, clean)


def is_ours(path: Path) -> bool:
    """Whether it is a safetensors file with our header."""
    try:
        return has_our_header(read_safetensors_header(path))
    except BadInput:
        return False


def says_itself(path: Path) -> bool:
    """Whether a file, a run's folder or one of the Hugging Face hub says itself what network it is, size and range."""
    return is_hugging_face(path) or is_ours(network_file(path))


def open_foreign(path: Path | str, *, clean: ImageData | None = None, **said: Any) -> ImageNetwork:
    """A network with the weights of a file that another program wrote, in evaluation mode; ``said`` are the fields of
    ``ForeignOptions``.

    Without ``arch`` it is the network that the file describes (Keras), or one whose names and shapes the tensors have,
    or layers in a row that fit. Tensors are matched by name, else by shape and order. ``classes`` defaults to those of
    the file's last dense layer, ``input_size`` to the one the architecture was made for, else that of ``clean``.
    ``input_range`` is ``0-1``, ``0-255``, ``-1-1`` or ``mean/std``; ranges, orders of channels and of classes that are
    not named are tried on ``clean``, and the one with the highest accuracy is taken. A network that gives probabilities
    is followed by their logarithm. ``provenance`` says all that, and ``ForeignWarning`` what was guessed.
    Raises ``BadInput``, in one sentence that names the file and the tensor, for whatever cannot be used.
    """
    return _opened(Path(path), ForeignOptions(**said), clean)


def _opened(path: Path, said: ForeignOptions, clean: ImageData | None) -> ImageNetwork:
    size = said.input_size or (clean and (clean.shape[2], clean.shape[0], clean.shape[1])) or None
    if said.input_range is not None:
        parse_range(said.input_range, size[0] if size else 3 if "," in said.input_range else 1)
    elif clean is None:
        raise BadInput(
            f"{path}: expected an input range (--input-range {FORMS}) or clean data to try them on, got none"
        )
    if said.class_names == IMAGEFOLDER and clean is None:
        raise BadInput(f"{path}: expected --class-names imagefolder with data whose names they are, got none")
    if said.class_names is not None and said.class_names != IMAGEFOLDER:
        _check_names(said.class_names, said.classes)
    with reading(path):
        files = [] if is_onnx(path) else read_foreign(path)
        if not files:
            found = [_from_onnx(path, said, clean)]
        elif said.arch is None:
            found = guessed(path, files, size, said.classes, tries=clean is not None)
        else:
            name, arguments = parse_network(said.arch)
            found = named(path, files, name, {**arguments, **said.arguments}, said.input_size, size, said.classes)
    candidates = [_with_logits(candidate) for candidate in _comparable(found, clean)]
    return _chosen(path, candidates, said, clean).eval()


def _comparable(candidates: Sequence[Candidate], clean: ImageData | None) -> list[Candidate]:
    """Those that take the same pictures and know as many classes: as ``clean`` if there are such, else as the first."""
    first = next((one for one in candidates if clean and one.network.classes == clean.classes), candidates[0]).network
    kind = first.input_size, first.classes
    return [one for one in candidates if (one.network.input_size, one.network.classes) == kind]


def _from_onnx(path: Path, said: ForeignOptions, clean: ImageData | None) -> Candidate:
    """The network of an ONNX file, which has its own graph."""
    if said.arch is not None:
        raise BadInput(
            f"{path}: expected no architecture, for the file has its own, got {brief(said.arch)}; drop --arch"
        )
    named = said.class_names is not None and said.class_names != IMAGEFOLDER
    number = len(said.class_names or ()) if named else said.classes
    shown = None if clean is None else (clean.shape[2], clean.shape[0], clean.shape[1])
    return onnx_candidate(path, said.input_size, shown, number)


def _check_names(names: Sequence[str], classes: int | None) -> None:
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise BadInput(f"expected every class once in the names of classes, got {brief(twice, 60)!r} twice")
    if classes is not None and classes != len(names):
        raise BadInput(f"expected {classes} names of classes (--classes), got {len(names)}")


def _with_logits(candidate: Candidate) -> Candidate:
    built = candidate.network
    outputs = kind_of_outputs(built)
    built.provenance["outputs"] = outputs
    if outputs == "probabilities":
        built = built.with_body(LogProbabilities(built.body), architecture=LOGITS_OF + built.architecture)
    return Candidate(candidate.words, built, candidate.guessed, candidate.notes)


def _chosen(path: Path, candidates: Sequence[Candidate], said: ForeignOptions, clean: ImageData | None) -> ImageNetwork:
    """The best of the candidates, in the range, order of channels and names of classes that are named or found."""
    first = candidates[0].network
    channels, names = first.input_size[0], _orders_of_names(path, first, said, clean)
    ranges = [said.input_range] if said.input_range is not None else []
    orders = [said.channel_order] if said.channel_order is not None else list(ORDERS[:1])
    if clean is not None:
        ranges = ranges or ranges_in_use(clean, channels)
        orders = orders if said.channel_order is not None or channels != 3 else list(ORDERS)
    ways = list(all_ways(len(candidates), ranges, orders[0], names))
    parse_range(ways[0].range, channels)

    def make(way: Way) -> ImageNetwork:
        mean, std = parse_range(way.range, channels)
        network = candidates[way.number].network
        changes: dict[str, Any] = {"class_names": way.names, "channel_order": way.order}
        return network.with_body(network.body, mean=mean, std=std, **changes)

    found = None
    if clean is None or len(ways) * len(orders) == 1:
        words = list(dict.fromkeys(candidate.words for candidate in candidates))
        if len(words) > 1 and candidates[0].guessed:
            listed = ", ".join(words)
            raise BadInput(
                f"{path}: expected weights of one network, got such that fit {brief(listed, 150)}; add --arch"
            )
        way = ways[0]
    else:
        truth = {one: _labels(clean, first, one) for one in names}
        found = find_way(make, ways, truth, clean, orders=orders)
        way = found.way
    network, candidate = make(way), candidates[way.number]
    origin: dict[str, Any] = {"chosen": said.input_range, "found_on": None, "tried": {}}
    if found is not None and clean is not None and said.input_range is None:
        same = {w: rate for w, rate in found.tried.items() if (w.number, w.names) == (way.number, way.names)}
        tried = {_words(w): rate.to_json() for w, rate in same.items()}
        origin = {"chosen": way.range, "found_on": clean.name, "tried": tried}
    network.provenance |= {
        "foreign": True,
        "file": path.name,
        "sha256": file_digest(path),
        "network": candidate.words,
        "input_range": origin,
        **({"channel_order": way.order} if way.order != "rgb" else {}),
    }
    _warn(path, candidate, len(candidates), said, found, clean, usual=names[0])
    return network


def _words(way: Way) -> str:
    return way.range if way.order == "rgb" else f"{way.range} {way.order}"


def _warn(
    path: Path,
    candidate: Candidate,
    candidates: int,
    said: ForeignOptions,
    found: Found | None,
    clean: ImageData | None,
    *,
    usual: tuple[str, ...],
) -> None:
    """Say what was guessed; ``usual`` are the names of classes in the order that is expected."""
    notes = list(candidate.notes)
    if candidate.guessed:
        among = f", the best of {candidates} that fit" if candidates > 1 else ""
        notes.insert(0, f"read as {candidate.words}{among}")
    if found is not None and clean is not None:
        way = found.way
        if said.input_range is None:
            shown = [w for w in found.tried if (w.number, w.names, w.order) == (way.number, way.names, way.order)]
            listed = "; ".join(f"{w.range}: {found.tried[w]}" for w in shown)
            notes.append(f"the input range {way.range} was found by trying on {clean.name} ({brief(listed, 600)})")
        if way.order != "rgb":
            words = {"bgr": "blue first", "reshaped": "as (h, w, c) taken for (c, h, w) without turning the axes"}
            notes.append(f"it takes channels {words[way.order]} ({found.rate} right on {clean.name}; --channel-order)")
        if way.names != usual:
            notes.append(f"its classes are in the order of texts ({found.rate} right; --class-names imagefolder)")
        other = [w for w in found.close if w.range != way.range or w.order != way.order]
        if other:
            listed = ", ".join(dict.fromkeys(f"{_words(w)} ({found.tried[w]})" for w in other))
            notes.append(f"as good, as far as {clean.name} can tell: {brief(listed, 200)}; name the right one")
        if found.rate.ends[0] <= 1 / len(way.names):
            notes.append(chance_words(len(way.names)))
    for note in notes:
        warnings.warn(f"{path.name}: {note}", ForeignWarning, stacklevel=4)


def chance_words(classes: int) -> str:
    """Why a network may answer no better than by chance."""
    return (
        f"it is right no more often than chance would be ({100 / classes:.3g} %): the classes may be in another order "
        "(--class-names), the range of pixels another (--input-range), or the channels (--channel-order), or the "
        "pictures are not what it was trained on"
    )


def _orders_of_names(
    path: Path, network: ImageNetwork, said: ForeignOptions, clean: ImageData | None
) -> list[tuple[str, ...]]:
    """The names of the network's classes in its order; several, where pictures must tell."""
    if said.class_names == IMAGEFOLDER and clean is not None:
        _same_number(path, network, clean)
        return [tuple(sorted(clean.class_names))]
    if said.class_names is not None:
        if len(said.class_names) != network.classes:
            listed, got = ", ".join(brief(name, 20) for name in said.class_names[:8]), len(said.class_names)
            raise BadInput(f"{path}: expected a name for each of its {network.classes} classes, got {got} ({listed})")
        return [tuple(said.class_names)]
    names = network.class_names  # numbers, in place of names that the file does not have
    if clean is None:
        return [names]
    if not set(clean.class_names) <= set(names):
        _same_number(path, network, clean)
        names = clean.class_names
    return list(dict.fromkeys((names, tuple(sorted(names)))))


def _same_number(path: Path, network: ImageNetwork, clean: ImageData) -> None:
    if network.classes != clean.classes:
        listed = ", ".join(brief(name, 20) for name in clean.class_names[:5])
        raise BadInput(
            f"{path}: expected data of the network's {network.classes} classes, got {clean.classes} ({listed}, ...); "
            "use the data that it is for"
        )


def _labels(clean: ImageData, network: ImageNetwork, names: tuple[str, ...]) -> Any:
    """The labels of ``clean`` where classes are called ``names``."""
    renamed = network.with_body(network.body, class_names=names)
    return align_classes(clean, renamed).labels


def _from_hub(folder: Path, said: ForeignOptions) -> ImageNetwork:
    """The network of a folder of the Hugging Face hub, which says all but, at times, better names."""
    if said.class_names == IMAGEFOLDER:
        raise BadInput(f"expected names of classes for {folder}, got imagefolder; its config.json has their order")
    network = open_hugging_face(folder, class_names=said.class_names)
    agreed = replace(said, class_names=None, arch=None)
    return _agreeing(folder, network, agreed)


def _agreeing(path: Path, network: ImageNetwork, foreign: ForeignOptions) -> ImageNetwork:
    """``network`` of our own file, unless ``foreign`` says something else about it."""
    name = None if foreign.arch is None else find_architecture(parse_network(foreign.arch)[0]).name
    names = foreign.class_names if foreign.class_names in (None, IMAGEFOLDER) else tuple(foreign.class_names or ())
    for what, has, said in (
        ("architecture", network.architecture.removeprefix(LOGITS_OF), name),
        ("classes", network.classes, foreign.classes),
        ("input size", network.input_size, foreign.input_size),
        ("class names", network.class_names, names),
        ("channel order", network.channel_order, foreign.channel_order),
    ):
        if said is not None and has != said:
            known = f"{what} {brief(has, 100)}, as the file says itself"
            raise BadInput(f"{path}: expected {known}, got {brief(said, 60)}; leave the option away")
    if foreign.input_range is not None:
        numbers = torch.tensor(parse_range(foreign.input_range, network.input_size[0]))
        if not torch.allclose(numbers, torch.stack([network.mean.flatten(), network.std.flatten()]).cpu()):
            raise BadInput(
                f"{path}: expected the input range that the file has itself, got {foreign.input_range}; leave the "
                "option away (--input-range)"
            )
    return network
