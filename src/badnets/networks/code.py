"""Architectures in the user's own code: ``path/to/file.py:Class``, run only because the user names it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from badnets.core.errors import BadInput, first_line
from badnets.core.files import expanded, read_bytes
from badnets.core.limits import TABLE
from badnets.core.text import brief
from badnets.networks.architecture import CODE, Architecture, InputSize
from badnets.networks.operators import import_torchvision

CLASSES = ("num_classes", "classes", "n_classes", "nclasses", "num_class", "n_class")
"""Names of the parameter that says how many classes there are, the likeliest first."""
_NAME = re.compile(r"(?P<file>.+?\.py):(?P<name>[^:=,\s]*)(?::(?P<rest>.*))?", re.DOTALL)
_NAMED: dict[str, Architecture] = {}
"""What was named since the program started, by the architecture's name: a file of such a network may be opened."""


class CodeWarning(UserWarning):
    """A network was opened with other code than it was made with."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """``file.py:Class`` and what stands behind a second colon."""

    file: Path
    name: str
    rest: str = ""

    @property
    def text(self) -> str:
        """As it is typed, without the rest."""
        return f"{self.file}:{self.name}"


def code_named(text: str) -> Named | None:
    """The file and the class of ``path/to/file.py:Class``, or None of any other text."""
    found = _NAME.fullmatch(text)
    return None if found is None else Named(file=Path(found["file"]), name=found["name"], rest=found["rest"] or "")


def code_architecture(text: str) -> Architecture:
    """The architecture that ``path/to/file.py:Class`` makes: a subclass of ``nn.Module``, or a function that returns a
    module. The file is run now, under a private name, with its own folder on ``sys.path``; what it prints goes to
    stderr. In network files it is ``file:Class``; their provenance has the file's name and its SHA-256.

    Raises ``BadInput``, in one sentence, for a missing file, code that raises, and a class that is not in it. Code that
    never ends is not stopped: Ctrl-C does that.
    """
    named = code_named(text)
    if named is None:
        raise BadInput(f"expected an architecture as path/to/file.py:Class, got {brief(text)!r}")
    path = expanded(named.file).absolute()
    try:
        source = read_bytes(path, TABLE, "a file of Python code")
    except OSError as error:
        why = "nothing" if isinstance(error, FileNotFoundError) else error.strerror
        raise BadInput(f"expected Python code at {brief(named.file, 160)}, got {why}; check the path") from None
    digest = hashlib.sha256(source).hexdigest()
    module = _module(path, source, digest)
    made = Architecture(
        name=CODE + named.name,
        summary=f"{named.name} of {path.name}, code of your own",
        build=_builder(path, _found(path, module, named.name), named.name),
        origin={"file": path.name, "sha256": digest, "name": named.name},
    )
    _NAMED[made.name] = made
    return made


def known_code(name: str, origin: object = None) -> Architecture:
    """What ``file:Class`` was named as before in this program, for a network file whose provenance says ``origin``.
    Raises ``BadInput`` where it was not: files do not carry code. Warns where the code is another one now."""
    made = _NAMED.get(name)
    recorded = origin if isinstance(origin, Mapping) else {}
    file = brief(recorded.get("file", "FILE.py"), 60)
    if made is None:
        kind = brief(name.removeprefix(CODE), 60)
        raise BadInput(
            f"expected the code that built it, {kind} in {file}, got none, for network files carry no code; name it "
            f"again (--arch path/to/{file}:{kind}, in Python module=)"
        )
    now = made.origin or {}
    if recorded and recorded.get("sha256") != now.get("sha256"):
        warnings.warn(
            f"{now.get('file')}: the network was made with another version of this code ({file}, SHA-256 "
            f"{brief(recorded.get('sha256'), 16)}); its weights fit, but check the accuracy",
            CodeWarning,
            stacklevel=3,
        )
    return made


def _module(path: Path, source: bytes, digest: str) -> ModuleType:
    """The file as a module, run once for each content and place."""
    place = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:8]
    name = f"_badnets_code_{place}_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    import_torchvision()  # before the code does it: its operators may need help
    sys.modules[name] = module  # dataclasses look there for the module of a class
    try:
        with _alone(path, "while it was imported"):
            exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 (the user has named it to be run)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _alone(path: Path, when: str) -> Iterator[None]:
    """Inside, the user's code runs: modules beside it are found, stdout is stderr, and what it raises becomes one
    sentence. Afterwards those modules are forgotten, so that other code may have some of the same names."""
    folder, before = str(path.parent), set(sys.modules)
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except BadInput:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 (anybody's code may raise anything)
        kind = type(error).__name__
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = brief(first_line(error), 160)
        raise BadInput(
            f"{brief(path.name, 60)}: expected code that runs, got {kind}{line} {when}"
            f"{'' if said == kind else f' ({said})'}; mend it"
        ) from None
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(path.parent) and not name.startswith("_badnets_code_"):
                del sys.modules[name]


def _found(path: Path, module: ModuleType, name: str) -> Callable[..., Any]:
    """The class or function with this name; else ``BadInput`` lists the file's classes of modules, nearest first."""
    value = getattr(module, name, None) if name else None
    if callable(value) and not isinstance(value, nn.Module):
        return value  # type: ignore[no-any-return]
    own = [
        one
        for one, thing in vars(module).items()
        if inspect.isclass(thing) and issubclass(thing, nn.Module) and thing.__module__ == module.__name__
    ]
    listed = ", ".join(sorted(own, key=lambda one: (_distance(name, one), one))[:8]) or "none"
    got = repr(brief(name, 60)) if value is None else f"{name!r}, which is {_article(type(value).__name__)}"
    where = brief(path.name, 60)
    raise BadInput(f"expected a class of {where} that makes a network, got {got}; its modules: {brief(listed, 160)}")


def _distance(name: str, other: str) -> float:
    from difflib import SequenceMatcher

    return -SequenceMatcher(None, name.lower(), other.lower()).ratio()


def _article(word: str) -> str:
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


def _builder(path: Path, make: Callable[..., Any], name: str) -> Callable[..., nn.Module]:
    def build(classes: int, _: InputSize, **arguments: Any) -> nn.Module:
        """What the class or function gives for ``arguments``; how many classes there are is filled in where it has a
        parameter for that (``CLASSES``) which nobody has given."""
        given = _with_classes(make, arguments, classes)
        _check_arguments(f"{path.name}:{name}", make, given)
        with _alone(path, f"while {name} was built"):
            body = make(**given)
        if not isinstance(body, nn.Module):
            got = _article(type(body).__name__)
            raise BadInput(
                f"{brief(path.name, 60)}: expected {name} to make an nn.Module, got {got}; return the network"
            )
        return quiet(body)

    return build


def _parameters(make: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(make).parameters
    except (TypeError, ValueError):
        return None


def _with_classes(make: Callable[..., Any], arguments: Mapping[str, Any], classes: int) -> dict[str, Any]:
    known = _parameters(make) or {}
    if any(name in arguments for name in CLASSES):
        return dict(arguments)
    wanted = next((name for name in CLASSES if name in known), None)
    return dict(arguments) if wanted is None else {**arguments, wanted: classes}


def _check_arguments(where: str, make: Callable[..., Any], given: Mapping[str, Any]) -> None:
    known = _parameters(make)
    if known is None:
        return
    kinds = inspect.Parameter
    named = {name: one for name, one in known.items() if one.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
    lacking = [name for name, one in named.items() if one.default is kinds.empty and name not in given]
    lacking += [name for name, one in known.items() if one.kind is kinds.POSITIONAL_ONLY and one.default is kinds.empty]
    if lacking:
        listed, example = brief(", ".join(lacking), 120), brief(lacking[0], 40)
        raise BadInput(f"{brief(where)}: expected its arguments, got none for {listed}; say --arch-set {example}=VALUE")
    anything = any(one.kind is kinds.VAR_KEYWORD for one in known.values())
    unknown = next((name for name in given if name not in named), None)
    if unknown is not None and not anything:
        has = brief(", ".join(named) or "none", 120)
        raise BadInput(f"{brief(where)}: expected arguments that it has ({has}), got {brief(unknown, 40)!r}; rename it")


def quiet(body: nn.Module) -> nn.Module:
    """``body``, whose pass may print: on stderr, for stdout is the result's."""
    kind = type(body)
    if isinstance(body, torch.jit.ScriptModule):  # whose class is not to be changed
        return body

    @functools.wraps(kind.forward)  # torch.fx reads its signature
    def forward(self: nn.Module, *given: Any, **named: Any) -> Any:
        with contextlib.redirect_stdout(sys.stderr):
            return kind.forward(self, *given, **named)

    body.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return body
