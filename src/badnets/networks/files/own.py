"""Network files: safetensors with a readable header. Nothing that needs unpickling is opened.

To look at a file without importing torch, use ``read_header`` of ``networks/files/header.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.core.files import dumps, whole_file
from badnets.core.text import brief
from badnets.networks.architecture import CODE, LOGITS_OF
from badnets.networks.device import find_device
from badnets.networks.files.header import FORMAT, KEY, PICKLED, NetworkHeader, Shape, check_shapes, parse
from badnets.networks.files.tensors import FLOATS, check_numbers, load_tensors, reading
from badnets.networks.former import renamed
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork, LogProbabilities
from badnets.networks.registry import build_body, check_one_dtype, recorded_architecture, skeleton
from badnets.networks.surgery.channels import narrow_as_recorded

_HUGE = 1e6
"""Magnitude of weights from which on it is tried whether sums of them are still finite."""


def save_network(network: ImageNetwork, path: Path | str) -> None:
    """Write ``network`` with everything needed to build it again; the file appears whole or not at all. Weights keep
    their dtype; buffers (batch norm's) are included; a tensor that two layers share is written once. Equal networks
    give equal files, byte for byte."""
    path = Path(path)
    if path.suffix.lower() in PICKLED:
        raise BadInput(f"expected a name ending in .safetensors, got {path.name}; there is no other format")
    tensors, shared = _distinct(network.body.state_dict())
    header = {"format": FORMAT, **network.description}
    header |= {"channels_last": _is_channels_last(network.body), "shared": shared}
    if network.narrowed:
        header["narrowed"] = network.narrowed
    try:
        with whole_file(path) as partial:
            save_file(tensors, partial, metadata={KEY: dumps(header, indent=None)})
    except (OSError, SafetensorError) as error:
        raise BadInput(f"could not write {path} ({error}); free some space or choose another place (--out)") from None


def open_network(
    path: Path | str,
    *,
    module: nn.Module | None = None,
    device: torch.device | str = "auto",
    expect_classes: int | None = None,
) -> ImageNetwork:
    """The network in a file that ``save_network`` wrote, in evaluation mode, on ``device`` (``networks.device``); on
    the one that it was saved from it has the same logits bit for bit. A file of a wrapped network needs ``module``, one
    of the same shapes; its weights are overwritten and it becomes part of the result. ``expect_classes`` refuses
    another number of classes. Raises ``BadInput`` for files that are missing, foreign, pickled, truncated, damaged, of
    an unknown architecture, or whose weights do not fit (the first such tensor is named), or are not finite; no memory
    of their size is taken before that is known."""
    path, place = Path(path), find_device(device)
    with reading(path):
        return _opened(path, module, expect_classes).to(place).eval()


def _opened(path: Path, module: nn.Module | None, expect_classes: int | None) -> ImageNetwork:
    header, tensors = parse(path)
    classes = len(header.class_names)
    if expect_classes is not None and classes != expect_classes:
        raise BadInput(f"{path}: expected a network of {expect_classes} classes, got one of {classes}; use other data")
    shapes = {name: tuple(shape) for name, (_, shape) in tensors.items()}
    shapes.update({name: shapes[other] for name, other in header.shared.items()})
    shapes = renamed(header.architecture, shapes)
    if module is None:
        module = _build(path, header, shapes)
    else:
        if header.architecture.startswith(LOGITS_OF) and not isinstance(module, LogProbabilities):
            module = LogProbabilities(module)
        _fit(path, header, module, shapes)
    state = load_tensors(path)
    state.update({name: state[other] for name, other in header.shared.items()})
    _load(path, module, renamed(header.architecture, state))
    most = check_numbers(path, module)
    if header.channels_last:
        convert: Callable[..., nn.Module] = module.to  # torch's stubs do not know this argument
        module = convert(memory_format=torch.channels_last)
    described = header.model_dump(exclude={"format", "channels_last", "shared"})
    network = ImageNetwork(module, **described)
    check_one_dtype(str(path), network)
    if most > _HUGE and network.task == "classify":
        grey = np.full((1, *header.input_size[1:], header.input_size[0]), 128, np.uint8)
        predict(network, grey)  # which refuses NaN
    return network


def through_file(network: ImageNetwork, path: Path) -> ImageNetwork:
    """``network`` written to ``path`` and opened again: attacker, defender and referee exchange a file, never a live
    object. It stays on its device."""
    save_network(network, path)
    return open_network(path, device=network.device)


def _build(path: Path, header: NetworkHeader, shapes: Mapping[str, Shape]) -> nn.Module:
    """A new body of the header's architecture, once its shapes are known to be those of the file."""
    code = header.architecture.removeprefix(LOGITS_OF).startswith(CODE)
    more = "" if code else " (a wrapped module is opened with badnets.open(path, module=...))"
    try:
        architecture = recorded_architecture(header.architecture, header.provenance.get("code"))
        more = ""
        recorded = architecture.recorded(architecture.resolve(header.arguments))
        bare = skeleton(architecture, len(header.class_names), header.input_size, recorded)
    except BadInput as error:
        raise BadInput(f"{path}: {brief(str(error), 240)}{more}") from None
    _fit(path, header, bare, shapes)
    body = build_body(architecture, len(header.class_names), header.input_size, recorded, seed=0)
    _fit(path, header, body, shapes)
    return body


def _fit(path: Path, header: NetworkHeader, body: nn.Module, shapes: Mapping[str, Shape]) -> None:
    """Take as many channels out of ``body`` as out of the file's network; then its tensors must have these shapes."""
    try:
        narrow_as_recorded(body, header.narrowed)
    except BadInput as error:
        problem = brief(str(error), 160)
        raise BadInput(f"{path}: wrong narrowed: {problem}; the file is damaged or of another network") from None
    needed = {name: tuple(value.shape) for name, value in body.state_dict().items()}
    check_shapes(path, shapes, needed, header.architecture)


def _load(path: Path, body: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy ``state`` into ``body``, whose tensors take the dtypes of the file; ties between its layers stay."""
    for name, own in body.state_dict(keep_vars=True).items():
        given = state[name]
        if given.dtype == own.dtype:
            continue
        if not (given.dtype in FLOATS and own.is_floating_point()):
            raise BadInput(f"{path}: expected tensor {name!r} as {own.dtype}, got {given.dtype}")
        own.data = own.data.to(given.dtype)
    body.load_state_dict(dict(state))


def _distinct(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Contiguous tensors on the CPU that overlap nowhere, and which names are only another name of one of them."""
    tensors: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    storages: set[tuple[torch.device, int]] = set()
    for name, value in state.items():
        same = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if value.numel() and same in first:
            shared[name] = first[same]
            continue
        first[same] = name
        storage = (value.device, value.untyped_storage().data_ptr())
        plain = value.detach().cpu().contiguous()
        tensors[name] = plain.clone() if storage in storages else plain
        storages.add(storage)
    return tensors, shared


def _is_channels_last(body: nn.Module) -> bool:
    """Whether some convolution's weights lie in memory channels last and not in the usual order."""
    filters = (p for p in body.parameters() if p.ndim == 4)
    return any(p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous() for p in filters)
