"""The readable header of a network file, read without torch and without touching the weights.

A network file is safetensors: 8 bytes with the length of the header, the header as JSON, then the numbers. The header
says where each tensor lies and, under ``__metadata__`` / ``badnets``, what the network is.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from badnets.core.errors import BadInput

FORMAT = "badnets/network/1"
KEY = "badnets"
PICKLED = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
_LONGEST = 16 << 20  # bytes of JSON; our largest headers have some 100 kB

Shape = tuple[int, ...]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=1000)]
Side = Annotated[int, Field(ge=1, le=1 << 14)]


class NetworkHeader(BaseModel):
    """What a network file says about its network. ``input_size`` is (channels, height, width), ``mean`` and ``std`` per
    channel on the 0..1 scale; ``provenance`` is how it was made, with ``"backdoor"`` when it carries one on purpose.
    ``shared`` names tensors that are another one of the same network; ``channels_last`` is how weights lay in memory,
    which decides the last bit of a result. ``narrowed`` gives how many channels are left of each convolution from which
    some were taken out."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    format: Literal["badnets/network/1"]
    architecture: Annotated[str, Field(min_length=1, max_length=200)]
    arguments: dict[str, JsonValue]
    class_names: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100_000)]
    input_size: tuple[Annotated[int, Field(ge=1, le=64)], Side, Side]
    mean: tuple[Finite, ...]
    std: tuple[Annotated[Finite, Field(gt=0)], ...]
    provenance: dict[str, JsonValue] = {}
    channels_last: bool = False
    shared: dict[str, str] = {}
    narrowed: dict[Name, Annotated[int, Field(ge=1, le=1 << 20)]] = {}

    @model_validator(mode="after")
    def _one_per_channel(self) -> NetworkHeader:
        if len(self.mean) != self.input_size[0] or len(self.std) != self.input_size[0]:
            raise ValueError(f"mean and std need {self.input_size[0]} numbers, one for each channel")
        return self


def read_header(path: Path | str) -> dict[str, Any]:
    """What a network file says, as JSON: the fields of ``NetworkHeader`` and ``tensors``, ``{name: [dtype, shape]}``.
    Raises ``BadInput`` for a missing, pickled, foreign, truncated or damaged file. Nothing is executed."""
    path = Path(path)
    header, tensors = parse(path)
    return {**header.model_dump(mode="json"), "tensors": {name: list(entry) for name, entry in tensors.items()}}


def parse(path: Path) -> tuple[NetworkHeader, dict[str, tuple[str, list[int]]]]:
    """The validated header and each tensor's (dtype, shape)."""
    raw = _read(path)
    metadata = raw.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise BadInput(
            f"{path}: expected a network that badnets saved, got a safetensors file without its header; foreign files "
            "need --arch NAME and --input-range RANGE (in Python: open_foreign)"
        )
    try:
        header = NetworkHeader.model_validate_json(metadata[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or KEY
        raise BadInput(f"{path}: expected a {FORMAT} header, got a wrong {field} ({first['msg']})") from None
    for name, other in header.shared.items():
        if name in raw or other not in raw:
            wanted = f"{name!r} to share tensor {other!r}"
            raise BadInput(f"{path}: expected {wanted}, got no such pair; the file is damaged")
    return header, {name: (entry["dtype"], entry["shape"]) for name, entry in raw.items()}


def _read(path: Path) -> dict[str, Any]:
    """The JSON of a safetensors file, with every tensor inside the file."""
    if path.suffix.lower() in PICKLED:
        raise BadInput(
            f"{path}: expected a .safetensors file, got {path.suffix}, which may run code when opened; weights "
            "alone can be opened with --arch NAME and --input-range RANGE (in Python: open_foreign)"
        )
    with opened(path, "the .safetensors file") as file:
        total = path.stat().st_size
        start = file.read(9)
        length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else 0
        if start[8:] != b"{" or not 2 <= length <= _LONGEST:
            raise BadInput(f"{path}: expected a safetensors file, got something else{_guess(start, total)}")
        text = start[8:] + file.read(length - 1)
    if len(text) < length:
        raise BadInput(f"{path}: expected a header of {length:,} bytes, got {len(text):,}; the file is truncated")
    try:
        raw: dict[str, Any] = json.loads(text)  # an object, as it begins with a brace
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: expected JSON in the header, got something else; the file is damaged") from None
    _check_tensors(path, raw, total - 8 - length)
    return raw


@contextmanager
def opened(path: Path, wanted: str) -> Iterator[BinaryIO]:
    """The file at ``path``; ``BadInput`` where there is none, or a folder, in which ``wanted`` should be named."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise BadInput(f"expected a network file at {path}, got nothing; check the path") from None
    except IsADirectoryError:
        raise BadInput(f"expected a network file at {path}, got a folder; name {wanted} in it") from None


def check_shapes(
    path: Path, given: Mapping[str, Shape], needed: Mapping[str, Shape], what: str, *, advice: str = ""
) -> None:
    """Refuse tensors that are not the ones that ``what`` has, by the name of the first."""
    for name, shape in needed.items():
        if given.get(name) != shape:
            got = f"{list(given[name])}; the weights are of another network{advice}" if name in given else "none"
            raise BadInput(f"{path}: expected tensor {name!r} of {list(shape)} for {what}, got {got}")
    extra = next((name for name in given if name not in needed), None)
    if extra is not None:
        raise BadInput(f"{path}: expected no tensor {extra!r} for {what}, got one of {list(given[extra])}")


def _guess(start: bytes, total: int) -> str:
    """What the first bytes look like."""
    if not total:
        return " (it is empty)"
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return " (it looks pickled, and such files may run code when opened)"
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return " (it is HDF5; Keras weights need --arch NAME and --input-range RANGE, in Python: open_foreign)"
    return ""


def _check_tensors(path: Path, raw: dict[str, Any], space: int) -> None:
    """Every entry is well formed, and the numbers end where the file ends."""
    end = 0
    for name, entry in raw.items():
        if name == "__metadata__":
            continue
        match entry:
            case {"dtype": str(), "shape": [*shape], "data_offsets": [int(first), int(last)]} if (
                0 <= first <= last and all(type(side) is int and side >= 0 for side in shape)
            ):
                # math.prod of hostile sizes is a big integer, never an allocation.
                if (last > first) != (math.prod(shape) > 0):
                    got = f"{last - first} bytes for shape {shape}"
                    raise BadInput(f"{path}: expected tensor {name!r} in full, got {got}; the file is damaged")
                end = max(end, last)
            case _:
                raise BadInput(f"{path}: expected dtype, shape and place of tensor {name!r}; the file is damaged")
    if end != space:
        what = "truncated" if end > space else "damaged"
        raise BadInput(f"{path}: expected {end:,} bytes of weights, got {space:,}; the file is {what}")
