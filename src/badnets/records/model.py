"""The base of all records, and the parts that several of them share."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema

from badnets.records.verified import SEAL, doubts, sealed

JSON = dict[str, Any]
"""What somebody else decides: a spec as it was given, settings of a method."""


class Model(BaseModel):
    """A frozen value that refuses unknown names. Fields in ``omitted`` are left out of the JSON where they are None."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), populate_by_name=True)
    omitted: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_omitted(self, handler: SerializerFunctionWrapHandler) -> JSON:
        written: JSON = handler(self)
        omitted = self.left_out()
        return {name: value for name, value in written.items() if value is not None or name not in omitted}

    def left_out(self) -> frozenset[str]:
        """Which fields are left out where they are None."""
        return self.omitted

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JSON:
        """As it is written: every field but the ``omitted`` ones is there, computed ones too."""
        described = handler(schema)
        whole = handler.resolve_ref_schema(described)
        properties: JSON = whole.setdefault("properties", {})
        for name, field in cls.model_computed_fields.items():
            value = TypeAdapter(field.return_type).json_schema()
            properties[name] = {**value, "description": field.description, "readOnly": True}
        whole["required"] = [name for name in properties if name not in cls.omitted]
        return described

    def to_json(self) -> JSON:
        """As plain JSON."""
        return self.model_dump(mode="json", by_alias=True)


class Record(Model):
    """What is written to a file of its own, with its digest (``records/verified.py``) as the last field. ``verified``
    is False where it was made of files that are not those their record describes (``--unverified``)."""

    verified: Literal[False] | None = Field(default=None, description="false: made of files that failed their digest")

    @model_validator(mode="before")
    @classmethod
    def _without_digest(cls, value: Any) -> Any:
        """It belongs to what is written, not to what it says; ``check_seal`` has looked at it."""
        return {name: entry for name, entry in value.items() if name != SEAL} if isinstance(value, dict) else value

    def left_out(self) -> frozenset[str]:
        """The doubt, where there is none."""
        return super().left_out() | {"verified"}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JSON:
        """With the digest, which is no field."""
        described = super().__get_pydantic_json_schema__(schema, handler)
        whole = handler.resolve_ref_schema(described)
        whole["required"] = [*(name for name in whole["required"] if name != "verified"), SEAL]
        about = "SHA-256 of the rest: as JSON with sorted keys, without spaces, UTF-8; older records have none"
        whole["properties"][SEAL] = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": about}
        return described

    def to_json(self) -> JSON:
        """As plain JSON, with its digest."""
        written = super().to_json()
        if doubts():
            written["verified"] = False
        return sealed(written)


class Environment(Model):
    """Versions, machine and ``device`` (cpu, cuda or mps; ``card`` is its name): what determines the bits of a result.
    Studies, whose trials ran in processes of their own, have no threads and precision."""

    omitted: ClassVar[frozenset[str]] = frozenset({"threads", "precision", "device", "card"})
    versions: dict[str, str]
    platform: str
    processor: str
    threads: int | None = None
    precision: str | None = None
    device: str | None = None
    card: str | None = None


class Backdoor(Model):
    """What was planted, as a spec says it: the ``kind`` and settings of a trigger and of a label rule."""

    model_config = ConfigDict(extra="allow", frozen=True)
    trigger: JSON
    rule: JSON


class Epoch(Model):
    """One pass over the training pictures; detectors have no ``accuracy``."""

    omitted: ClassVar[frozenset[str]] = frozenset({"accuracy"})
    epoch: int
    loss: float
    accuracy: float | None = None
    seconds: float


class Training(Model):
    """The epochs of one network of one seed."""

    seed: int
    network: Literal["backdoored", "clean", "clean reference"]
    epochs: tuple[Epoch, ...]


class Planted(Model):
    """How many training rows (``unit``) a plan changed: ``rows`` of ``of``, ``share`` of the resulting rows."""

    rows: int
    cover_rows: int = 0
    of: int
    unit: Literal["pictures", "objects"] = "pictures"
    share: float
    mode: Literal["replace", "add"]
    sentence: str = Field(description="what became of what, in words")
