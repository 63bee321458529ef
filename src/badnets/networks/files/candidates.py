"""Which networks the tensors of a file may be of: the one that is named, the one that the file describes, or those
whose names and shapes they have."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.core.text import brief
from badnets.networks.architecture import ARCHITECTURES, TORCHVISION, Architecture, InputSize
from badnets.networks.architectures import torchvision_models
from badnets.networks.architectures.graph import Layer
from badnets.networks.files.chains import chains, segments
from badnets.networks.files.fitting import Matched, has_names, load, match, strippings
from badnets.networks.files.formats.entries import Entry, ForeignFile
from badnets.networks.files.formats.keras_model import KerasModel
from badnets.networks.files.header import Shape
from badnets.networks.lookalikes import all_spellings, lookalike
from badnets.networks.network import ImageNetwork, kind_of_outputs
from badnets.networks.registry import COUNTER, build_network, find_architecture, parse_network, weight_shapes

_COUNTS = 16  # numbers of classes that are tried; each builds the architecture's skeleton
_VARY = 4  # tensors that change with the number of classes and with the size of the pictures, or their channels
_SIZES: tuple[InputSize, InputSize] = ((3, 32, 32), (3, 224, 224))
"""Of pictures for which the names of ours are learned, and of torchvision's."""
_PARTS = 8  # networks in a row in one file
_MANY = 16  # tensors, fewer of which no network of torchvision has
_GRAPH = "graph"
_ALIKE = 1e-3  # how far answers of two readings of one file may be apart


@dataclass(frozen=True)
class Candidate:
    """A network with the file's weights, ``words`` for it, whether it was ``guessed``, and ``notes`` to be told. Its
    classes are called by their numbers, and it takes pictures in 0..1."""

    words: str
    network: ImageNetwork
    guessed: bool = False
    notes: tuple[str, ...] = ()


def named(
    path: Path,
    files: Sequence[ForeignFile],
    name: str,
    arguments: Mapping[str, Any],
    size: InputSize | None,
    shown: InputSize | None,
    classes: int | None,
) -> list[Candidate]:
    """The network of architecture ``name`` with the weights of each part of the file that they fit. ``size`` is what is
    said of its pictures, ``shown`` that of pictures at hand. Raises ``BadInput`` where no part fits, or where the file
    describes another network."""
    architecture = find_architecture(name)
    resolved = architecture.resolve(arguments)
    taken = size or architecture.input_size or next((f.model.input_size for f in files if f.model), None) or shown
    if taken is None:
        raise BadInput(f"{architecture.name}: expected the size of its pictures, got none; add --input-size 32x32x3")
    found, refused = list[Candidate](), list[BadInput]()
    for file in parts(files):
        try:
            number, matched = _matched(path, file, architecture, resolved, taken, classes)
        except BadInput as error:
            refused.append(error)
            continue
        found.append(_built(path, file, architecture.name, resolved, taken, number, matched))
    if not found:
        raise _with_hint(refused[0], architecture.name, files[0], taken)
    for file in files:
        if file.model is not None:
            _check_described(path, file, file.model, found[0].network)
        if file.problem:
            note = f"what it says of its own layers cannot be read, so it is not compared ({brief(file.problem, 120)})"
            found[0] = replace(found[0], notes=(*found[0].notes, note))
    return found


def _with_hint(refused: BadInput, name: str, file: ForeignFile, size: InputSize) -> BadInput:
    """``refused``, and which architecture of a like name the tensors are of, if they are."""
    for names in strippings([entry.key for entry in file.entries]):
        shapes = {key: entry.shape for key, entry in zip(names, file.entries, strict=True)}
        if (other := lookalike(name, shapes, size)) is not None:
            return BadInput(f"{brief(str(refused), 240)}; did you mean --arch {other}?")
    return refused


def guessed(
    path: Path, files: Sequence[ForeignFile], size: InputSize | None, classes: int | None, *, tries: bool
) -> list[Candidate]:
    """Networks that the file may be of, without being told: the one that it describes, those whose names its tensors
    have, or layers in a row, of which pictures must tell which (``tries``). Raises ``BadInput`` for none."""
    for file in files:
        if file.model is not None:
            return [_described(path, file, file.model, size)]
        if file.problem:  # what it says of itself is not known here: layers in a row would be others
            raise BadInput(f"{path}: {brief(file.problem, 250)}; name the architecture (--arch NAME, or file.py:Class)")
    if found := [fit.built(path) for fit in _known(path, files, all_spellings(), size, classes)]:
        return found
    if size is not None and (found := _rows(path, files, size, classes, tries=tries)):
        return found
    if any(len(file.entries) >= _MANY for file in files):
        theirs = [f"torchvision:{name}" for name in torchvision_models.names()]
        if found := [fit.built(path) for fit in _known(path, files, theirs, size, classes)]:
            return found
    raise BadInput(f"{path}: expected an architecture (--arch NAME, or file.py:Class), got none; {_nearest(files[0])}")


def parts(files: Sequence[ForeignFile]) -> Iterator[ForeignFile]:
    """Each file, and each network in it, where it holds several in a row."""
    for file in files:
        yield file
        for number, entries in enumerate(segments(file.entries)[:_PARTS], start=1):
            part = f"network {number} of the file"
            yield replace(file, entries=tuple(entries), part=part, one_of_several=True)


def _matched(
    path: Path,
    file: ForeignFile,
    architecture: Architecture,
    arguments: Mapping[str, Any],
    size: InputSize,
    classes: int | None,
    *,
    by_name: bool = False,
) -> tuple[int, Matched]:
    """The number of classes, and which tensor is which: the first number that fits, of those that the file suggests."""
    shapes = partial(weight_shapes, architecture, input_size=size, arguments=arguments)
    counts = [classes] if classes is not None else _class_counts(file.entries, shapes(2), shapes(3))
    refused: BadInput | None = None
    for number in counts:
        try:
            what = f"{architecture.name} of {number} classes"
            return number, match(path, file, shapes(number), what, by_name=by_name)
        except BadInput as error:
            refused = refused or error
    raise refused or BadInput(f"{path}: expected a last dense layer, got none; say how many classes (--classes)")


def _class_counts(entries: Sequence[Entry], two: Mapping[str, Shape], three: Mapping[str, Shape]) -> list[int]:
    """How many classes the file may be for: as its tensor of the head's name says, else its dense layers from the last.
    The head is what changes when the architecture is built for two and for three classes."""
    head = [name for name, shape in two.items() if shape != three[name] and len(shape) > 1]
    told = [e.shape[0] for e in entries for name in head if e.shape and (e.key == name or e.key.endswith(f".{name}"))]
    fits = [n for n in told if any(e.shape == (n, *two[name][1:]) for e in entries for name in head)]
    dense = [e.shape[0] for e in reversed(entries) if len(e.shape) == 2]
    return list(dict.fromkeys([*fits, *dense, *told]))[:_COUNTS]


def _built(
    path: Path,
    file: ForeignFile,
    architecture: str,
    arguments: Mapping[str, Any],
    size: InputSize,
    number: int,
    matched: Matched,
    *,
    words: str = "",
    guess: bool = False,
) -> Candidate:
    names = tuple(map(str, range(number)))
    network = build_network(architecture, class_names=names, input_size=size, seed=0, arguments=arguments)
    load(path, file, matched, network.body, size)
    network.provenance |= {"file_format": file.format, "matched": "names" if matched.by_name else "shapes and order"}
    if file.part:
        network.provenance["part"] = file.part
    notes = [f"it holds several networks; this is {brief(file.part, 60)}"] if file.one_of_several else []
    if not matched.by_name and not words:
        order = "the file's order" if file.ordered else "the order of their names, for this format keeps none"
        notes.append(
            f"its tensors have other names than those of {architecture} and were matched by shape and {order}; "
            f"{matched.swappable} of {len(matched.entries)} have a shape that others have too: check the accuracy"
        )
    return Candidate(words or architecture, network, guess, tuple(notes))


def _described(path: Path, file: ForeignFile, model: KerasModel, size: InputSize | None) -> Candidate:
    """The network that the file itself describes, for pictures of ``size`` where it does not say their size."""
    taken = model.input_size or size
    if taken is None:
        raise BadInput(f"{path}: expected the size of its pictures in its description, got none; add --input-size")
    number = model.outputs or next((count for layer in reversed(model.layers) if (count := layer.out)), None)
    if number is None:
        raise BadInput(f"{path}: expected a described network that gives numbers for classes, got one without layers")
    arguments = _as_graph(model.layers)
    _, matched = _matched(path, file, ARCHITECTURES[_GRAPH], arguments, taken, number, by_name=True)
    words = f"the network that it describes ({in_words(model.layers)})"
    return _built(path, file, _GRAPH, arguments, taken, number, matched, words=words)


def _row(path: Path, file: ForeignFile, layers: Sequence[Layer], size: InputSize) -> Candidate:
    """Layers in a row with the weights of the file; each tensor's place is that of its layer."""
    weighted = [layer for layer in layers if layer.weighted]
    own = list(dict.fromkeys(entry.layer for entry in file.entries))
    renamed = {theirs: ours.name for theirs, ours in zip(own, weighted, strict=True)}
    entries = tuple(replace(entry, layer=renamed[entry.layer]) for entry in file.entries)
    number = weighted[-1].out or 0
    matched = Matched(entries={e.key: e for e in entries if e.role != COUNTER}, by_name=True)
    words = f"layers in a row ({in_words(layers)})"
    return _built(path, file, _GRAPH, _as_graph(layers), size, number, matched, words=words, guess=True)


def _as_graph(layers: Sequence[Layer]) -> dict[str, Any]:
    """The arguments of the architecture ``graph`` for these layers."""
    return ARCHITECTURES[_GRAPH].resolve({"layers": [layer.model_dump(mode="json") for layer in layers]})


def _rows(
    path: Path, files: Sequence[ForeignFile], size: InputSize, classes: int | None, *, tries: bool
) -> list[Candidate]:
    """Our own networks whose layers have these shapes, and layers in a row that fit."""
    fits = [fit for file in parts(files) for fit in _known(path, [file], all_spellings(), size, classes, by_name=False)]
    alike = [fit.built(path) for fit in fits]
    laid = [(file, layers) for file in parts(files) for layers in chains(file.entries, size)]
    if laid and not tries:
        if len(alike) == 1:
            return alike
        words = in_words(laid[0][1])
        raise BadInput(
            f"{path}: expected an architecture (--arch NAME), got none; its weights fit layers in a row ({words}), "
            "and clean pictures (--data) would tell which"
        )
    return alike + [_row(path, file, layers, size) for file, layers in laid]


def _like(file: ForeignFile, bare: Mapping[str, Shape]) -> bool:
    """Whether as many tensors have these shapes, whatever their names, but for those that change with the number of
    classes or with the size of the pictures."""
    given, wanted = Counter(entry.shape for entry in file.entries if entry.role != COUNTER), Counter(bare.values())
    return given.total() == wanted.total() and (given - wanted).total() <= _VARY


@cache
def _bare(text: str, size: InputSize) -> dict[str, Shape] | None:
    """The shapes of an architecture for two classes; None where it takes no such pictures."""
    name, arguments = parse_network(text)
    architecture = find_architecture(name)
    try:
        return weight_shapes(architecture, 2, size, architecture.resolve(arguments))
    except (BadInput, RuntimeError):  # a NotImplementedError is one, too
        return None


def _usual_size(files: Sequence[ForeignFile]) -> InputSize:
    """The size of pictures that a file of unknown size is likely for."""
    first = next((entry.shape for file in files for entry in file.entries if len(entry.shape) == 4), (0, 3, 0, 0))
    return (1, 28, 28) if first[1] == 1 else (3, 224, 224) if first[-1] > 5 else (3, 32, 32)


@dataclass(frozen=True)
class _Fit:
    """A known architecture that the tensors of ``file`` fit."""

    file: ForeignFile
    architecture: str
    arguments: Mapping[str, Any]
    size: InputSize
    number: int
    matched: Matched

    def built(self, path: Path) -> Candidate:
        """It, with these weights."""
        return _built(
            path, self.file, self.architecture, self.arguments, self.size, self.number, self.matched, guess=True
        )


def _known(
    path: Path,
    files: Sequence[ForeignFile],
    names: Iterable[str],
    size: InputSize | None,
    classes: int | None,
    *,
    by_name: bool = True,
) -> Iterator[_Fit]:
    """Those of ``names`` whose tensors have the same names and shapes, or the same shapes layer by layer."""
    for text in names:
        name, arguments = parse_network(text)
        architecture = find_architecture(name)
        bare = _bare(text, architecture.input_size or _SIZES[name.startswith(TORCHVISION)])
        if bare is None:
            continue
        resolved = architecture.resolve(arguments)
        taken = architecture.input_size or size or _usual_size(files)
        for file in files:
            if not (has_names(file, bare) if by_name else _like(file, bare)):
                continue
            with contextlib.suppress(BadInput):
                number, matched = _matched(path, file, architecture, resolved, taken, classes, by_name=by_name)
                if by_name or not (matched.swappable or matched.by_name):
                    yield _Fit(file, architecture.name, resolved, taken, number, matched)


def fitting_names(files: Sequence[ForeignFile]) -> list[str]:
    """Known architectures that have all the names of the tensors of one of ``files``, and their shapes but for the
    last layer."""
    if found := [fit.architecture for fit in _known(Path(), files, all_spellings(), None, None)]:
        return found
    if any(len(file.entries) >= _MANY for file in files):
        theirs = [f"torchvision:{name}" for name in torchvision_models.names()]
        return [fit.architecture for fit in _known(Path(), files, theirs, None, None)]
    return []


def nearest_names(file: ForeignFile) -> list[str]:
    """The networks that most of the file's tensors fit, in words, the nearest first."""
    given = {entry.shape for entry in file.entries}
    shares = {}
    for name in ARCHITECTURES:
        bare = _bare(name, ARCHITECTURES[name].input_size or _SIZES[0])
        if bare is None:
            continue
        shapes = {shape for shape in bare.values() if len(shape) > 1}
        shares[name] = len(shapes & given) / max(1, len(shapes | {shape for shape in given if len(shape) > 1}))
    best = sorted(shares, key=lambda name: -shares[name])[:3]
    return [f"{name} ({100 * shares[name]:.0f} % of shapes)" for name in best if shares[name] > 0.2]


def _nearest(file: ForeignFile) -> str:
    told = ", ".join(nearest_names(file))
    tensors = ", ".join(f"{brief(e.name, 40)} {list(e.shape)}" for e in file.entries[:2])
    return f"no known network has its tensors ({tensors}, ...)" + (f"; nearest: {told}" if told else "")


def _check_described(path: Path, file: ForeignFile, model: KerasModel, network: ImageNetwork) -> None:
    """Refuse a named architecture whose answers are not those of the network that the file describes."""
    own = _described(path, file, model, network.input_size).network
    same = own.input_size == network.input_size and own.classes == network.classes
    if not same or not np.allclose(_answers(own), _answers(network), atol=_ALIKE, rtol=_ALIKE):
        words = in_words(model.layers)
        raise BadInput(
            f"{path}: expected {network.architecture} with the answers of the network that the file describes "
            f"({words}), got others; leave --arch out"
        )


@torch.no_grad()
def _answers(network: ImageNetwork) -> NDArray[np.float32]:
    """Log-probabilities of noise."""
    noise = Seed(0).derive("compare readings").rng.random((4, *network.input_size), np.float32)
    given = network.eval()(torch.from_numpy(noise).to(network.device)).float()
    rows = given.clamp_min(1e-30).log() if kind_of_outputs(network) == "probabilities" else given
    answers: NDArray[np.float32] = rows.log_softmax(1).cpu().numpy()
    return answers


def in_words(layers: Sequence[Layer]) -> str:
    """A network of layers in a few words: ``conv 16@5x5, relu, max pool 2, dense 10``."""
    return brief(", ".join(filter(None, (layer.words for layer in layers))), 160)
