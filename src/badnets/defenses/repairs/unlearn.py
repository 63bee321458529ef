"""Unlearning of a trigger that is known."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from badnets.core.errors import BadInput
from badnets.data.formats.decode import DAMAGED
from badnets.defenses.repair import REPAIRS, Work, kind_of
from badnets.defenses.tuning import Loss, Tuning, sgd

Floats = NDArray[np.float32]


@kind_of(REPAIRS)
class Unlearn(Tuning):
    """Train on with clean pictures, a share of which carries a given trigger and keeps its true label.

    ``trigger`` is a file: a PNG of the network's picture size, whose alpha is the mask, or an ``.npz`` with ``mask``
    (h, w) and ``pattern`` (h, w, c), as floats in 0..1 or as bytes.

    Source: Wang, Yao, Shan, Li, Viswanath, Zheng, Zhao, Neural Cleanse (2019), section 6.3 (unlearning).
    Differs from the paper: half of the pictures carry the trigger and there are up to ten passes, where the paper
    stamps a fifth and passes once; the epoch is chosen by clean accuracy on a hold-out.
    """

    clip: ClassVar[float] = math.inf
    kind: Literal["unlearn"] = "unlearn"
    trigger: Annotated[str, Field(description="PNG with alpha, or .npz with mask and pattern")]
    share: Annotated[float, Field(gt=0, le=1, description="of the pictures that carry the trigger")] = 0.5
    epochs: Annotated[int, Field(ge=1, description="passes over the clean pictures")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="of SGD with momentum 0.9")] = 0.003

    def repair(self, work: Work) -> str:
        """SGD on the cross entropy with the true labels."""
        stamp = read_stamp(Path(self.trigger), work.network.input_size)
        optimizer = sgd(work.network, self.learning_rate, decay=5e-4)
        generator = torch.Generator().manual_seed(work.view.seed.derive("stamps").integer)
        loss = stamped_loss(work.network, [stamp], self.share, generator)
        return self.tune(work, work.split(self.hold_out), optimizer, loss, epochs=self.epochs)


@dataclass(frozen=True, eq=False)
class Stamp:
    """``(1 - mask) x + mask * pattern``: ``mask`` (1, h, w) and ``pattern`` (c, h, w), both in 0..1."""

    mask: Tensor
    pattern: Tensor

    def apply(self, images: Tensor) -> Tensor:
        """Floats (n, c, h, w) in 0..1 with the stamp."""
        return (1 - self.mask) * images + self.mask * self.pattern


def stamped_loss(network: nn.Module, stamps: Sequence[Stamp], share: float, generator: torch.Generator) -> Loss:
    """The cross entropy with true labels, where ``share`` of the pictures carry one of ``stamps`` each."""
    return lambda images, labels: functional.cross_entropy(
        network(with_stamps(images, stamps, share, generator)), labels
    )


def with_stamps(images: Tensor, stamps: Sequence[Stamp], share: float, generator: torch.Generator) -> Tensor:
    """Floats (n, c, h, w), new ones: the first ``share`` of them, rounded, carry one of ``stamps`` each, at random."""
    count = round(share * len(images))
    if not count:
        return images.clone()
    which = torch.randint(len(stamps), (count,), generator=generator)
    masks, patterns = torch.stack([s.mask for s in stamps]), torch.stack([s.pattern for s in stamps])
    return torch.cat([Stamp(masks[which], patterns[which]).apply(images[:count]), images[count:]])


def read_stamp(path: Path, input_size: tuple[int, int, int]) -> Stamp:
    """The trigger in a file, for pictures of ``input_size`` (c, h, w); ``BadInput`` for anything else."""
    try:
        mask, pattern = _mask_and_pattern(path, input_size[0])
    except FileNotFoundError:
        raise BadInput(f"unlearn: expected a trigger at {path}, got nothing; check the path") from None
    except KeyError:
        raise BadInput(f"{path}: expected arrays named mask and pattern, got others; name them so") from None
    except (zipfile.BadZipFile, *DAMAGED) as error:
        raise BadInput(f"expected a PNG or .npz with a trigger in {path}, got something else ({error})") from None
    c, h, w = input_size
    if mask.shape != (h, w) or pattern.shape != (h, w, c):
        got = f"{'x'.join(map(str, mask.shape))} and {'x'.join(map(str, pattern.shape))}"
        raise BadInput(f"{path}: expected a mask of {h}x{w} and a pattern of {h}x{w}x{c}, got {got}; resize it")
    if not (mask.min() >= 0 and mask.max() <= 1 and pattern.min() >= 0 and pattern.max() <= 1):
        raise BadInput(f"{path}: expected mask and pattern in 0..1 or as bytes, got other values; scale them")
    return Stamp(torch.from_numpy(mask)[None], torch.from_numpy(pattern).permute(2, 0, 1).contiguous())


def _mask_and_pattern(path: Path, channels: int) -> tuple[Floats, Floats]:
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as file:
            mask, pattern = file["mask"], file["pattern"]
    else:
        with Image.open(path, formats=["PNG"]) as file:
            picture = file.convert("RGBA")
        mask, pattern = np.asarray(picture)[..., 3], np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return _unit(mask), _unit(pattern[..., None] if pattern.ndim == 2 else pattern)


def _unit(values: NDArray[np.generic]) -> Floats:
    return values.astype(np.float32) / np.float32(255 if values.dtype == np.uint8 else 1)
