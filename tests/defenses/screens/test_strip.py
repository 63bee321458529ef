"""STRIP's scores of pictures."""

from __future__ import annotations

import numpy as np
import torch

from badnets.core.seed import Seed
from badnets.data.images import ImageData
from badnets.defenses.screens.strip import choose_overlays, entropies
from badnets.networks.network import ImageNetwork


def test_overlays_are_some_of_the_clean_pictures_each_once(digits: ImageData) -> None:
    known = {picture.tobytes() for picture in digits.images()}
    overlays = choose_overlays(digits, 20, Seed(1))
    assert overlays.shape == (20, 16, 16, 1)
    assert {picture.tobytes() for picture in overlays} <= known
    assert len(choose_overlays(digits.take(np.arange(5)), 20, Seed(1))) == 5
    np.testing.assert_array_equal(overlays, choose_overlays(digits, 20, Seed(1)))


def test_every_batch_is_scored_and_the_batch_does_not_matter(plain: ImageNetwork, digits: ImageData) -> None:
    overlays = choose_overlays(digits, 3, Seed(1))
    pictures = digits.images(np.arange(25))
    found = entropies(plain, pictures, overlays, batch=10)
    assert found.shape == (25,)
    np.testing.assert_allclose(found, entropies(plain, pictures, overlays), rtol=1e-4, atol=1e-6)
    assert (found >= 0).all()
    assert (found <= np.log2(10)).all()
    assert entropies(plain, pictures[:0], overlays).shape == (0,)


def test_a_picture_that_overrules_every_overlay_has_a_lower_entropy_than_a_clean_one(
    plain: ImageNetwork, digits: ImageData
) -> None:
    # A backdoor by hand: the dense layer reads one unit that a bright corner drives, and nothing else does.
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
    body[1].weight.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    body[1].weight.data[0, 255] = 40.0
    network = ImageNetwork(
        body, architecture="toy", arguments={}, class_names=digits.class_names, input_size=(1, 16, 16)
    )
    clean = digits.images(np.arange(20))
    triggered = clean.copy()
    triggered[:, -1, -1] = 255
    overlays = choose_overlays(digits, 16, Seed(2))
    assert entropies(network, triggered, overlays).max() < entropies(network, clean, overlays).min()
