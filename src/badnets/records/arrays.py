"""The arrays beside a record (``plan.npz``, ``answers.npz``, ``pictures.npz``), whoever wrote them."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from badnets.core.errors import BadInput, first_line
from badnets.core.files import check_regular
from badnets.core.limits import MEMBER, check_unpacked
from badnets.core.text import VALUE, brief

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_arrays(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` that holds ``what`` ("a plan"): no objects, and none larger than its file, which is
    told before memory is taken. Raises BadInput for whatever else is there."""
    check_regular(path, what)
    try:
        with path.open("rb") as content, zipfile.ZipFile(content) as archive:
            members = archive.infolist()
            for member in members:
                MEMBER.check(member.file_size, path)
            check_unpacked(sum(member.file_size for member in members), path.stat().st_size, path)
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _array(file, member.file_size)
            return arrays
    except FileNotFoundError:
        raise BadInput(f"expected {what} at {path}, got nothing; check the path") from None
    except BadInput:
        raise
    # numpy, zipfile and zlib each have their own ways of saying that a file is damaged.
    except Exception as error:  # noqa: BLE001
        got = brief(first_line(error), VALUE)
        raise BadInput(f"expected {what} in {path}, got something else ({got}); it may be damaged") from None


def _array(file: IO[bytes], size: int) -> NDArray[Any]:
    """One array of a file of ``size`` bytes, read twice at its begin: the header says what would be allocated."""
    shape, _, dtype = _HEADERS[npy.read_magic(file)](file)
    claimed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or not 0 <= claimed <= size:
        raise ValueError(f"an array of {shape} {dtype} in {size:,} bytes")
    file.seek(0)
    array: NDArray[Any] = np.asarray(npy.read_array(file, allow_pickle=False))
    return array
