"""What an architecture is, and the tables of them: of plain networks, and of networks that may refuse."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import nn

from badnets.core.errors import BadInput
from badnets.core.registry import Registry
from badnets.core.validation import explain

B = TypeVar("B", bound=Callable[..., nn.Module])
InputSize = tuple[int, int, int]
TORCHVISION = "torchvision:"
LOGITS_OF = "logits-of:"
"""``logits-of:NAME`` is architecture ``NAME``, which ends in a softmax, followed by the logarithm."""
GUARD = "guard:"
"""``guard:NAME`` is a network that may refuse, made of one or two others (``badnets.networks.guards``)."""
PREFIXES = (TORCHVISION, LOGITS_OF, GUARD)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A way to build a network. ``build(classes, input_size, *, ...)`` returns a module from floats (n, *input_size) to
    logits (n, classes), or one that says another ``task`` (``networks.network.Task``). Its keyword-only parameters are
    its arguments: annotations (``Annotated[int, Field(ge=1)]``) are checked, defaults recorded, and they must be JSON
    values. Those in ``transient`` only matter to the first building and are not written into files. ``input_size`` is
    (channels, height, width) where it was made for one. It draws its weights from torch's CPU generator, and it must
    work under ``torch.device("meta")`` or raise ``NotImplementedError`` there."""

    name: str
    summary: str
    build: Callable[..., nn.Module]
    transient: Collection[str] = ()
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
        try:
            return self.schema.model_validate(given).model_dump()
        except ValidationError as error:
            problem = explain(error, self.schema.model_json_schema, given)
            raise BadInput(f"network {self.name}: {problem}") from None

    def recorded(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Those of resolved ``arguments`` that belong in a file: all but the transient ones."""
        return {key: value for key, value in arguments.items() if key not in self.transient}


class _Plain(Registry[Architecture]):
    def _misfit(self, value: Any) -> str | None:
        if isinstance(value, Architecture) and value.name.startswith(PREFIXES):
            return f"expected a name without prefix, got {value.name!r}; rename it"
        return super()._misfit(value)


ARCHITECTURES: Registry[Architecture] = _Plain(
    "network", Architecture, homes=["badnets.networks.architectures"], group="badnets.networks"
)
"""Architectures by name, those of other packages included (entry points of ``badnets.networks``); torchvision's are
found by ``badnets.networks.registry.find_architecture``."""

GUARDS: Registry[Architecture] = Registry(
    "guard", Architecture, homes=["badnets.networks.guards"], group="badnets.guards"
)
"""Networks that may refuse, by their name without ``guard:``; made by ``badnets.defenses.abstainers``."""


def architecture(
    name: str, summary: str, *, table: Registry[Architecture] = ARCHITECTURES, **more: Any
) -> Callable[[B], B]:
    """Register the decorated ``build`` in ``table``; ``more`` are the other fields of ``Architecture``."""

    def register(build: B) -> B:
        table.add(Architecture(name=name, summary=summary, build=build, **more))
        return build

    return register


def chain(**layers: nn.Module) -> nn.Sequential:
    """Named layers in a row."""
    return nn.Sequential(OrderedDict(layers))


def pooled_side(side: int, *kernels: int) -> int:
    """The side of a map after unpadded convolutions of these sizes, each with a pooling by 2 behind it."""
    for kernel in kernels:
        side = (side - kernel + 1) // 2
    return side


def check_smallest(name: str, input_size: InputSize, smallest: int) -> None:
    """Refuse pictures with a side of fewer than ``smallest`` pixels."""
    height, width = input_size[1:]
    if min(height, width) < smallest:
        raise BadInput(
            f"{name}: expected pictures of at least {smallest}x{smallest}, got {height}x{width}; resize them (--size)"
        )
