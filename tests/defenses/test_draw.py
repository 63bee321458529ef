from __future__ import annotations

import numpy as np
import torch

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.draw import draw


def test_every_picture_comes_once_before_any_comes_again(digits: ImageData) -> None:
    few = digits.take(np.arange(10))
    sums = [images.sum((1, 2, 3)) for images, _ in draw(few, 4, 5, Seed(1))]
    assert [len(part) for part in sums] == [4] * 5
    assert len(set(torch.cat(sums)[:10].tolist())) == len(set(torch.cat(sums)[10:].tolist())) == 10


def test_a_batch_is_no_larger_than_the_data_and_labels_stay_with_their_pictures(digits: ImageData) -> None:
    few = digits.take(np.arange(10))
    images, labels = next(iter(draw(few, 64, 1, Seed(1))))
    assert images.shape == (10, 1, 16, 16)
    own = {round(float(p.sum()), 1): int(label) for p, label in zip(few.images() / 255, few.labels, strict=True)}
    for picture, label in zip(images, labels, strict=True):
        assert own[round(float(picture.sum()), 1)] == int(label)
