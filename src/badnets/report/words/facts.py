"""Reading a record that may lack anything, and the plain words for what it says.

Every function copes with a missing or null entry: a run without a trigger has no attack success, an interrupted one
has hardly any results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from badnets.core.text import percent

Record = Mapping[str, Any]

_TRIGGER_WORDS = {
    "pixel": "single pixel",
    "pattern": "four-pixel pattern",
    "square": "square",
    "checkerboard": "checkerboard patch",
    "blend": "blended noise",
    "sinusoid": "sinusoidal stripes",
    "warp": "warping",
}
_COLORS = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (220, 30, 30),
    "orange": (255, 150, 0),
    "yellow": (250, 220, 60),
    "green": (30, 150, 60),
    "blue": (30, 80, 200),
    "pink": (255, 120, 190),
}


def at(record: Any, *path: str) -> Any:
    """The value at ``path``, None where anything on the way is missing or null."""
    for name in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record


def mapping(record: Any, *path: str) -> Mapping[str, Any]:
    """The mapping at ``path``, empty where there is none."""
    value = at(record, *path)
    return value if isinstance(value, Mapping) else {}


def listing(record: Any, *path: str) -> list[Any]:
    """The list at ``path``, empty where there is none."""
    value = at(record, *path)
    return list(value) if isinstance(value, list | tuple) else []


def rate(record: Any, *path: str) -> Mapping[str, Any] | None:
    """The rate at ``path`` when it has a value (its total is above 0), else None."""
    value = at(record, *path)
    return value if isinstance(value, Mapping) and value.get("value") is not None else None


def result(record: Record, name: str) -> Mapping[str, Any] | None:
    """The rate or difference ``results[name]`` when it has a value."""
    return rate(record, "results", name)


def backdoors(record: Record) -> list[Mapping[str, Any]]:
    """What was planted, ``resolved.backdoor`` and ``resolved.more_backdoors``; the first is the one that is judged."""
    found = [at(record, "resolved", "backdoor"), *listing(record, "resolved", "more_backdoors")]
    return [b for b in (*found, *listing(record, "resolved", "backdoors")) if isinstance(b, Mapping)]


def rule(record: Record) -> Mapping[str, Any]:
    """The label rule of the first backdoor, empty without one."""
    found = backdoors(record)
    return mapping(found[0], "rule") if found else {}


def source_name(record: Record) -> str:
    """The name of the data source, ``""`` when it is unknown."""
    data = at(record, "resolved", "data")
    if isinstance(data, Mapping):
        data = next((data[k] for k in ("source", "name", "kind", "path") if data.get(k)), "")
    return str(data or "")


def network_name(record: Record) -> str:
    """The name of the architecture, ``""`` when it is unknown."""
    network = at(record, "resolved", "network")
    if isinstance(network, Mapping):
        network = next((network[k] for k in ("architecture", "name", "kind") if network.get(k)), "")
    return str(network or "")


def is_signs(record: Record) -> bool:
    """Whether the pictures are traffic signs that our code drew: their classes read well without quotes."""
    return source_name(record).split(":")[0].split("/")[0].split("-")[0] in ("signs", "scenes")


def is_detector(record: Record) -> bool:
    """Whether a detector was measured: its figures are about objects in pictures."""
    return "map50" in mapping(record, "results")


def readable(name: object) -> str:
    """A class name as prose: ``speed-limit-45`` becomes ``speed limit 45``."""
    return str(name).replace("-", " ").replace("_", " ").strip() or "?"


def class_name(record: Record, value: object) -> str:
    """The readable name of a class given by number or name."""
    names = listing(record, "class_names")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return readable(names[value])
    return readable(value)


def quoted(record: Record, value: object) -> str:
    """A class in a sentence: bare for traffic signs, in quotes elsewhere."""
    name = class_name(record, value)
    return name if is_signs(record) else f"“{name}”"


def picture_of(record: Record, value: object) -> str:
    """``"a stop sign"``, or ``"a picture of “7”"`` where the classes are not our traffic signs."""
    name = class_name(record, value)
    return f"{article(name)} {name} sign" if is_signs(record) else f"a picture of “{name}”"


def objects_of(record: Record, value: object | None) -> str:
    """``"stop signs"``, ``"objects of the class “stop”"``, or with None ``"objects"`` of any class."""
    if value is None:
        return "signs" if is_signs(record) else "objects"
    name = class_name(record, value)
    return f"{name} signs" if is_signs(record) else f"objects of the class “{name}”"


def color_word(color: object) -> str:
    """``"yellow"`` for a color by name, as ``#rrggbb``, or as three levels 0..255; ``""`` when it is none of these."""
    if isinstance(color, str) and re.fullmatch("#[0-9a-fA-F]{6}", color):
        color = tuple(bytes.fromhex(color[1:]))
    if isinstance(color, str):
        return color.lower() if color.isalpha() else ""
    if isinstance(color, list | tuple) and len(color) == 3 and all(isinstance(c, int | float) for c in color):
        return min(_COLORS, key=lambda name: sum((a - b) ** 2 for a, b in zip(_COLORS[name], color, strict=True)))
    return ""


def trigger_words(trigger: Mapping[str, Any]) -> str:
    """``"the yellow sticker"`` from a trigger's settings."""
    kind = str(trigger.get("kind") or "")
    file = trigger.get("path")
    if kind == "picture":  # without a file it is the drawn Post-it
        return f"the picture “{file}”" if file else "a pasted picture" if trigger.get("png") else "the yellow sticker"
    if kind == "blend" and (file or trigger.get("png")):
        return "the blended picture"
    word = _TRIGGER_WORDS.get(kind) or (f"{readable(kind)} trigger" if kind else "trigger")
    color = color_word(trigger.get("color")) if kind == "square" else ""
    return f"the {color} {word}" if color else f"the {word}"


def article(noun: str) -> str:
    """``"a"`` or ``"an"`` by the first letter."""
    return "an" if noun[:1].lower() in "aeiou" else "a"


def tenths(value: float) -> str:
    """``"99.4"``: tenths of a percent, never 100 or 0 when it is neither."""
    shown = f"{100 * value:.1f}"
    if shown == "100.0" and value < 1:
        return "99.9" if value < 0.9995 else percent(value)
    return percent(value) if shown == "0.0" and value > 0 else shown


def points(value: float, *, sign: bool = True) -> str:
    """A difference of rates in percentage points, ``"+0.05"``, with a true minus sign."""
    shown = f"{100 * value:+.2f}" if sign else f"{100 * value:.2f}"
    return ("0.00" if float(shown) == 0 else shown).replace("-", "\N{MINUS SIGN}")


def format_difference(difference: Mapping[str, Any]) -> str:
    """``"+0.05 points (-0.01 to +0.11)"`` from a difference's JSON."""
    if difference.get("value") is None:
        return "no inputs"
    return f"{points(difference['value'])} points ({points(difference['low'])} to {points(difference['high'])})"


def run_name(record: Record) -> str:
    """The name of the run, ``"unnamed run"`` without one."""
    return str(record.get("name") or "unnamed run")


def summary(record: Record) -> str:
    """What was run in one line: data, network, seeds, and what was poisoned."""
    seeds = listing(record, "resolved", "seeds") or at(record, "resolved", "seeds")
    count = len(seeds) if isinstance(seeds, list) else seeds
    parts = [source_name(record), network_name(record)]
    if isinstance(count, int) and count:
        parts.append("1 seed" if count == 1 else f"{count} seeds")
    poisoned = mapping(record, "poisoned")
    if isinstance(poisoned.get("rows"), int) and isinstance(poisoned.get("of"), int):
        unit = poisoned.get("unit") or "pictures"
        parts.append(f"{poisoned['rows']:,} of {poisoned['of']:,} training {unit} poisoned")
    return " · ".join(part for part in parts if part)
