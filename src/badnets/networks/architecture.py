"""What an architecture is, and the tables of them: of plain networks, and of networks that may refuse."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from torch import nn

from badnets.core.errors import BadInput
from badnets.core.registry import Entry, Registry
from badnets.core.validation import explain

B = TypeVar("B", bound=Callable[..., nn.Module])
P = TypeVar("P", bound="Callable[[str], Architecture | None]")
InputSize = tuple[int, int, int]
TORCHVISION = "torchvision:"
TIMM = "timm:"
"""``timm:NAME`` is a classifier of the package timm, an extra."""
CODE = "file:"
"""``file:CLASS`` is a network of the user's own code, which files do not carry (``badnets.networks.code``)."""
LOGITS_OF = "logits-of:"
"""``logits-of:NAME`` is architecture ``NAME``, which ends in a softmax, followed by the logarithm."""
GUARD = "guard:"
"""``guard:NAME`` is a network that may refuse, made of one or two others (``badnets.networks.guards``)."""
PREFIXES = (TORCHVISION, TIMM, CODE, LOGITS_OF, GUARD)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A way to build a network. ``build(classes, input_size, *, ...)`` returns a module from floats (n, *input_size) to
    logits (n, classes), or one that says another ``task`` (``networks.network.Task``). Its keyword-only parameters are
    its arguments: annotations (``Annotated[int, Field(ge=1)]``) are checked, defaults recorded, and they must be JSON
    values. Those in ``transient`` only matter to the first building and are not written into files. ``input_size`` is
    (channels, height, width) where it was made for one. It draws its weights from torch's CPU generator, and it must
    work under ``torch.device("meta")`` or raise ``NotImplementedError`` there.

    ``family`` is the name that several sizes of one shape share; they are listed as one. ``spellings`` are arguments,
    as text (``"dense=3"``), that published weights need besides the defaults. ``origin`` goes into the provenance of
    what is built; who has one is other people's code, which takes any arguments (``**arguments``) and is built as it
    is, never on the meta device."""

    name: str
    summary: str
    build: Callable[..., nn.Module]
    transient: Collection[str] = ()
    input_size: InputSize | None = None
    family: str = ""
    spellings: tuple[str, ...] = ()
    origin: Mapping[str, Any] | None = None

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The arguments as a pydantic model, made from the signature of ``build``; with ``**arguments`` in it, any."""
        hints = get_type_hints(self.build, include_extras=True)
        parameters = inspect.signature(self.build).parameters.values()
        fields: dict[str, Any] = {p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
        extra: Literal["allow", "forbid"] = "allow" if any(p.kind is p.VAR_KEYWORD for p in parameters) else "forbid"
        return create_model("Arguments", __config__=ConfigDict(extra=extra, strict=True), **fields)

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
    """Names that are made of numbers are found too, without being listed."""

    _patterns: tuple[Callable[[str], Architecture | None], ...] = ()

    def pattern(self, make: P) -> P:
        """Add (as a decorator) a function that makes the architecture of a name, or None of a name of other form."""
        self._patterns += (make,)
        return make

    def _entry(self, name: str) -> Entry[Architecture] | None:
        known = super()._entry(name)
        made = (make(name) for make in self._patterns)
        return known or next((Entry(name=name, value=value) for value in made if value is not None), None)

    def _misfit(self, value: Any) -> str | None:
        if isinstance(value, Architecture) and value.name.startswith(PREFIXES):
            return f"expected a name without prefix, got {value.name!r}; rename it"
        return super()._misfit(value)


ARCHITECTURES = _Plain(
    "network",
    Architecture,
    homes=["badnets.networks.architectures", "badnets.networks.architectures.cifar"],
    group="badnets.networks",
)
"""Architectures by name, those of other packages included (entry points of ``badnets.networks``); torchvision's,
timm's and the user's own code are found by ``badnets.networks.registry.find_architecture``."""

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
