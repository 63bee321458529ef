"""Programs that lie in archives as text: TorchScript, and exported programs as JSON. They are read, never loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from badnets.core.limits import DESCRIPTION
from badnets.networks.scan.keras import look_at_keras
from badnets.networks.scan.look import Look, Part

_RUNS = re.compile(r"def\s+(__setstate__|__getstate__)\b")
_CALL = re.compile(r"\b(?:(?P<space>ops|torch\.ops|torch\.classes)\.)?(?P<name>[A-Za-z_][\w.]*)\s*\(")
_OUTSIDE = {"from_file": "reads and writes files", "save": "writes files"} | dict.fromkeys(
    ("rpc_async", "rpc_sync", "rpc_remote"), "calls other machines"
)
"""The operators of torch that reach outside, by their names: those that take the name of a file (tests hold that
against torch's own list), and those that call another process."""
_SPACES = frozenset(
    {
        "aten",
        "prim",
        "prims",
        "quantized",
        "_quantized",
        "quantization",
        "mkldnn",
        "mkldnn_prepacked",
        "onednn",
        "sparse",
    }
    | {"inductor", "torchvision", "torchaudio", "higher_order", "export", "_c10d_functional", "xnnpack", "prepacked"}
)
"""Of operators that come with torch, torchvision and torchaudio."""
_TARGET = re.compile(r"torch\.ops\.(?P<space>\w+)\.(?P<name>\w+)")
_CLASSES = re.compile(r"\b(?:__torch__\.)?torch\.classes\.(?P<space>\w+)\.(?P<name>\w+)")


def read_script(part: Part, look: Look) -> Iterator[Part]:
    """The text of a TorchScript program: what of it runs while it is loaded, and what reaches outside."""
    DESCRIPTION.check(part.size, look.file)
    text = part.read().decode("utf-8", "replace")
    for match in _RUNS.finditer(text):
        if match[1] == "__setstate__":
            look.tell(part, "program-runs", "__setstate__ of a TorchScript program", offset=_offset(text, match))
    for match in _CALL.finditer(text):
        *space, name = match["name"].split(".")
        called = f"{match['space'] or ''}.{match['name']}".lstrip(".")
        if match["space"] in ("ops", "torch.ops") and space and space[0] not in _SPACES:
            look.tell(part, "operator-unknown", f"the operator {called}", offset=_offset(text, match))
        elif name in _OUTSIDE and (space or match["space"]):
            look.tell(part, "program-outside", f"{called}, which {_OUTSIDE[name]}", offset=_offset(text, match))
    for match in _CLASSES.finditer(text):
        if match["space"] not in _SPACES:
            look.tell(part, "operator-unknown", f"the class {match[0]}", offset=_offset(text, match))
    return iter(())


def _offset(text: str, match: re.Match[str]) -> int:
    return len(text[: match.start()].encode("utf-8", "surrogatepass"))


def read_json(part: Part, look: Look) -> Iterator[Part]:
    """What a description in JSON names: Keras's layers, operators of an exported program, code of the Hugging Face hub.
    Raises ``ValueError`` for what is none."""
    DESCRIPTION.check(part.size, look.file)
    try:
        value = json.loads(part.read())
    except RecursionError:
        raise ValueError("brackets in each other without end") from None
    if isinstance(value, dict):
        if isinstance(value.get("auto_map"), dict):
            code = ", ".join(str(name) for name in list(value["auto_map"].values())[:3])
            look.tell(part, "python-beside", f"code of its own for trust_remote_code ({code})")
        if "class_name" in value:
            look_at_keras(value, part, look)
        if "graph_module" in value:
            _look_at_exported(value, part, look)
    return iter(())


def _look_at_exported(value: Any, part: Part, look: Look) -> None:
    """Operators of a program that torch.export wrote."""
    seen = set[str]()
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            target = one.get("target")
            if isinstance(target, str) and "torch.ops." in target and target not in seen:
                seen.add(target)
                _look_at_target(target, part, look)
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _look_at_target(target: str, part: Part, look: Look) -> None:
    match = _TARGET.search(target)
    if match is None or match["space"] not in _SPACES:
        look.tell(part, "operator-unknown", f"the operator {target}")
    elif match["name"] in _OUTSIDE:
        look.tell(part, "program-outside", f"{target}, which {_OUTSIDE[match['name']]}")
