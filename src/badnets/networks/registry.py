"""Networks by name: how they are found and built, and how to bring one's own."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from badnets.core.errors import BadInput, first_line
from badnets.core.files import file_digest
from badnets.core.limits import CLASSES, INPUT, MAP, PARAMETERS
from badnets.core.seed import Seed, as_seed
from badnets.core.text import brief
from badnets.networks.architecture import (
    ARCHITECTURES,
    CODE,
    GUARD,
    GUARDS,
    LOGITS_OF,
    PREFIXES,
    TIMM,
    TORCHVISION,
    Architecture,
    InputSize,
)
from badnets.networks.architectures import timm_models, torchvision_models
from badnets.networks.code import code_architecture, code_named, known_code
from badnets.networks.device import find_device, own_stream
from badnets.networks.names import nearest_network
from badnets.networks.network import LARGE, ImageNetwork, LogProbabilities, black, evaluating, kind_of_outputs, passed

COUNTER = "num_batches_tracked"
"""Counts the training steps of a batch norm; nothing depends on it."""
_FEW = 1 << 24  # weights


def find_architecture(name: str) -> Architecture:
    """What a person has named: ours, another package's, torchvision's (``torchvision:resnet34``, or ``resnet34`` if
    nobody else has it), timm's (``timm:resnet18``), or the user's own code (``path/to/file.py:Class``, which is run).
    Torchvision is imported only when nobody else has the name. Unknown names are refused with the nearest known one.
    Names that stand in files are for ``recorded_architecture``."""
    return code_architecture(name) if code_named(name) else recorded_architecture(name)


def recorded_architecture(name: str, origin: object = None) -> Architecture:
    """What a file names, which never makes code run: ``file:Class``, with the ``origin`` of its provenance, is found
    where the user has named that code before."""
    if name.startswith(LOGITS_OF):
        return _with_logits(recorded_architecture(name.removeprefix(LOGITS_OF), origin))
    if name.startswith(CODE):
        return known_code(name, origin)
    if code_named(name):
        raise BadInput(f"expected an architecture, got {brief(name)!r}; code is run only where you name it (--arch)")
    if name.startswith(GUARD):
        return replace(GUARDS.find(name.removeprefix(GUARD)), name=name)
    if name.startswith(TIMM):
        return _from_timm(name.removeprefix(TIMM))
    if name.startswith(TORCHVISION):
        return _from_torchvision(name.removeprefix(TORCHVISION))
    if ARCHITECTURES.declares(name):
        return ARCHITECTURES.find(name)
    foreign = torchvision_models.names()
    if name in foreign:
        return _from_torchvision(name)
    raise BadInput(f"expected a network's name, got {brief(name)!r}; {nearest_network(name, foreign)}")


def _from_timm(model: str) -> Architecture:
    summary = f"timm's {model} with a head for these classes"
    return Architecture(name=TIMM + model, summary=summary, build=timm_models.builder(model))


def _from_torchvision(model: str) -> Architecture:
    summary = f"torchvision's {model} with a head for these classes; grey pictures are repeated to three channels"
    build = torchvision_models.builder(model)
    return Architecture(name=TORCHVISION + model, summary=summary, build=build, transient=("weights",))


def _with_logits(inner: Architecture) -> Architecture:
    @functools.wraps(inner.build)  # for the signature, of which the schema of the arguments is made
    def build(classes: int, input_size: InputSize, **arguments: Any) -> nn.Module:
        return LogProbabilities(inner.build(classes, input_size, **arguments))

    return replace(inner, name=LOGITS_OF + inner.name, summary=f"{inner.summary}; then the logarithm", build=build)


def parse_arguments(parts: Iterable[str]) -> dict[str, Any]:
    """``key=value`` each; values are JSON (numbers, ``true``, ``null``) or else taken as text."""
    arguments: dict[str, Any] = {}
    for part in parts:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals) or key in arguments:
            raise BadInput(f"expected a network's arguments as key=value, each key once, got {brief(part, 60)!r}")
        try:
            arguments[key] = json.loads(value)
        except (ValueError, RecursionError):
            arguments[key] = value
    return arguments


def parse_network(text: str) -> tuple[str, dict[str, Any]]:
    """``"resnet9:width=32"`` to ``("resnet9", {"width": 32})``; several arguments are separated by commas. Values are
    JSON (numbers, ``true``, ``null``) or else taken as text; a text with a comma needs a spec file. The name may be
    ``torchvision:NAME``, ``timm:NAME`` or ``path/to/file.py:Class``, each with arguments behind a further colon."""
    code = code_named(text)
    prefix = next((one for one in (TORCHVISION, TIMM) if text.startswith(one)), "")
    name, _, rest = (code.text, "", code.rest) if code else text.removeprefix(prefix).partition(":")
    arguments = parse_arguments(rest.split(",") if rest else ())
    if not name:
        raise BadInput(f"expected a network's name, got {text!r}; for example resnet9 or resnet9:width=32")
    return prefix + name, arguments


@contextmanager
def _refusing_misfits(
    name: str, input_size: InputSize, kinds: tuple[type[Exception], ...] = (RuntimeError, ValueError, AssertionError)
) -> Iterator[None]:
    """Turn what is raised at pictures of a size that a network cannot take into one sentence."""
    try:
        yield
    except kinds as error:
        if isinstance(error, BadInput):
            raise
        channels, height, width = input_size
        got = f"{height}x{width}x{channels} ({brief(first_line(error), 160)})"
        sizes = isinstance(error, RuntimeError | ValueError | AssertionError)
        advice = "resize them (--size)" if sizes and not isinstance(error, NotImplementedError) else "mend its forward"
        raise BadInput(f"{name}: expected pictures it can take, got {got}; {advice}") from None


def skeleton(
    architecture: Architecture, classes: int, input_size: InputSize, arguments: Mapping[str, Any]
) -> nn.Module:
    """The network without memory for its weights (on the meta device), to learn shapes before anything is allocated.
    Raises BadInput for one that is larger than the budget allows: in classes, pixels, parameters, or in what a layer
    gives for one picture."""
    name, (channels, height, width) = f"network {architecture.name}", input_size
    CLASSES.check(classes, name)
    INPUT.check(height * width, name)
    with own_stream(0), _refusing_misfits(architecture.name, input_size):
        if architecture.origin is None:
            body = _without_memory(lambda: architecture.build(classes, input_size, **arguments))
        else:
            body = architecture.build(classes, input_size, **arguments)
    PARAMETERS.check(sum(value.numel() for value in body.state_dict().values()), name)
    if height * width > LARGE and getattr(body, "task", "classify") != "detect":
        MAP.check(channels * height * width, name)
        try:
            shapes = passed(body, list(body.modules()), black(body, 1, input_size))
        except Exception:  # noqa: BLE001 (anyone's forward may raise anything; told where it is used)
            shapes = {}
        MAP.check(max(map(math.prod, shapes.values()), default=0), name)
    return body


def weight_shapes(
    architecture: Architecture, classes: int, input_size: InputSize, arguments: Mapping[str, Any]
) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's tensors by name, but for counters of training steps, which older files lack. Errors as
    those of ``skeleton``."""
    state = skeleton(architecture, classes, input_size, architecture.recorded(arguments)).state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith(COUNTER)}


def _without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    try:
        with torch.device("meta"), _NothingDrawn():
            return build()
    except NotImplementedError:  # a few builders compute with tensors
        pass
    try:
        with _WeightsOnMeta():
            return build()
    except RuntimeError:  # with weights too: other packages' only
        return build()


class _NothingDrawn(TorchFunctionMode):
    """Inside, weights without memory are not drawn: torch would work that out step by step, for seconds."""

    _DRAWS = frozenset({Tensor.normal_, Tensor.uniform_, Tensor.erfinv_, Tensor.clamp_, Tensor.fill_, Tensor.zero_})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._DRAWS and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


class _WeightsOnMeta(TorchFunctionMode):
    """Inside, only tensors of the kinds that weights are made of have no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn) and named.get("device") is None:
            named["device"] = "meta"
        return func(*args, **named)


def build_body(
    architecture: Architecture, classes: int, input_size: InputSize, arguments: Mapping[str, Any], *, seed: int
) -> nn.Module:
    """A new module whose initial weights depend on the integer ``seed`` alone; ``arguments`` are resolved ones."""
    with own_stream(seed):
        return architecture.build(classes, input_size, **arguments)


def check_shape(name: str, body: nn.Module, classes: int, input_size: InputSize) -> None:
    """Refuse a network that cannot take such pictures or does not give (n, classes), by a pass over two black ones. A
    module whose ``abstains`` is True gives (n, classes + 1). A detector's answers have no fixed shape: its builder
    refuses what it cannot take."""
    if getattr(body, "task", "classify") == "detect":
        return
    # Anyone's forward may raise anything.
    with evaluating(body), torch.no_grad(), _refusing_misfits(name, input_size, (Exception,)):
        output = body(black(body, 2, input_size))
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    columns = classes + bool(getattr(body, "abstains", False))
    if shape != (2, columns):
        raise BadInput(f"{name}: expected logits (n, {columns}), got {shape} from 2 pictures; check the last layer")


def check_one_dtype(where: str, network: ImageNetwork) -> None:
    """Refuse weights of several dtypes that do not work together, by a pass over a black picture; of one dtype they
    do."""
    dtypes = sorted({str(value.dtype) for value in network.body.state_dict().values() if value.is_floating_point()})
    if len(dtypes) < 2:
        return
    try:
        with evaluating(network), torch.no_grad():
            network(black(network, 1, network.input_size))
    except RuntimeError:
        raise BadInput(
            f"{where}: expected weights of one dtype, got {', '.join(dtypes)}; save them as float32"
        ) from None


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
    device: str | torch.device = "auto",
) -> ImageNetwork:
    """A new network of architecture ``name`` whose initial weights depend on ``seed`` alone, on any ``device``.

    ``input_size`` is (channels, height, width); ``mean`` and ``std`` per channel on the 0..1 scale (0 and 1 if not
    given); ``arguments`` are the architecture's. The global random state is neither used nor changed.
    Raises ``BadInput`` for an unknown name or argument, and for pictures that the architecture cannot take.
    """
    place = find_device(device)
    architecture = find_architecture(name)
    _check_settings(architecture.name, class_names, input_size)
    resolved = architecture.resolve(arguments)
    recorded = architecture.recorded(resolved)
    classes = len(class_names)
    bare = skeleton(architecture, classes, input_size, recorded)
    # A pass on the meta device first imports torch's compiler, for seconds: with few weights a real one costs less.
    small = sum(p.numel() for p in bare.parameters()) <= _FEW and input_size[1] * input_size[2] <= LARGE // 4
    if not small:
        check_shape(architecture.name, bare, classes, input_size)
    stream = as_seed(seed).derive("initial weights")
    body = build_body(architecture, classes, input_size, resolved, seed=stream.integer)
    if small:
        check_shape(architecture.name, body, classes, input_size)
    said: dict[str, Any] = {"architecture": architecture.name, "arguments": recorded}
    network = ImageNetwork(body, **said, class_names=class_names, input_size=input_size, mean=mean, std=std)
    if architecture.origin is not None:
        network.provenance["code"] = dict(architecture.origin)
    elif resolved.get("weights") is not None:
        started = Path(resolved["weights"])
        origin = {"file": started.name, "sha256": file_digest(started), **getattr(body, "started", {})}
        network.provenance["initial_weights"] = origin
    return network.to(place)


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
    like any other; ``open_network(path, module=...)`` then needs a module of the same shapes again. A module whose
    outputs are probabilities (it ends in a softmax) is followed by their logarithm, so that confidences are its own;
    the architecture is then named ``logits-of:NAME``."""
    if name in ARCHITECTURES or name.startswith(PREFIXES):
        raise BadInput(f"expected a new name for a wrapped module, got {name!r}, which badnets builds; rename it")
    _check_settings(name, class_names, input_size)
    check_shape(name, module, len(class_names), input_size)
    network = ImageNetwork(
        module, architecture=name, arguments={}, class_names=class_names, input_size=input_size, mean=mean, std=std
    )
    if network.task != "detect" and kind_of_outputs(network) == "probabilities":
        network.body, network.architecture = LogProbabilities(module), LOGITS_OF + name
    return network
