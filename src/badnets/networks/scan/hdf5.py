"""HDF5 files: what in them leads out, which filters need a plug-in, and what Keras describes in their attributes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from badnets.core.errors import first_line
from badnets.core.limits import DESCRIPTION
from badnets.core.text import brief
from badnets.data.formats.hdf5_file import DAMAGE, everything, not_plain
from badnets.networks.scan.look import Look, Part

_DESCRIPTIONS = ("model_config", "training_config")


def read_hdf5(part: Part, look: Look) -> Iterator[Part]:
    """Every link, dataset and attribute. Raises ``ValueError`` for a damaged file, ``BadInput`` for too much of it."""
    import h5py

    whole = not part.depth
    given: Any = look.path if whole else io.BytesIO(part.read())
    if not whole:
        look.unpack(part.size)
    try:
        with h5py.File(given, "r") as file:
            for name, item in everything(file, Path(look.file), _teller(part, look)):
                if isinstance(item, h5py.Dataset):
                    for rule, words in not_plain(item):
                        look.tell(part, rule, f"{brief(repr(name), 60)} {words}")
            yield from _descriptions(file, part, look)
    except DAMAGE as error:
        raise ValueError(first_line(error)) from None


def _teller(part: Part, look: Look) -> Any:
    def tell(name: str, link: Any) -> None:
        target = getattr(link, "filename", None)
        if target is not None:  # a soft link stays in the file
            look.tell(part, "outside", f"a link at {brief(repr(name), 40)} to {brief(repr(target), 60)}")

    return tell


def _descriptions(file: Any, part: Part, look: Look) -> Iterator[Part]:
    """What Keras says of a whole model, as JSON; other texts may be pickles."""
    for name in file.attrs:
        known = file.attrs.get_id(name)
        DESCRIPTION.check(known.get_storage_size(), look.file)
        value = file.attrs[name]
        text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        text = text.tobytes() if isinstance(text, np.void) else text  # any bytes
        if isinstance(text, bytes):
            ending = ".json" if name in _DESCRIPTIONS else ""
            yield part.inner(f"{name}{ending}", text, 0, len(text))
