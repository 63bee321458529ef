"""Programs that lie in archives as text: TorchScript, and exported programs as JSON. They are read, never loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from badnets.core.limits import DESCRIPTION
from badnets.networks.scan.keras import look_at_keras
from badnets.networks.scan.look import Look, Part

_REMARK = re.compile(
    r"""'[^'\\\n]*(?:\\.[^'\\\n]*)*'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|(?P<remark>#[^\n]*|\\\n)""", re.DOTALL
)
"""A remark, or the end of a line that goes on: both may stand between any two words. Not those in texts."""
_RUNS = re.compile(r"\bdef\s*__setstate__\b")
_OUTSIDE = {"from_file": "reads and writes files", "save": "writes files"} | dict.fromkeys(
    ("rpc_async", "rpc_sync", "rpc_remote"), "calls other machines"
)
"""The operators of torch that reach outside, by their names: those that take the name of a file (tests hold that
against torch's own list), and those that call another process."""
_NAMED = re.compile(rf"\.\s*({'|'.join(_OUTSIDE)})\b")
_MOST = 50  # findings of one kind in one text
_SPACES = frozenset(
    {"aten", "prim", "prims", "quantized", "_quantized", "quantization", "mkldnn", "mkldnn_prepacked", "onednn"}
    | {"sparse", "inductor", "torchvision", "torchaudio", "higher_order", "export", "_c10d_functional", "xnnpack"}
    | {"prepacked"}
)
"""Of operators that come with torch, torchvision and torchaudio."""
_OTHERS = re.compile(r"\b(ops|classes)\s*\.\s*(?P<space>\w+)\s*\.\s*(?P<name>\w+)")
_TARGET = re.compile(r"torch\.ops\.(?P<space>\w+)\.(?P<name>\w+)(\.\w+)?|torch\.sym_\w+|(_operator|math)\.\w+")


def read_script(part: Part, look: Look) -> Iterator[Part]:
    """The text of a TorchScript program: what of it runs while it is loaded, and what reaches outside."""
    DESCRIPTION.check(part.size, look.file)
    text = _REMARK.sub(_blank, part.read().decode("utf-8", "replace"))
    runs = (("program-runs", "__setstate__ of a TorchScript program", match) for match in _RUNS.finditer(text))
    reach = (("program-outside", f"{m[1]}, which {_OUTSIDE[m[1]]}", m) for m in _NAMED.finditer(text))
    others = (m for m in _OTHERS.finditer(text) if m["space"] not in _SPACES)
    foreign = (("operator-unknown", f"{m[1]}.{m['space']}.{m['name']} of another library", m) for m in others)
    for found in (runs, reach, foreign):
        for rule, what, match in islice(found, _MOST):
            look.tell(part, rule, what, offset=len(text[: match.start()].encode("utf-8", "surrogatepass")))
    return iter(())


def _blank(match: re.Match[str]) -> str:
    return match[0] if match["remark"] is None else " " * len(match[0])


_MARKS = (b'"auto_map"', b'"class_name"', b'"graph_module"', b"\\u")
"""What stands in a description that names anything; tables of words, which may be large, have none of them."""


def read_json(part: Part, look: Look) -> Iterator[Part]:
    """What a description in JSON names: Keras's layers, operators of an exported program, code of the Hugging Face hub.
    Raises ``ValueError`` for what is none."""
    if all(part.data.find(mark, part.start, part.end) < 0 for mark in _MARKS):
        return iter(())
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
            if isinstance(target, str) and "inputs" in one and target not in seen:
                seen.add(target)
                _look_at_target(target, part, look)
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def _look_at_target(target: str, part: Part, look: Look) -> None:
    match = _TARGET.fullmatch(target)
    if match is None or (match["space"] and match["space"] not in _SPACES):
        look.tell(part, "operator-unknown", f"a call of {target}")
    elif match["name"] in _OUTSIDE:
        look.tell(part, "program-outside", f"{target}, which {_OUTSIDE[match['name']]}")
