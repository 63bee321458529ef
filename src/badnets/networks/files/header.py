"""The readable header of a network file, read without torch and without touching the weights.

A network file is safetensors: 8 bytes with the length of the header, the header as JSON, then the numbers. The header
says where each tensor lies and, under ``__metadata__`` / ``badnets``, what the network is.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from badnets.core.errors import BadInput
from badnets.core.files import check_regular
from badnets.core.limits import CLASSES, DESCRIPTION, NAME, REPEATED, TENSORS, check_unpacked
from badnets.core.text import brief
from badnets.core.validation import explain

FORMAT = "badnets/network/1"
KEY = "badnets"
PICKLED = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64"), 64),
}
"""Of one number, by safetensors' names of dtypes: those that a network can have."""
ALL_BITS = {
    **_BITS,
    **dict.fromkeys(("F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"), 8),
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "C64": 64,
}
"""All that the format knows."""

_LONG = 10_000  # letters of a mean or size

Shape = tuple[int, ...]
Mean = Annotated[float, Field(ge=-1e9, le=1e9)]
Deviation = Annotated[float, Field(ge=1e-9, le=1e9)]
"""Mean and standard deviation: in single precision neither becomes infinite, nor the latter 0."""
Name = Annotated[str, Field(max_length=1000)]
Side = Annotated[int, Field(ge=1, le=1 << 14)]


class NetworkHeader(BaseModel):
    """What a network file says about its network. ``input_size`` is (channels, height, width), ``mean`` and ``std`` per
    channel on the 0..1 scale; ``provenance`` is how it was made, with ``"backdoor"`` when it carries one on purpose.
    ``shared`` names tensors that are another one of the same network; ``channels_last`` is how weights lay in memory,
    which decides the last bit of a result. ``narrowed`` gives how many channels are left of each convolution from which
    some were taken out; ``channel_order`` is how the network takes the channels of a picture."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    format: Literal["badnets/network/1"]
    architecture: Annotated[str, Field(min_length=1, max_length=200)]
    arguments: dict[str, JsonValue]
    class_names: Annotated[tuple[Name, ...], Field(min_length=1)]
    input_size: tuple[Annotated[int, Field(ge=1, le=64)], Side, Side]
    mean: tuple[Mean, ...]
    std: tuple[Deviation, ...]
    provenance: dict[str, JsonValue] = {}
    channels_last: bool = False
    shared: dict[str, str] = {}
    narrowed: dict[Name, Annotated[int, Field(ge=1, le=1 << 20)]] = {}
    channel_order: Literal["rgb", "bgr", "reshaped"] = "rgb"

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
    if path.suffix.lower() in PICKLED:
        raise BadInput(
            f"{path}: expected a .safetensors file, got {path.suffix}, which may run code when opened; weights "
            "alone can be opened with --arch NAME and --input-range RANGE (in Python: open_foreign)"
        )
    raw = read_safetensors_header(path)
    if not has_our_header(raw):
        raise BadInput(
            f"{path}: expected a network that badnets saved, got a safetensors file without its header; foreign files "
            "need --arch NAME and --input-range RANGE (in Python: open_foreign)"
        )
    header = _validated(path, raw.pop("__metadata__")[KEY])
    for name, other in header.shared.items():
        if name in raw or other not in raw:
            wanted = f"{brief(name)!r} to share tensor {brief(other)!r}"
            raise BadInput(f"{path}: expected {wanted}, got no such pair; the file is damaged")
    size = path.stat().st_size
    repeated = (raw[other]["data_offsets"] for other in header.shared.values())
    check_unpacked(size + sum(last - first for first, last in repeated), size, path, limit=REPEATED)
    return header, {name: (entry["dtype"], entry["shape"]) for name, entry in raw.items()}


def has_our_header(raw: Mapping[str, Any]) -> bool:
    """Whether the header of a safetensors file says what network it is."""
    metadata = raw.get("__metadata__")
    return isinstance(metadata, dict) and isinstance(metadata.get(KEY), str)


def _validated(path: Path, text: str) -> NetworkHeader:
    given = parse_json(path, text)
    # Before pydantic, which would describe every wrong one of them.
    for field, limit in (("class_names", CLASSES), ("shared", TENSORS), ("narrowed", TENSORS)):
        if isinstance(given.get(field), list | dict):
            limit.check(len(given[field]), path)
    long = next((field for field in ("mean", "std", "input_size") if len(str(given.get(field))) > _LONG), None)
    if long is not None:
        raise BadInput(f"{path}: wrong {long} in its {FORMAT} header: expected a few numbers, got many or long ones")
    try:
        return NetworkHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else KEY
        if first["type"] == "json_invalid":  # which json could read: brackets in brackets, half of a character
            problem = "expected fewer brackets in each other and whole characters"
        else:
            problem = explain(error, NetworkHeader.model_json_schema, given)
        raise BadInput(f"{path}: wrong {field} in its {FORMAT} header: {brief(problem, 200)}") from None


def parse_json(path: Path, text: str | bytes) -> dict[str, Any]:
    """An object in the header of ``path``: no name in it twice (readers would disagree), no NaN, no infinity."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except BadInput as error:
        raise BadInput(f"{path}: {error} in the header; the file is damaged") from None
    except (ValueError, RecursionError):  # no UTF-8, brackets or digits without end
        value = None
    if not isinstance(value, dict):
        raise BadInput(f"{path}: expected JSON in the header, got something else; the file is damaged")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise BadInput(f"expected each name once, got {brief(twice)!r} twice")
    return value


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise BadInput(f"expected finite numbers, got {brief(text, 20)}")
    return number


def read_safetensors_header(path: Path) -> dict[str, Any]:
    """The JSON of any safetensors file, in which every tensor lies in the file, in full, and has a dtype of networks.
    Raises ``BadInput`` for what is missing, no regular file, or wrong."""
    with opened(path, "the .safetensors file") as file:
        return safetensors_header(path, file.read, path.stat().st_size, bits=_BITS)


def safetensors_header(
    path: Path, read: Callable[[int], bytes], total: int, *, bits: Mapping[str, int] = ALL_BITS
) -> dict[str, Any]:
    """The same of ``total`` bytes that ``read`` gives, of dtypes of which one number has so many ``bits``: all that the
    format knows, or those that a network can have."""
    start = read(9)
    length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else 0
    if start[8:] != b"{" or not 2 <= length < 1 << 40:
        raise BadInput(f"{path}: expected a safetensors file, got something else{_guess(start, total)}")
    if total < 8 + length:
        raise BadInput(f"{path}: expected a header of {length:,} bytes, got {total - 8:,}; the file is truncated")
    DESCRIPTION.check(length, path)
    raw = parse_json(path, start[8:] + read(length - 1))
    _check_tensors(path, raw, total - 8 - length, bits)
    return raw


@contextmanager
def opened(path: Path, wanted: str) -> Iterator[BinaryIO]:
    """The file at ``path``; ``BadInput`` where there is none, or a folder, in which ``wanted`` should be named."""
    if path.is_dir():
        raise BadInput(f"expected a network file at {path}, got a folder; name {wanted} in it")
    check_regular(path, "a network file")
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise BadInput(f"expected a network file at {path}, got nothing; check the path") from None


def check_shapes(
    path: Path, given: Mapping[str, Shape], needed: Mapping[str, Shape], what: str, *, advice: str = ""
) -> None:
    """Refuse tensors that are not the ones that ``what`` has, by the name of the first."""
    what = brief(what)
    for name, shape in needed.items():
        if given.get(name) != shape:
            other = brief(str(list(given.get(name, ()))))
            got = f"{other}; the weights are of another network{advice}" if name in given else "none"
            raise BadInput(f"{path}: expected tensor {brief(name)!r} of {list(shape)} for {what}, got {got}")
    extra = next((name for name in given if name not in needed), None)
    if extra is not None:
        got = brief(str(list(given[extra])))
        raise BadInput(f"{path}: expected no tensor {brief(extra)!r} for {what}, got one of {got}")


def _guess(start: bytes, total: int) -> str:
    """What the first bytes look like."""
    if not total:
        return " (it is empty)"
    if start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return " (it looks pickled, and such files may run code when opened)"
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return " (it is HDF5; Keras weights need --arch NAME and --input-range RANGE, in Python: open_foreign)"
    return ""


def _check_tensors(path: Path, raw: dict[str, Any], space: int, bits: Mapping[str, int]) -> None:
    """Every entry is well formed, and the numbers of one begin where those of another end, to the end of the file."""
    TENSORS.check(len(raw), path)
    places: list[tuple[int, int]] = []
    for name, entry in raw.items():
        if name == "__metadata__":
            continue
        NAME.check(len(name), path)
        match entry:
            case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(first), int(last)]} if (
                0 <= first <= last <= space
                and len(shape) <= 8
                and all(type(side) is int and side >= 0 for side in shape)
            ):
                if kind not in bits:
                    got = f"got {brief(kind)!r}; save it as F32"
                    raise BadInput(f"{path}: expected tensor {brief(name)!r} as plain numbers, {got}")
                # math.prod of hostile sizes is a big integer, never an allocation.
                if 8 * (last - first) != math.prod(shape) * bits[kind]:
                    got = f"{last - first:,} bytes for shape {brief(str(shape))}"
                    raise BadInput(f"{path}: expected tensor {brief(name)!r} in full, got {got}; the file is damaged")
                places.append((first, last))
            case _:
                place = f"dtype, shape and place of tensor {brief(name)!r} inside the file"
                raise BadInput(f"{path}: expected {place}; the file is truncated or damaged")
    end = 0
    for first, last in sorted(places):
        if first != end:
            raise BadInput(f"{path}: expected tensors one after the other, got a gap or two in one place; get it again")
        end = last
    if end != space:
        raise BadInput(f"{path}: expected {end:,} bytes of weights, got {space:,}; the file is damaged")
