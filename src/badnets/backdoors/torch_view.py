"""Image data as a torch data set, for people's own training loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch.utils.data import Dataset

from badnets.data.images import ImageData, as_pil


class TorchView(Dataset[tuple[Any, int]]):
    """(picture, label) by row; ``transform`` gets a PIL picture, without one the picture is a float tensor in 0..1."""

    def __init__(self, data: ImageData, transform: Callable[[Image.Image], Any] | None = None) -> None:
        self.data = data
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        picture, label = self.data.pixels.one(row % len(self)), int(self.data.labels[row])
        if self.transform is None:
            return torch.from_numpy(picture).permute(2, 0, 1).float() / 255, label
        return self.transform(as_pil(picture)), label
