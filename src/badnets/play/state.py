"""What the page may ask, as types: nothing else gets past them, and nothing in them names a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from badnets.core.errors import BadInput
from badnets.core.validation import explain

LONGEST = 16 << 20
"""Characters of a picture in base64, at most."""

RUN, FOUND, UPLOADED = "run", "found", "uploaded"
"""Stickers that are no kind of trigger: the run's own, the one that an audit found, and one that was brought here."""

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=1 << 31)]
Setting = bool | int | float | Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
"""A number, a yes or no, or a color: texts that could be paths are none of these."""
M = TypeVar("M", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PictureRef(_Strict):
    """One picture: a test picture by its row, one that was brought by its key, or its content (``data``, base64)."""

    row: Count | None = None
    key: Key | None = None
    data: Annotated[str, Field(max_length=LONGEST)] | None = None

    @model_validator(mode="after")
    def _one(self) -> PictureRef:
        if sum(value is not None for value in (self.row, self.key, self.data)) != 1:
            raise ValueError("expected one of row, key and data")
        return self


class Sticker(_Strict):
    """A trigger as it lies there. ``name``: a kind of trigger, ``run``, ``found`` or ``uploaded`` (then by its
    ``key``). ``at``: its center as shares of width and height; None where the trigger says itself. ``scale``: how many
    times its own size. ``turn``: degrees, clockwise."""

    name: Annotated[str, Field(max_length=80)]
    settings: Mapping[Annotated[str, Field(max_length=40)], Setting] = Field(default={}, max_length=20)
    key: Key | None = None
    at: tuple[Share, Share] | None = None
    scale: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    turn: Annotated[float, Field(ge=-360, le=360)] = 0.0

    @property
    def moved(self) -> bool:
        """Whether a person has changed where it lies, or how."""
        return self.at is not None or not math.isclose(self.scale, 1) or self.turn % 360 != 0


class Ask(_Strict):
    """What do the networks say to ``picture`` with ``sticker``? ``number`` grows with every question of a ``page``, and
    older ones are dropped. ``target``: the class that the attacker wants; None: as the run's rule says. ``cells``: of a
    map of places, along each side; None: the usual number."""

    page: Annotated[str, Field(max_length=40)] = ""
    number: Count = 0
    picture: PictureRef | None = None
    sticker: Sticker | None = None
    target: Count | None = None
    cells: Annotated[int, Field(ge=2, le=16)] | None = None


class Look(_Strict):
    """Some test pictures, of one class or of any, ``turn`` sets further."""

    label: Count | None = None
    turn: Count = 0


class Bring(_Strict):
    """A file in base64: a picture to look at, or one with alpha as a sticker."""

    what: Literal["picture", "sticker"]
    data: Annotated[str, Field(max_length=LONGEST)]


class Nothing(_Strict):
    """A question without details."""


def parsed(kind: type[M], body: bytes) -> M:
    """A question from JSON; BadInput in a sentence for anything else."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadInput(f"the page's question: {explain(error, kind.model_json_schema, {})}") from None


def chosen(values: Sequence[int], turn: int, many: int) -> list[int]:
    """``many`` of ``values``, the ``turn``-th set of them; after the last comes the first."""
    sets = max(1, math.ceil(len(values) / many))
    first = turn % sets * many
    return list(values[first : first + many])
