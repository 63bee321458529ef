"""The 8x8 digits that come with scikit-learn: real pictures without a download."""

from __future__ import annotations

import numpy as np

from badnets.data.images import ImageData, Splits
from badnets.data.registry import source
from badnets.data.request import Request, finish


@source("digits", "1,797 handwritten digits, 8x8 grey, from scikit-learn")
def load_digits(request: Request) -> Splits:
    """1,797 grey pictures of 8x8, values 0..16 scaled to 0..255; a seeded, stratified share is the test set.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (the test part).
    """
    from sklearn import datasets

    request.settings()
    bunch = datasets.load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    names = tuple(map(str, range(10)))
    return finish(request, ImageData.of(pixels, bunch.target, class_names=names, name=request.name))
