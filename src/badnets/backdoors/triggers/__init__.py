"""All triggers, one file per family, and their table."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from badnets.backdoors.trigger import Trigger
from badnets.backdoors.triggers.blend import Blend
from badnets.backdoors.triggers.checkerboard import Checkerboard
from badnets.backdoors.triggers.jitter import Jitter, takes_jitter, with_jitter
from badnets.backdoors.triggers.pattern import Pattern
from badnets.backdoors.triggers.picture import Picture
from badnets.backdoors.triggers.pixel import Pixel
from badnets.backdoors.triggers.place import At, Corner, Place, Random, Size
from badnets.backdoors.triggers.sinusoid import Sinusoid
from badnets.backdoors.triggers.square import Square
from badnets.backdoors.triggers.warp import Warp
from badnets.core.errors import BadInput, nearest

__all__ = [
    "TRIGGERS",
    "AnyTrigger",
    "At",
    "Blend",
    "Checkerboard",
    "Corner",
    "Jitter",
    "Pattern",
    "Picture",
    "Pixel",
    "Place",
    "Random",
    "Sinusoid",
    "Size",
    "Square",
    "Warp",
    "takes_jitter",
    "trigger_from_json",
    "trigger_to_json",
    "with_jitter",
]

TRIGGERS: dict[str, type[Pixel | Pattern | Square | Checkerboard | Picture | Blend | Sinusoid | Warp]] = {
    "pixel": Pixel,
    "pattern": Pattern,
    "square": Square,
    "checkerboard": Checkerboard,
    "picture": Picture,
    "blend": Blend,
    "sinusoid": Sinusoid,
    "warp": Warp,
}

AnyTrigger = Annotated[
    Pixel | Pattern | Square | Checkerboard | Picture | Blend | Sinusoid | Warp, Field(discriminator="kind")
]


def trigger_to_json(trigger: Trigger) -> dict[str, Any]:
    """A trigger as JSON, ``{"kind": ...}`` and all its settings."""
    value: dict[str, Any] = TypeAdapter(type(trigger)).dump_python(trigger, mode="json")
    return value


def trigger_from_json(value: dict[str, Any] | str) -> Trigger:
    """Back from ``trigger_to_json``; a word is the trigger of that kind with its defaults.

    Errors: BadInput naming the kind or the field, with the nearest known name.
    """
    settings = {"kind": value} if isinstance(value, str) else dict(value)
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in TRIGGERS:
        raise BadInput(f"expected a kind of trigger, got {kind!r}; {nearest(str(kind), TRIGGERS)}")
    try:
        trigger: Trigger = TypeAdapter(TRIGGERS[kind]).validate_python(settings)
    except ValidationError as error:
        raise BadInput(_sentence(kind, error)) from None
    return trigger


def _sentence(kind: str, error: ValidationError) -> str:
    """What is wrong with the first wrong field, by its name (a union gives one error for each of its members)."""
    errors = error.errors(include_url=False)
    first, field = errors[0], str(errors[0]["loc"][0]) if errors[0]["loc"] else "settings"
    nested = field in ("place", "jitter") and len(first["loc"]) > 1
    if first["type"] == "unexpected_keyword_argument":
        owner: Any = TRIGGERS[kind]
        if nested:
            owner = {"jitter": Jitter, "corner": Corner, "at": At, "random": Random}[str(first["loc"][-2])]
        known, unknown = [f.name for f in dataclasses.fields(owner)], str(first["loc"][-1])
        where = f" in {field}" if nested else ""
        return f"trigger {kind}: expected no setting {unknown!r}{where}; {nearest(unknown, known)}"
    path = f"{field}.{first['loc'][-1]}" if nested else field
    reasons = dict.fromkeys(e["msg"][:1].lower() + e["msg"][1:] for e in errors if e["loc"][:1] == first["loc"][:1])
    return f"trigger {kind}: expected a valid {path}, got {first['input']!r}; {', or '.join(reasons)}"
