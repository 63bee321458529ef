"""First-layer filters as small grey pictures: bright where a filter likes light, dark where it dislikes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badnets.report.charts.pictures import picture
from badnets.report.words.facts import listing

PREFERS = 0.95
"""From this share of strokes on a filter is said to prefer the trigger."""
_SIDE = 60  # screen pixels of a filter
_PATTERN = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 1]], np.uint8)


def filter_grids(filters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Every network's filters on one scale of grey, those that prefer the trigger marked; None without any."""
    found = {}
    for name in filters:
        weights = _weights(listing(filters, name, "weights"))
        if weights is not None:
            found[name] = (weights, listing(filters, name, "preference"))
    if not found:
        return None
    scale = max(float(np.abs(weights).max()) for weights, _ in found.values()) or 1.0
    alone = picture((_PATTERN * np.uint8(255))[..., None], "the four-pixel pattern", wide=_SIDE, narrow=_SIDE)
    return {"grids": [_grid(str(name), *entry, scale) for name, entry in found.items()], "pattern": alone}


def _weights(value: list[Any]) -> NDArray[np.float64] | None:
    """(filters, k, k), None where the list is something else."""
    try:
        weights = np.array(value, dtype=np.float64)
    except (ValueError, TypeError):  # ragged, or not numbers
        return None
    whole = weights.ndim == 3 and weights.size > 0 and bool(np.isfinite(weights).all())
    return weights if whole else None


def _grid(name: str, weights: NDArray[np.float64], preference: list[Any], scale: float) -> dict[str, Any]:
    grey = np.clip(np.rint(127.5 + 127.5 * weights / scale), 0, 255).astype(np.uint8)
    shares = [float(v) if isinstance(v, int | float) else None for v in preference]
    cells = []
    for i, pixels in enumerate(grey):
        share = shares[i] if i < len(shares) else None
        alt = f"{name}, filter {i + 1}"
        cells.append(
            {
                "picture": picture(pixels[..., None], alt, wide=_SIDE, narrow=_SIDE),
                "number": i + 1,
                "share": "" if share is None else f"{100 * share:.0f} %",
                "prefers": share is not None and share >= PREFERS,
            }
        )
    chosen = [str(cell["number"]) for cell in cells if cell["prefers"]]
    return {"name": name, "cells": cells, "chosen": chosen, "of": len(cells)}
