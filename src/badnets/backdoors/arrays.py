"""Poison plain arrays, for programs that have no use for the rest of this package."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from badnets.backdoors.trigger import Images, Trigger
from badnets.core.errors import BadInput
from badnets.core.seed import RowRng, Seed, as_seed

Layout = Literal["NHWC", "NCHW"]


def poison_arrays(
    to_be_attacked: ArrayLike,
    attack_target_labels: ArrayLike,
    broadcast: bool,  # the published interface passes it by place
    trigger: Trigger,
    *,
    layout: Layout | None = None,
    seed: int | Seed = 0,
    high: float | None = None,
) -> tuple[Images, NDArray[Any]]:
    """``(attacked, attack_labels)``: the pictures with the trigger, and their planted labels; always copies.

    ``to_be_attacked``: pictures (n, h, w, c) or (n, c, h, w), as ``layout`` says, with c 1 or 3, or grey ones
    (n, h, w), which need no layout; or a single one, (h, w, c), (c, h, w) or (h, w), with a single label. uint8 in
    0..255, or floats in 0..``high`` (1 by default). Shape and dtype stay.

    ``attack_target_labels``: integers (n,) or one-hot rows (n, k), and given back in the same form. With ``broadcast``
    one label for all: an integer, one integer in a list, a one-hot vector (k,) or (1, k).

    ``seed`` is that of triggers that are placed at random.

    Source: the interface of study U1 (useloff-mnist). Differs from it: the layout is said, not guessed.
    Raises ``BadInput`` for other shapes, dtypes and ranges, and for labels that are neither integers nor one-hot.
    """
    pictures, labels_given = np.asarray(to_be_attacked), np.asarray(attack_target_labels)
    if _is_one(pictures, labels_given, layout, broadcast=broadcast):
        one = labels_given if labels_given.ndim == 1 and len(labels_given) == 1 else labels_given[None]
        attacked, labels = poison_arrays(pictures[None], one, broadcast, trigger, layout=layout, seed=seed, high=high)
        return attacked[0], labels.reshape(labels_given.shape)
    batch = _to_nhwc(pictures, layout)
    labels = _labels(labels_given, len(pictures), broadcast=broadcast)
    rng = RowRng.of(as_seed(seed).derive("trigger"), len(pictures))
    attacked = trigger.apply(batch, None, rng, high=high)
    if pictures.ndim == 3:
        attacked = attacked[..., 0]
    elif layout == "NCHW":
        attacked = attacked.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(attacked), labels


def _is_one(pictures: Images, labels: NDArray[Any], layout: Layout | None, *, broadcast: bool) -> bool:
    """Whether this is a single picture: two axes; or three, the channels where the ``layout`` has them, and not a label
    for each of so many grey ones."""
    if pictures.ndim != 3:
        return pictures.ndim == 2 and layout is None
    if layout not in ("NHWC", "NCHW"):
        return not labels.ndim and not broadcast
    colored = pictures.shape[-1 if layout == "NHWC" else 0] in (1, 3)
    return colored and (broadcast or not labels.ndim or len(labels) != len(pictures))


def _to_nhwc(pictures: Images, layout: Layout | None) -> Images:
    """A view with the channels last."""
    if layout not in ("NHWC", "NCHW", None):
        raise BadInput(f"expected layout 'NHWC' or 'NCHW', got {layout!r}")
    if pictures.ndim == 3:
        return pictures[..., None]
    shape = pictures.shape
    if pictures.ndim != 4:
        raise BadInput(f"expected pictures (n, h, w) or with channels in four axes, got {shape}; add or drop an axis")
    if layout is None:
        raise BadInput(f"expected layout='NHWC' or layout='NCHW' for pictures {shape}, got none; say which")
    channels = shape[3] if layout == "NHWC" else shape[1]
    if channels not in (1, 3):
        raise BadInput(f"expected 1 or 3 channels for layout {layout}, got {channels} in {shape}; try the other layout")
    return pictures if layout == "NHWC" else pictures.transpose(0, 2, 3, 1)


def _labels(labels: NDArray[Any], n: int, *, broadcast: bool) -> NDArray[Any]:
    """One label (integer or one-hot row) for each of ``n`` pictures, a new array."""
    if broadcast:
        one = labels[0] if labels.ndim and len(labels) == 1 else labels
        if one.ndim > 1:
            raise BadInput(f"expected one label for all (broadcast=True), got labels {labels.shape}; pass one of them")
        _check_labels(one[None])
        return np.repeat(one[None], n, axis=0)
    if len(np.atleast_1d(labels)) != n or not labels.ndim:
        raise BadInput(
            f"expected {n} labels for {n} pictures, got {labels.shape or 'one'}; pass broadcast=True to use one for all"
        )
    if labels.ndim > 2:
        raise BadInput(f"expected labels as integers (n,) or one-hot rows (n, classes), got {labels.shape}")
    _check_labels(labels)
    return labels.copy()


def _check_labels(labels: NDArray[Any]) -> None:
    """Integers (n,) that are not negative, or one-hot rows (n, classes)."""
    if labels.ndim == 2:
        numbers = np.issubdtype(labels.dtype, np.number) or labels.dtype == np.bool_
        if not numbers or not (((labels == 0) | (labels == 1)).all() and ((labels == 1).sum(axis=1) == 1).all()):
            raise BadInput(
                "expected one-hot labels (one 1 in each row, else 0), got other values; "
                "pass integers (n,), or with broadcast=True a single one"
            )
    elif not np.issubdtype(labels.dtype, np.integer):
        raise BadInput(f"expected labels as integers, got {labels.dtype}; convert them, or pass one-hot rows")
    elif labels.size and labels.min() < 0:
        raise BadInput(f"expected labels of at least 0, got {int(labels.min())}")
