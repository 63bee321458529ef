"""What there is of one family (triggers, say), by name: ours, found in its folder, and that of other packages.

Whatever is registered is known at once to the command line, to specs and their JSON schema, to ``badnets list``, to the
docs and to the contract tests. Ours are imported when a name is first looked for, other packages' when theirs is.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from badnets.core.errors import BadInput, nearest
from badnets.core.text import VALUE, neutral
from badnets.core.validation import explain

JSON = dict[str, Any]
OURS = "badnets"
T = TypeVar("T")
V = TypeVar("V")
M = TypeVar("M")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry(Generic[T]):
    """One name: its value, the package that it comes from, and, where it cannot be used, a sentence that says why."""

    name: str
    value: T | None = None
    package: str = OURS
    problem: str | None = None

    @property
    def summary(self) -> str:
        """What it is, in a line: its ``summary``, or the first paragraph of a class's docstring."""
        text = (self.value.__doc__ if isinstance(self.value, type) else getattr(self.value, "summary", "")) or ""
        return self.problem or " ".join(text.strip().split("\n\n")[0].split()).replace("``", "")


class Registry(Mapping[str, T]):
    """Values of the type ``of`` by their ``name``.

    ``family`` is what one is called in errors. ``homes`` are packages all of whose modules, or modules which, register
    ours by ``add``; or, of modules, the value called ``offered`` is one. ``group`` is where other packages declare
    theirs: entry points with the same name as the value. As a mapping it holds what can be used, sorted by name;
    ``entries`` has the others too.
    """

    _key = "name"

    def __init__(
        self, family: str, of: type[Any] = object, *, homes: Sequence[str], group: str, offered: str | None = None
    ) -> None:
        self.family, self.group, self._of, self._homes, self._offered = family, group, of, homes, offered
        self._added: dict[str, T] = {}
        self._complete = False

    def add(self, value: V) -> V:
        """Register ``value`` (a decorator of a class, or a line below a value); a name that is taken is refused."""
        problem, name = self._misfit(value), getattr(value, self._key, "")
        if not problem and self._added.get(name, value) is not value:
            problem = f"expected a new name, {name!r} is taken; rename it"
        if problem:
            raise BadInput(f"{self.family}: {problem}")
        self._added[name] = value  # type: ignore[assignment]  # _misfit has seen to it
        return value

    @property
    def own(self) -> Mapping[str, T]:
        """Ours, sorted by name: what other packages bring is left out."""
        if not self._complete:
            for home in self._homes:
                module = import_module(home)
                if self._offered is not None:
                    self.add(getattr(module, self._offered))
                for part in pkgutil.iter_modules(getattr(module, "__path__", ())):
                    import_module(f"{home}.{part.name}")
            self._complete = True
        return dict(sorted(self._added.items()))

    def entries(self) -> list[Entry[T]]:
        """Ours, then other packages', those that cannot be used included."""
        listed = [Entry(name=name, value=value, package=_home(value)) for name, value in self.own.items()]
        by_name = {entry.name: entry for entry in listed}
        for point in sorted(entry_points(group=self.group), key=lambda point: (point.name, point.value)):
            entry, taken = self._loaded(point), by_name.get(point.name)
            if taken is None:
                by_name[point.name] = entry
            elif entry.value is taken.value is not None:
                continue  # it has registered itself too
            else:
                entry = _unusable(point, f": expected a new name, that one is taken by {taken.package}; rename it")
            listed.append(entry)
        return listed

    def declares(self, name: str) -> bool:
        """Whether something has this name, be it a plug-in that cannot be used."""
        return self._entry(name) is not None

    def find(self, name: str) -> T:
        """What has this name. Raises BadInput with the nearest known name, or with why a plug-in cannot be used."""
        entry = self._entry(name)
        if entry is None:
            article = "an" if self.family[0] in "aeiou" else "a"
            raise BadInput(f"expected {article} {self.family}, got {name!r}; {nearest(name, self)}")
        if entry.value is None:
            raise BadInput(f"{self.family} {name}: {entry.problem}")
        return entry.value

    def _entry(self, name: str) -> Entry[T] | None:
        value = self._added.get(name)
        value = self.own.get(name) if value is None else value
        if value is not None:
            return Entry(name=name, value=value)
        points = sorted(entry_points(group=self.group, name=name), key=lambda point: point.value)
        return self._loaded(points[0]) if points else None

    def _loaded(self, point: EntryPoint) -> Entry[T]:
        try:
            value = point.load()
        except Exception as error:  # noqa: BLE001  # somebody else's code may raise anything
            reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            return _unusable(point, f" cannot be imported ({reason}); mend or remove that package")
        problem = self._misfit(value)
        if not problem and (name := getattr(value, self._key)) != point.name:
            problem = f"expected the entry point to be named {name!r}, like what it offers; rename it"
        if problem:
            return _unusable(point, f": {problem}")
        return Entry(name=point.name, value=value, package=_package(point))

    def _misfit(self, value: Any) -> str | None:
        """Why ``value`` cannot be one of this family."""
        return None if isinstance(value, self._of) else f"expected {self._of.__name__}, got {type(value).__name__}"

    def __getitem__(self, name: str) -> T:
        entry = self._entry(name)
        if entry is None or entry.value is None:
            raise KeyError(name)
        return entry.value

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({entry.name for entry in self.entries() if entry.value is not None}))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value.partition(":")[0].partition(".")[0]


def _unusable(point: EntryPoint, problem: str) -> Entry[Any]:
    package = _package(point)
    where = f"entry point {point.name!r} ({point.value}) of {package}"
    return Entry(name=point.name, package=package, problem=where + problem)


def _home(value: Any) -> str:
    """The package of a class that has registered itself."""
    return value.__module__.partition(".")[0] if isinstance(value, type) else OURS


def _has_kind(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and isinstance(getattr(value, "kind", None), str)


class Kinds(Registry[type[M]]):
    """Classes of values with settings: frozen keyword-only dataclasses whose field ``kind`` has the name as default.

    In an annotation, ``Annotated[Trigger, TRIGGERS]``, pydantic reads a table ``{"kind": ..., settings}``, or a word,
    as the value of that kind; the JSON schema lists every kind.
    """

    _key = "kind"

    def make(self, kind: str, settings: Mapping[str, Any] | None = None) -> M:
        """The value of ``kind`` with ``settings``; BadInput for an unknown name (with the nearest) or a wrong value."""
        family = self.find(kind)
        table = {"kind": kind, **(settings or {})}
        try:
            return TypeAdapter(family).validate_python(table)
        except ValidationError as error:
            problem = explain(error, TypeAdapter(family).json_schema, table)
            raise BadInput(f"{self.family} {kind}: {problem}") from None

    def from_json(self, value: Mapping[str, Any] | str) -> M:
        """Back from ``to_json``; a word is the value of that kind with its defaults. Errors as those of ``make``."""
        table = {"kind": value} if isinstance(value, str) else dict(value)
        if not isinstance(table.get("kind"), str):
            raise BadInput(f"expected a kind of {self.family}, got {table.get('kind')!r}; {nearest('', self)}")
        return self.make(table["kind"], table)

    def to_json(self, value: M) -> JSON:
        """``{"kind": ...}`` and all settings, as plain JSON."""
        written: JSON = TypeAdapter(type(value)).dump_python(value, mode="json")
        return written

    def class_named(self, name: str, module: str) -> type[M]:
        """The class with this name, for the ``__getattr__`` of ``module``."""
        for family in self.values():
            if family.__name__ == name and not name.startswith("_"):
                return family
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    def _misfit(self, value: Any) -> str | None:
        fits = isinstance(value, type) and _has_kind(value)
        return None if fits else f"expected a dataclass with a kind, got {getattr(value, '__name__', value)!r}"

    def _validated(self, value: Any) -> Any:
        if _has_kind(value) and not isinstance(value, type):
            return value
        table = {"kind": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            raise PydanticKnownError("dict_type")
        if "kind" not in table:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
        kind = str(table["kind"])
        if self._entry(kind) is None:
            context = {
                "discriminator": "'kind'",
                "tag": neutral(kind, VALUE),
                "expected_tags": ", ".join(map(repr, self)),
            }
            raise PydanticKnownError("union_tag_invalid", context)
        try:
            family = self.find(kind)
        except BadInput as error:
            raise ValueError(str(error)) from None
        return TypeAdapter(family).validate_python(dict(table))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read and write by kind, at the moment of use: what is registered later counts too."""
        written = core_schema.plain_serializer_function_ser_schema(
            lambda value, info: TypeAdapter(type(value)).dump_python(value, mode=info.mode), info_arg=True
        )
        return core_schema.no_info_plain_validator_function(self._validated, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JSON:
        """One of the kinds, told apart by ``kind``."""
        choices: dict[Any, CoreSchema] = {kind: TypeAdapter(family).core_schema for kind, family in self.items()}
        return handler(core_schema.tagged_union_schema(choices, discriminator="kind"))
