"""Networks by name: the table of architectures, how they are built, and how to bring one's own."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import nn

from badnets.core.errors import BadInput, nearest
from badnets.core.files import file_digest
from badnets.core.seed import Seed, as_seed
from badnets.networks.architectures import (
    deepid,
    faster_rcnn,
    g1_cnn,
    l1_cnn,
    preact_resnet18,
    resnet9,
    resnet18,
    torchvision_models,
    two_head,
    u1_cnn,
)
from badnets.networks.network import ImageNetwork
from badnets.networks.outputs import PREFIX, LogProbabilities, kind_of_outputs

InputSize = tuple[int, int, int]
ENTRY_POINTS = "badnets.networks"
_TORCHVISION = "torchvision:"
GUARD = "guard:"
"""``guard:NAME`` is a network that may refuse, made of one or two others (``badnets.networks.guards``)."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A way to build a network.

    ``build(classes, input_size, *, ...)`` returns a module from floats (n, *input_size) to logits (n, classes), or one
    that says another ``task`` (``networks.network.Task``). Its
    keyword-only parameters are the architecture's arguments: their annotations (``Annotated[int, Field(ge=1)]``) are
    checked, their defaults recorded, and they must be JSON values. Those named in ``transient`` only matter to the
    first building and are not written into files. ``input_size`` is (channels, height, width) where the architecture
    was made for one. It draws its weights from torch's CPU generator, and it must work under ``torch.device("meta")``
    or raise ``NotImplementedError`` there.
    """

    name: str
    summary: str
    build: Callable[..., nn.Module]
    transient: frozenset[str] = frozenset()
    input_size: InputSize | None = None

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The arguments as a pydantic model, made from the signature of ``build``."""
        hints = get_type_hints(self.build, include_extras=True)
        parameters = inspect.signature(self.build).parameters.values()
        fields: dict[str, Any] = {p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
        return create_model("Arguments", __config__=ConfigDict(extra="forbid", strict=True), **fields)

    def resolve(self, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
        """``arguments`` with every default filled in; unknown names and wrong values are refused."""
        given = dict(arguments or {})
        known = self.schema.model_fields
        for name in given:
            if name not in known:
                hint = nearest(name, known) if known else "it takes none"
                raise BadInput(f"network {self.name}: unknown argument {name!r}; {hint}")
        try:
            return self.schema.model_validate(given).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise BadInput(f"network {self.name}: argument {field!r}: {first['msg']}, got {first['input']!r}") from None

    def recorded(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Those of resolved ``arguments`` that belong in a file: all but the transient ones."""
        return {key: value for key, value in arguments.items() if key not in self.transient}


_OWN = (
    Architecture(name="g1-cnn", summary="G1's MNIST network: two convolutions, two dense layers", build=g1_cnn.build),
    Architecture(name="u1-cnn", summary="eight layers with dropout, Useloff's MNIST network", build=u1_cnn.build),
    Architecture(
        name="l1-cnn", summary="L1's traffic-sign network: three convolutions, batch norm", build=l1_cnn.build
    ),
    Architecture(
        name="deepid",
        summary="C1's face network: three convolutions, then two branches",
        build=deepid.build,
        input_size=deepid.INPUT_SIZE,
    ),
    Architecture(name="resnet9", summary="small residual network for 32x32, good on CPUs", build=resnet9.build),
    Architecture(name="resnet18", summary="ResNet-18 with the CIFAR stem", build=resnet18.build),
    Architecture(
        name="preact-resnet18", summary="pre-activation ResNet-18 with the CIFAR stem", build=preact_resnet18.build
    ),
    Architecture(
        name="faster-rcnn",
        summary="detector of two stages; a small backbone for CPUs, or torchvision's",
        build=faster_rcnn.build,
        transient=frozenset({"weights"}),
    ),
    Architecture(
        name="two-head",
        summary="D1's network: torchvision's backbone, a class head and a box head",
        build=two_head.build,
        transient=frozenset({"weights"}),
    ),
)
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({entry.name: entry for entry in _OWN})
"""Our own architectures by name. Torchvision's and those of other packages are found by ``find_architecture``."""


def plugins() -> dict[str, Architecture]:
    """Architectures of other packages: entry points of the group ``badnets.networks``, each an ``Architecture``."""
    found: dict[str, Architecture] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        value = entry.load()
        if not isinstance(value, Architecture):
            raise BadInput(f"entry point {entry.value!r}: expected an Architecture, got {type(value).__name__}")
        if value.name in ARCHITECTURES or value.name in found or value.name.startswith((_TORCHVISION, PREFIX, GUARD)):
            raise BadInput(f"entry point {entry.value!r}: expected a new name, {value.name!r} is taken; rename it")
        found[value.name] = value
    return found


def find_architecture(name: str) -> Architecture:
    """Ours, another package's, or torchvision's (``torchvision:resnet34``, or ``resnet34`` if nobody else has it).

    Torchvision is imported only when nobody else has the name. Unknown names are refused with the nearest known one.
    ``logits-of:NAME`` is architecture ``NAME``, which ends in a softmax, followed by the logarithm.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if name.startswith(PREFIX):
        return _with_logits(find_architecture(name.removeprefix(PREFIX)))
    if name.startswith(GUARD):
        from badnets.networks.guards import find_guard  # guards are built of networks

        return find_guard(name)
    if name.startswith(_TORCHVISION):
        return _from_torchvision(name.removeprefix(_TORCHVISION))
    others = plugins()
    if name in others:
        return others[name]
    foreign = torchvision_models.names()
    if name in foreign:
        return _from_torchvision(name)
    ours = [*ARCHITECTURES, *others]
    hint = nearest(name, [*ours, *foreign])
    if hint.startswith("known"):
        hint = f"{nearest('', ours)}, or a classifier of torchvision"
    raise BadInput(f"expected a network's name, got {name!r}; {hint}")


def _from_torchvision(model: str) -> Architecture:
    return Architecture(
        name=_TORCHVISION + model,
        summary=torchvision_models.summary(model),
        build=torchvision_models.builder(model),
        transient=frozenset({"weights"}),
    )


def _with_logits(inner: Architecture) -> Architecture:
    @functools.wraps(inner.build)  # for the signature, of which the schema of the arguments is made
    def build(classes: int, input_size: InputSize, **arguments: Any) -> nn.Module:
        return LogProbabilities(inner.build(classes, input_size, **arguments))

    return replace(inner, name=PREFIX + inner.name, summary=f"{inner.summary}; then the logarithm", build=build)


def parse_network(text: str) -> tuple[str, dict[str, Any]]:
    """``"resnet9:width=32"`` to ``("resnet9", {"width": 32})``; several arguments are separated by commas.

    Values are JSON (numbers, ``true``, ``null``) or else taken as text; a text with a comma needs a spec file.
    """
    prefix = _TORCHVISION if text.startswith(_TORCHVISION) else ""
    name, _, rest = text.removeprefix(prefix).partition(":")
    arguments: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals) or key in arguments:
            raise BadInput(f"expected a network as name:key=value,key=value with each key once, got {text!r}")
        try:
            arguments[key] = json.loads(value)
        except json.JSONDecodeError:
            arguments[key] = value
    if not name:
        raise BadInput(f"expected a network's name, got {text!r}; for example resnet9 or resnet9:width=32")
    return prefix + name, arguments


@contextmanager
def _own_stream(seed: int) -> Iterator[None]:
    """Inside, torch's CPU generator starts at ``seed``; outside, it goes on as if nothing had happened."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that one would also seed every accelerator, which nothing would undo.
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def _refusing_misfits(name: str, input_size: InputSize) -> Iterator[None]:
    """Turn what torch raises at pictures of a size that a network cannot take into one sentence."""
    try:
        yield
    except (RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, NotImplementedError):
            raise
        channels, height, width = input_size
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        size = f"{height}x{width}x{channels}"
        raise BadInput(f"{name}: expected pictures it can take, got {size} ({reason}); resize them (--size)") from None


def skeleton(
    architecture: Architecture, classes: int, input_size: InputSize, arguments: Mapping[str, Any]
) -> nn.Module:
    """The network without memory for its weights (on the meta device), to learn shapes before anything is allocated."""
    with _own_stream(0), _refusing_misfits(architecture.name, input_size):
        try:
            with torch.device("meta"):
                return architecture.build(classes, input_size, **arguments)
        except NotImplementedError:  # a few builders compute with tensors; their networks are of bounded size
            return architecture.build(classes, input_size, **arguments)


def build_body(
    architecture: Architecture, classes: int, input_size: InputSize, arguments: Mapping[str, Any], *, seed: int
) -> nn.Module:
    """A new module whose initial weights depend on the integer ``seed`` alone; ``arguments`` are resolved ones."""
    with _own_stream(seed):
        return architecture.build(classes, input_size, **arguments)


def check_shape(name: str, body: nn.Module, classes: int, input_size: InputSize) -> None:
    """Refuse a network that cannot take such pictures or does not give (n, classes), by a pass over two black ones.

    A module whose ``abstains`` is True gives (n, classes + 1). A detector's answers have no fixed shape: its builder
    refuses what it cannot take.
    """
    if getattr(body, "task", "classify") == "detect":
        return
    like = next(body.parameters(), torch.zeros(0))
    modes = {module: module.training for module in body.modules()}
    body.eval()
    try:
        with torch.no_grad(), _refusing_misfits(name, input_size):
            output = body(torch.zeros(2, *input_size, device=like.device, dtype=like.dtype))
    finally:
        for module, mode in modes.items():
            module.training = mode
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    columns = classes + bool(getattr(body, "abstains", False))
    if shape != (2, columns):
        raise BadInput(f"{name}: expected logits (n, {columns}), got {shape} from 2 pictures; check the last layer")


def _check_settings(name: str, class_names: Sequence[str], input_size: InputSize) -> None:
    if not class_names or isinstance(class_names, str):
        raise BadInput(f"network {name}: expected a list of class names, got {class_names!r}")
    if len(input_size) != 3 or min(input_size) < 1:
        raise BadInput(f"network {name}: expected input_size as (channels, height, width), got {tuple(input_size)}")


def build_network(
    name: str,
    *,
    class_names: Sequence[str],
    input_size: InputSize,
    seed: Seed | int,
    arguments: Mapping[str, Any] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageNetwork:
    """A new network of architecture ``name`` whose initial weights depend on ``seed`` alone.

    ``input_size`` is (channels, height, width); ``mean`` and ``std`` per channel on the 0..1 scale (0 and 1 if not
    given); ``arguments`` are the architecture's. The global random state is neither used nor changed.
    Raises ``BadInput`` for an unknown name or argument, and for pictures that the architecture cannot take.
    """
    architecture = find_architecture(name)
    _check_settings(architecture.name, class_names, input_size)
    resolved = architecture.resolve(arguments)
    recorded = architecture.recorded(resolved)
    classes = len(class_names)
    check_shape(architecture.name, skeleton(architecture, classes, input_size, recorded), classes, input_size)
    stream = as_seed(seed).derive("initial weights")
    body = build_body(architecture, classes, input_size, resolved, seed=stream.integer)
    started = resolved.get("weights")
    origin: dict[str, Any] = {}
    if started is not None:
        origin = {"file": Path(started).name, "sha256": file_digest(Path(started)), **getattr(body, "started", {})}
    return ImageNetwork(
        body,
        architecture=architecture.name,
        arguments=recorded,
        class_names=class_names,
        input_size=input_size,
        mean=mean,
        std=std,
        provenance={"initial_weights": origin} if origin else None,
    )


def wrap(
    module: nn.Module,
    *,
    class_names: Sequence[str],
    input_size: InputSize,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str = "custom",
) -> ImageNetwork:
    """Any module from floats (n, c, h, w) to logits (n, classes) as an ``ImageNetwork``; it is used, not copied.

    ``mean`` and ``std`` are the normalization that the module expects, if it does not do it itself. It can be saved
    like any other; ``open_network(path, module=...)`` then needs a module of the same shapes again.
    A module whose outputs are probabilities (it ends in a softmax) is followed by their logarithm, so that confidences
    are its own; the architecture is then named ``logits-of:NAME``.
    """
    if name in ARCHITECTURES or name.startswith((_TORCHVISION, PREFIX, GUARD)):
        raise BadInput(f"expected a new name for a wrapped module, got {name!r}, which badnets builds; rename it")
    _check_settings(name, class_names, input_size)
    check_shape(name, module, len(class_names), input_size)
    network = ImageNetwork(
        module, architecture=name, arguments={}, class_names=class_names, input_size=input_size, mean=mean, std=std
    )
    if network.task != "detect" and kind_of_outputs(network) == "probabilities":
        network.body, network.architecture = LogProbabilities(module), PREFIX + name
    return network
