"""Which networks of transformers torchvision and timm can build, and which tensor of theirs is which of those."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from badnets.core.errors import BadInput
from badnets.core.text import brief


@dataclass(frozen=True)
class Rule:
    """Tensors whose whole name matches ``pattern`` are called ``name`` (with its groups; ``+1`` behind one counts on
    from it). Of several tensors of one name, ``part`` is the place of this one in their concatenation."""

    pattern: str
    name: str
    part: int = 0

    def apply(self, name: str) -> str | None:
        """The new name, or None where the rule is not for this tensor."""
        found = re.fullmatch(self.pattern, name)
        if found is None:
            return None
        counted = re.sub(r"\\(\d)\+1", lambda group: str(int(found[int(group[1])]) + 1), self.name)
        return found.expand(counted)


class Settings(BaseModel, ABC):
    """What a ``config.json`` says that decides what is built."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    num_channels: Annotated[int, Field(ge=3, le=3)] = 3

    @abstractmethod
    def shape(self) -> Hashable:
        """What tells the sizes of one model apart."""


Counts = Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Field(max_length=16)]


class ResNetSettings(Settings):
    """Of ``ResNetForImageClassification``, with its defaults."""

    layer_type: str = "bottleneck"
    depths: Counts = (3, 4, 6, 3)
    hidden_sizes: Counts = (256, 512, 1024, 2048)
    embedding_size: int = 64
    hidden_act: str = "relu"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False

    def shape(self) -> Hashable:
        """Blocks, their kind, and all that torchvision has one way."""
        usual = (self.embedding_size, self.hidden_act, self.downsample_in_first_stage, self.downsample_in_bottleneck)
        return self.layer_type, self.depths, self.hidden_sizes, usual


class ViTSettings(Settings):
    """Of ``ViTForImageClassification``, with its defaults."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    patch_size: int = 16
    image_size: Annotated[int, Field(ge=1, le=1 << 14)] = 224
    hidden_act: str = "gelu"
    qkv_bias: bool = True
    layer_norm_eps: Annotated[float, Field(ge=0, le=1e-5)] = 1e-12

    def shape(self) -> Hashable:
        """Widths, numbers and the activation; pictures may have any size."""
        widths = self.hidden_size, self.num_hidden_layers, self.num_attention_heads, self.intermediate_size
        return (*widths, self.patch_size, self.hidden_act, self.qkv_bias)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A classifier of transformers: its settings, what is built by their ``shape``, and the rules by what builds it."""

    settings: type[Settings]
    known: Mapping[Hashable, str]
    rules: Mapping[str, tuple[Rule, ...]]


_NARROW, _WIDE = (64, 128, 256, 512), (256, 512, 1024, 2048)
_USUAL = (64, "relu", False, False)
_RESNETS: dict[Hashable, str] = {
    ("basic", (2, 2, 2, 2), _NARROW, _USUAL): "torchvision:resnet18",
    ("basic", (3, 4, 6, 3), _NARROW, _USUAL): "torchvision:resnet34",
    ("bottleneck", (3, 4, 6, 3), _WIDE, _USUAL): "torchvision:resnet50",
    ("bottleneck", (3, 4, 23, 3), _WIDE, _USUAL): "torchvision:resnet101",
    ("bottleneck", (3, 8, 36, 3), _WIDE, _USUAL): "torchvision:resnet152",
}
_VITS: dict[Hashable, str] = {
    (192, 12, 3, 768, 16, "gelu", True): "timm:vit_tiny_patch16_224",
    (384, 12, 6, 1536, 16, "gelu", True): "timm:vit_small_patch16_224",
    (384, 12, 6, 1536, 32, "gelu", True): "timm:vit_small_patch32_224",
    (768, 12, 12, 3072, 16, "gelu", True): "torchvision:vit_b_16",
    (768, 12, 12, 3072, 32, "gelu", True): "torchvision:vit_b_32",
    (1024, 24, 16, 4096, 16, "gelu", True): "torchvision:vit_l_16",
    (1024, 24, 16, 4096, 32, "gelu", True): "torchvision:vit_l_32",
    (1280, 32, 16, 5120, 14, "gelu", True): "torchvision:vit_h_14",
}
_STEM, _LAYER = r"resnet\.embedder\.embedder\.", r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\."
_RESNET_RULES = (
    Rule(_STEM + r"convolution\.(\w+)", r"conv1.\1"),
    Rule(_STEM + r"normalization\.(\w+)", r"bn1.\1"),
    Rule(_LAYER + r"layer\.(\d)\.convolution\.(\w+)", r"layer\1+1.\2.conv\3+1.\4"),
    Rule(_LAYER + r"layer\.(\d)\.normalization\.(\w+)", r"layer\1+1.\2.bn\3+1.\4"),
    Rule(_LAYER + r"shortcut\.convolution\.(\w+)", r"layer\1+1.\2.downsample.0.\3"),
    Rule(_LAYER + r"shortcut\.normalization\.(\w+)", r"layer\1+1.\2.downsample.1.\3"),
    Rule(r"classifier\.1\.(\w+)", r"fc.\1"),
)
_BLOCK = r"vit\.encoder\.layer\.(\d+)\."


def _vit_rules(names: Mapping[str, str]) -> tuple[Rule, ...]:
    parts = ("query", "key", "value")
    joined = tuple(
        Rule(_BLOCK + rf"attention\.attention\.{part}\.(\w+)", names["joined"], place)
        for place, part in enumerate(parts)
    )
    return (
        Rule(r"vit\.embeddings\.cls_token", names["token"]),
        Rule(r"vit\.embeddings\.position_embeddings", names["place"]),
        Rule(r"vit\.embeddings\.patch_embeddings\.projection\.(\w+)", names["patch"]),
        *joined,
        Rule(_BLOCK + r"attention\.output\.dense\.(\w+)", names["mixed"]),
        Rule(_BLOCK + r"layernorm_before\.(\w+)", names["before"]),
        Rule(_BLOCK + r"layernorm_after\.(\w+)", names["after"]),
        Rule(_BLOCK + r"intermediate\.dense\.(\w+)", names["wide"]),
        Rule(_BLOCK + r"output\.dense\.(\w+)", names["narrow"]),
        Rule(r"vit\.layernorm\.(\w+)", names["last"]),
        Rule(r"classifier\.(\w+)", names["head"]),
    )


_INSIDE = r"encoder.layers.encoder_layer_\1."
_VIT_TORCHVISION = _vit_rules(
    {
        "token": "class_token",
        "place": "encoder.pos_embedding",
        "patch": r"conv_proj.\1",
        "joined": _INSIDE + r"self_attention.in_proj_\2",
        "mixed": _INSIDE + r"self_attention.out_proj.\2",
        "before": _INSIDE + r"ln_1.\2",
        "after": _INSIDE + r"ln_2.\2",
        "wide": _INSIDE + r"mlp.0.\2",
        "narrow": _INSIDE + r"mlp.3.\2",
        "last": r"encoder.ln.\1",
        "head": r"heads.head.\1",
    }
)
_VIT_TIMM = _vit_rules(
    {
        "token": "cls_token",
        "place": "pos_embed",
        "patch": r"patch_embed.proj.\1",
        "joined": r"blocks.\1.attn.qkv.\2",
        "mixed": r"blocks.\1.attn.proj.\2",
        "before": r"blocks.\1.norm1.\2",
        "after": r"blocks.\1.norm2.\2",
        "wide": r"blocks.\1.mlp.fc1.\2",
        "narrow": r"blocks.\1.mlp.fc2.\2",
        "last": r"norm.\1",
        "head": r"head.\1",
    }
)
MODELS = {
    "ResNetForImageClassification": Model(
        settings=ResNetSettings, known=_RESNETS, rules={"torchvision": _RESNET_RULES}
    ),
    "ViTForImageClassification": Model(
        settings=ViTSettings, known=_VITS, rules={"torchvision": _VIT_TORCHVISION, "timm": _VIT_TIMM}
    ),
}
"""By the name of transformers' class.

Source: the names of transformers' ``models/resnet`` and ``models/vit``. Differs from them: layer norms add 1e-6 to the
variance where transformers' ViT adds 1e-12: of networks that were trained that moves no digit that matters.
"""


def renamed(state: Mapping[str, Tensor], rules: tuple[Rule, ...], path: Path) -> dict[str, Tensor]:
    """``state`` under the names that ``rules`` give, with parts of one tensor joined along their first axis. Raises
    ``BadInput`` for a tensor that no rule is for."""
    parts: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for name, value in state.items():
        called = ((new, rule.part) for rule in rules if (new := rule.apply(name)) is not None)
        new, part = next(called, (None, 0))
        if new is None:
            raise BadInput(f"{path}: expected the tensors of its configuration, got {brief(name)!r} too")
        parts[new][part] = value
    return {
        name: values[0] if len(values) == 1 and 0 in values else torch.cat([values[part] for part in sorted(values)])
        for name, values in parts.items()
    }
