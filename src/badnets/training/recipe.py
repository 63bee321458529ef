"""How a network is trained: a frozen value, the same for the backdoored network and its clean reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

AugmentName = Literal["shift", "flip", "light", "rotate", "zoom"]
Precision = Literal["auto", "fp32", "bf16"]
Schedule = Literal["one-cycle", "cosine", "constant"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """Optimizer, schedule, epochs, batch, augmentation, precision."""

    epochs: Annotated[int, Field(ge=1, description="passes over the training set")] = 5
    batch: Annotated[int, Field(ge=1, description="pictures in one step, over all devices")] = 256
    optimizer: Annotated[Literal["adamw", "adam", "sgd"], Field(description="update rule")] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, description="highest learning rate")] = 3e-3
    weight_decay: Annotated[float, Field(ge=0, description="AdamW's decoupled decay, SGD's l2")] = 1e-2
    momentum: Annotated[float, Field(ge=0, lt=1, description="SGD's Nesterov momentum")] = 0.9
    schedule: Annotated[
        Schedule, Field(description="learning rate over the steps; cosine falls to 0 without a rise")
    ] = "one-cycle"
    warmup: Annotated[float, Field(gt=0, lt=1, description="share of the steps in which one-cycle rises")] = 0.3
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="of the cross entropy")] = 0.0
    augment: Annotated[tuple[AugmentName, ...], Field(description="batched changes of the training pictures")] = ()
    precision: Annotated[Precision, Field(description="auto: bf16 where the processor computes it natively")] = "auto"
    box_weight: Annotated[float, Field(ge=0, description="of the L1 distance, where a place is learned")] = 1e-3
    compile: Annotated[bool, Field(description="torch.compile the network (pays on long runs)")] = False


RECIPES: dict[str, Recipe] = {
    "g1-cnn": Recipe(epochs=3, batch=128, learning_rate=4e-3),
    "u1-cnn": Recipe(epochs=2, batch=128, learning_rate=2e-3),
    "l1-cnn": Recipe(epochs=4, batch=64, learning_rate=1e-3),
    "resnet9": Recipe(epochs=4, batch=128, learning_rate=8e-3, augment=("shift",)),
    "faster-rcnn": Recipe(epochs=7, batch=8, learning_rate=2e-3, augment=("zoom",)),
}
"""What is known to work for an architecture; ``Recipe()`` elsewhere."""


def recipe_for(architecture: str, changes: dict[str, Any] | None = None) -> Recipe:
    """The architecture's default recipe with some settings changed."""
    base = RECIPES.get(architecture, Recipe())
    settings = TypeAdapter(Recipe).dump_python(base)
    return TypeAdapter(Recipe).validate_python({**settings, **(changes or {})}) if changes else replace(base)
