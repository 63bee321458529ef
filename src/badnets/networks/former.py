"""Names that tensors had in files of 0.2 and earlier."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from badnets.networks.architecture import GUARD, LOGITS_OF

V = TypeVar("V")
_RENAMED = ("resnet18", "preact-resnet18")
"""Architectures whose tensors were named otherwise, before they got the names of published weights."""
_BODY = r"^((?:.*\.body\.)?(?:network\.)?)"  # of the network itself, inside a guard, before a logarithm
_RULES = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"\bstage(\d)\.block1\b", r"layer\1.0"),
        (r"\bstage(\d)\.block2\b", r"layer\1.1"),
        (r"\bshortcut\.(?:conv\b|(?=weight$))", r"shortcut.0."),
        (r"\bshortcut\.bn\b", r"shortcut.1"),
        (_BODY + r"(conv|bn)(?=\.|$)", r"\g<1>\g<2>1"),
        (_BODY + r"fc(?=\.|$)", r"\g<1>linear"),
    )
)


def current(name: str) -> str:
    """The name that a tensor or layer of a residual network has today."""
    for old, new in _RULES:
        name = old.sub(new, name)
    return name.replace("..", ".")


def renamed(architecture: str, tensors: Mapping[str, V]) -> dict[str, V]:
    """``tensors`` of a file of this architecture under today's names."""
    concerned = architecture.removeprefix(LOGITS_OF) in _RENAMED or architecture.startswith(GUARD)
    if concerned and any(".block1." in name for name in tensors):
        return {current(name): value for name, value in tensors.items()}
    return dict(tensors)
