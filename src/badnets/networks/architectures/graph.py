"""Any network of well-known layers, told as a list: what a description in a file is read as, with nothing to run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator
from torch import Tensor, nn

from badnets.core.errors import BadInput
from badnets.core.text import brief
from badnets.networks.architecture import InputSize, architecture
from badnets.networks.architectures.graph_modules import Joined, Padded, Scaled

INPUT = "input"
Shape = tuple[int, ...]
Count = Annotated[int, Field(ge=1, le=1 << 20)]
Side = Annotated[int, Field(ge=0, le=1 << 14)]
Step = Annotated[int, Field(ge=1, le=1 << 14)]
Pair = tuple[Step, Step]
Sides = tuple[Side, Side, Side, Side]
"""Top, bottom, left, right."""


_EMPTY = nn.Module()


def is_taken(name: str) -> bool:
    """Whether no layer can have this name."""
    return name in (INPUT, "_given", "_last") or hasattr(_EMPTY, name)


class Layer(BaseModel, ABC):
    """One layer: its ``name``, which its weights have in front, and whose answers it takes (none: those of the layer
    before it). Shapes are those of one picture: (c, h, w) or (features,)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
    inputs: tuple[str, ...] = ()
    takes: ClassVar[int | None] = 1
    weighted: ClassVar[bool] = False

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if is_taken(name):
            raise ValueError(f"expected another name than {name!r}, which is taken")
        return name

    @property
    def out(self) -> int | None:
        """Channels or features that it gives, where it decides."""
        return getattr(self, "filters", getattr(self, "features", None))

    @property
    def words(self) -> str:
        """What it is, for people; nothing for what only moves numbers."""
        return str(self.model_dump()["kind"])

    def make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        """The module, and the shape that it gives for one picture of ``shapes``. Raises BadInput where they do not
        fit."""
        if self.takes is not None and len(shapes) != self.takes:
            raise BadInput(f"layer {self.name!r}: expected {self.takes} input, got {len(shapes)}")
        return self._make(*shapes)

    @abstractmethod
    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]: ...


def _map(name: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise BadInput(f"layer {name!r}: expected maps (channels, height, width), got {list(shape)}")
    return shape[0], shape[1], shape[2]


def _slid(name: str, sides: tuple[int, int], kernel: Pair, stride: Pair, padding: Sides, dilation: Pair) -> list[int]:
    """Height and width of what a window that slides over a map gives."""
    given = (sides[0] + padding[0] + padding[1], sides[1] + padding[2] + padding[3])
    out = [
        (side - far * (window - 1) - 1) // step + 1
        for side, window, step, far in zip(given, kernel, stride, dilation, strict=True)
    ]
    if min(out) < 1:
        raise BadInput(f"layer {name!r}: expected maps of at least {kernel[0]}x{kernel[1]}, got {given[0]}x{given[1]}")
    return out


class Conv(Layer):
    """A convolution; ``padding`` as much above as below, and left as right."""

    weighted: ClassVar[bool] = True
    kind: Literal["conv"] = "conv"
    filters: Count
    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[Side, Side] = (0, 0)
    dilation: Pair = (1, 1)
    groups: Count = 1
    bias: bool = True

    @property
    def words(self) -> str:
        """In a few words."""
        return f"conv {self.filters}@{self.kernel[0]}x{self.kernel[1]}" + (" padded" if any(self.padding) else "")

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        channels, height, width = _map(self.name, shapes[0])
        if channels % self.groups or self.filters % self.groups:
            got = f"{channels} and {self.filters}"
            raise BadInput(f"layer {self.name!r}: expected channels in {self.groups} equal groups, got {got}")
        y, x = self.padding
        out = _slid(self.name, (height, width), self.kernel, self.stride, (y, y, x, x), self.dilation)
        module = nn.Conv2d(
            channels,
            self.filters,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.bias,
        )
        return module, (self.filters, *out)


class Dense(Layer):
    """A dense layer."""

    weighted: ClassVar[bool] = True
    kind: Literal["dense"] = "dense"
    features: Count
    bias: bool = True

    @property
    def words(self) -> str:
        """In a few words."""
        return f"dense {self.features}"

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        if len(shapes[0]) != 1:
            raise BadInput(f"layer {self.name!r}: expected features in a row, got {list(shapes[0])}; flatten them")
        return nn.Linear(shapes[0][0], self.features, self.bias), (self.features,)


class Norm(Layer):
    """A batch norm of maps or of features. ``momentum`` as in torch: the share of the new statistics."""

    weighted: ClassVar[bool] = True
    kind: Literal["norm"] = "norm"
    epsilon: Annotated[float, Field(ge=0, le=1)] = 1e-5
    momentum: Annotated[float, Field(ge=0, le=1)] = 0.1

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        norm = nn.BatchNorm2d if len(shapes[0]) == 3 else nn.BatchNorm1d
        return norm(shapes[0][0], self.epsilon, self.momentum), shapes[0]


class Pool(Layer):
    """The largest, or the mean, of each window; what ``padding`` adds counts in neither."""

    kind: Literal["pool"] = "pool"
    how: Literal["max", "mean"]
    kernel: Pair
    stride: Pair
    padding: Sides = (0, 0, 0, 0)

    @property
    def words(self) -> str:
        """In a few words."""
        return f"{self.how} pool {self.kernel[0]}"

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        channels, height, width = _map(self.name, shapes[0])
        out = _slid(self.name, (height, width), self.kernel, self.stride, self.padding, (1, 1))
        plain: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "mean": nn.AvgPool2d}
        build: Callable[..., nn.Module] = plain[self.how]
        module = build(self.kernel, self.stride)
        return (Padded(module, self.how, self.padding) if any(self.padding) else module), (channels, *out)


class GlobalPool(Layer):
    """The largest, or the mean, of each map; ``keep`` gives maps of one pixel."""

    kind: Literal["global-pool"] = "global-pool"
    how: Literal["max", "mean"]
    keep: bool = False

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        channels, _, _ = _map(self.name, shapes[0])
        pool = nn.AdaptiveMaxPool2d(1) if self.how == "max" else nn.AdaptiveAvgPool2d(1)
        return (pool, (channels, 1, 1)) if self.keep else (nn.Sequential(pool, nn.Flatten()), (channels,))


class Flatten(Layer):
    """Maps in a row: channel by channel."""

    kind: Literal["flatten"] = "flatten"

    @property
    def words(self) -> str:
        """In a few words."""
        return ""

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        count = 1
        for side in shapes[0]:
            count *= side
        return nn.Flatten(), (count,)


Function = Literal[
    "relu", "relu6", "leaky-relu", "elu", "selu", "gelu", "silu", "sigmoid", "tanh", "softplus", "softmax",
    "log-softmax", "hard-sigmoid", "hard-swish", "gelu-tanh",
]  # fmt: skip


class Activation(Layer):
    """A function of each number, or of all features; ``slope`` below zero is that of ``leaky-relu`` and ``elu``."""

    kind: Literal["activation"] = "activation"
    function: Function
    slope: Annotated[float, Field(ge=-10, le=10)] = 0.01

    @property
    def words(self) -> str:
        """In a few words."""
        return self.function

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        made: dict[str, Callable[[], nn.Module]] = {
            "relu": nn.ReLU,
            "relu6": nn.ReLU6,
            "leaky-relu": lambda: nn.LeakyReLU(self.slope),
            "elu": lambda: nn.ELU(self.slope),
            "selu": nn.SELU,
            "gelu": nn.GELU,
            "gelu-tanh": lambda: nn.GELU("tanh"),
            "silu": nn.SiLU,
            "sigmoid": nn.Sigmoid,
            "hard-sigmoid": nn.Hardsigmoid,
            "hard-swish": nn.Hardswish,
            "tanh": nn.Tanh,
            "softplus": nn.Softplus,
            "softmax": lambda: nn.Softmax(1),
            "log-softmax": lambda: nn.LogSoftmax(1),
        }
        return made[self.function](), shapes[0]


class Join(Layer):
    """Several answers into one: number by number, or one after the other along channels or features."""

    kind: Literal["join"] = "join"
    how: Literal["add", "multiply", "mean", "largest", "less", "append"]
    takes: ClassVar[int | None] = None

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        if self.how == "append":
            if len({shape[1:] for shape in shapes}) != 1:
                raise BadInput(f"layer {self.name!r}: expected maps of one size, got {[list(s) for s in shapes[:4]]}")
            return Joined(self.how), (sum(shape[0] for shape in shapes), *shapes[0][1:])
        small = [shape for shape in shapes if shape != max(shapes)]
        alike = len({len(shape) for shape in shapes}) == 1
        if not alike or any(shape[0] != max(shapes)[0] or any(side != 1 for side in shape[1:]) for shape in small):
            raise BadInput(f"layer {self.name!r}: expected equal shapes, got {[list(s) for s in shapes[:4]]}")
        return Joined(self.how), max(shapes)


class Pad(Layer):
    """Zeros around a map; or cut off, where ``cut``."""

    kind: Literal["pad"] = "pad"
    sides: Sides
    cut: bool = False

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        channels, height, width = _map(self.name, shapes[0])
        sign = -1 if self.cut else 1
        top, bottom, left, right = (sign * side for side in self.sides)
        out = (channels, height + top + bottom, width + left + right)
        if min(out) < 1:
            raise BadInput(f"layer {self.name!r}: expected something left of {height}x{width}, got nothing")
        return nn.ZeroPad2d((left, right, top, bottom)), out


class Dropout(Layer):
    """Zeros at random while training."""

    kind: Literal["dropout"] = "dropout"
    rate: Annotated[float, Field(ge=0, lt=1)]

    @property
    def words(self) -> str:
        """In a few words."""
        return ""

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        return nn.Dropout(self.rate), shapes[0]


class Scale(Layer):
    """``x * by + plus``, for each channel or for all alike."""

    kind: Literal["scale"] = "scale"
    by: tuple[float, ...] = (1.0,)
    plus: tuple[float, ...] = (0.0,)

    def _make(self, *shapes: Shape) -> tuple[nn.Module, Shape]:
        for numbers in (self.by, self.plus):
            if len(numbers) not in (1, shapes[0][0]):
                raise BadInput(f"layer {self.name!r}: expected 1 or {shapes[0][0]} numbers, got {len(numbers)}")
        return Scaled(self.by, self.plus, len(shapes[0])), shapes[0]


AnyLayer = Annotated[
    Conv | Dense | Norm | Pool | GlobalPool | Flatten | Activation | Join | Pad | Dropout | Scale,
    Field(discriminator="kind"),
]
Layers = Annotated[
    list[AnyLayer], Field(max_length=10_000, description="of each its kind, name and settings; none: one dense layer")
]
_LAYERS: TypeAdapter[list[AnyLayer]] = TypeAdapter(list[AnyLayer])


class Graph(nn.Module):
    """Layers by name; each takes the answers of those that it names, the last one gives the network's."""

    def __init__(self, modules: dict[str, nn.Module], inputs: dict[str, tuple[str, ...]]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._given, self._last = inputs, list(modules)[-1]

    def forward(self, images: Tensor) -> Tensor:
        """Floats (n, c, h, w) to what the last layer gives."""
        answers = {INPUT: images}
        for name, given in self._given.items():
            answers[name] = getattr(self, name)(*[answers[one] for one in given])
        return answers[self._last]


@architecture("graph", "a list of well-known layers, as a description in a foreign file is read")
def build(classes: int, input_size: InputSize, *, layers: Layers | None = None) -> nn.Module:
    """The ``layers`` in their order; each one's ``inputs`` name layers before it, or ``input``, the pictures.

    The last layer gives ``classes`` numbers, or is an activation of such. Raises ``BadInput``, naming the layer, where
    shapes do not fit together.
    """
    shapes: dict[str, Shape] = {INPUT: tuple(input_size)}
    modules: dict[str, nn.Module] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    last = INPUT
    for layer in _LAYERS.validate_python(layers or []) or [Flatten(name="flatten"), Dense(name="fc", features=classes)]:
        name, given = layer.name, layer.inputs or (last,)
        unknown = next((one for one in given if one not in shapes), None)
        if unknown is not None or name in shapes:
            got = f"{unknown!r}" if unknown is not None else "its name twice"
            raise BadInput(f"layer {name!r}: expected layers before it as inputs, each once, got {brief(got)}")
        modules[name], shapes[name] = layer.make(*[shapes[one] for one in given])
        inputs[name], last = given, name
    if shapes[last] != (classes,):
        raise BadInput(f"layer {last!r}: expected {classes} answers of the last layer, got {list(shapes[last])}")
    return Graph(modules, inputs)
