"""One picture from a file, as an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from badnets.core.errors import BadInput
from badnets.data.images import Pixels


def read_picture(path: Path, *, size: tuple[int, int] | None = None, channels: int | None = None) -> Pixels:
    """uint8 (h, w, c): resized to (height, width) if ``size``, converted to 1 or 3 ``channels`` if given (else grey
    pictures keep one channel)."""
    try:
        with Image.open(path) as file:
            picture: Any = ImageOps.exif_transpose(file)
            grey = channels == 1 or (channels is None and picture.mode in ("L", "1"))
            picture = picture.convert("L" if grey else "RGB")
    except FileNotFoundError:
        raise BadInput(f"expected a picture at {path}, got nothing; check the path") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"expected a picture in {path}, got something else ({error})") from None
    if size is not None and picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(picture)
    return array[..., None] if array.ndim == 2 else array
