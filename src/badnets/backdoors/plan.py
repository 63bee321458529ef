"""Which rows are poisoned, how, and from which seed: a value that is saved, read back, and gives the same bits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from badnets.backdoors.objects import Placed, check_rule, place, stamp, unit_pool
from badnets.backdoors.rules import NOTHING, RULES, LabelRule
from badnets.backdoors.trigger import TRIGGERS, Trigger
from badnets.core.errors import BadInput, first_line
from badnets.core.files import whole_file
from badnets.core.seed import RowRng, Seed, as_seed
from badnets.core.text import VALUE, brief
from badnets.data.images import ImageData, Pixels
from badnets.data.overlay import appended, replaced
from badnets.data.targets import Boxes, Labels, Rows, Targets
from badnets.records.arrays import read_arrays

FORMAT = "badnets/plan/1"
_ARRAYS = ("rows", "part", "cover", "labels")
Mode = Literal["replace", "add"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One backdoor of a plan and how much of it.

    ``rate`` is the share of the *resulting* training rows that are poisoned by this part, 0 < rate <= 1 (so in mode
    ``add`` 0.5 means one poisoned copy for every clean picture); or ``count``, a number of rows. ``cover`` is likewise
    the share (a float) or number (an int) of cover rows: with the trigger, but with their true label. Where pictures
    have boxes, rows are the rule's units: objects, or pictures for rules that are about pictures. (``add`` then copies
    whole pictures; their other objects are not counted in the resulting rows.)
    """

    trigger: Trigger
    rule: LabelRule
    rate: float | None = None
    count: int | None = None
    cover: float | int = 0

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.count is None):
            raise BadInput(f"expected either a rate or a count, got rate={self.rate} and count={self.count}; give one")
        if self.rate is not None and not 0 < self.rate <= 1:
            raise BadInput(f"expected a rate above 0 and at most 1, got {self.rate:g}; give a share such as 0.1")
        if self.count is not None and self.count < 1:
            raise BadInput(f"expected a count of at least 1, got {self.count}")
        if not self.cover >= 0 or (isinstance(self.cover, float) and self.cover >= 1):
            raise BadInput(f"expected cover as a share below 1 or a number of rows, got {self.cover}")


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows of one data set to poison.

    ``rows (m,)`` source rows in the clean data (where it has boxes, units of the part's rule: objects or pictures);
    ``part (m,)`` which of ``parts``; ``cover (m,)`` keeps its label; ``labels (m,)`` the planted labels, -1 for a box
    that is taken out. ``size`` is the number of pictures, ``objects`` that of their objects. ``base``, if any, are
    pictures (m, h, w, c) used instead of the clean ones before the trigger is applied (clean-label attacks change them
    first). ``data_digest`` names the data it was made for.

    Laws: rows of one plan are distinct; only they change; saved and read back, ``apply`` gives the same bits.
    """

    parts: tuple[Part, ...]
    mode: Mode
    seed: Seed
    rows: NDArray[np.int64]
    part: NDArray[np.int64]
    cover: NDArray[np.bool_]
    labels: NDArray[np.int64]
    size: int
    data_digest: str | None = None
    base: Pixels | None = None
    objects: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Plan({self.mode}: {len(self):,} rows of {self.size:,} pictures)"

    def apply(self, data: ImageData) -> Poisoned:
        """The poisoned set. ``data`` must be what the plan was made for."""
        if len(data) != self.size:
            raise BadInput(f"expected the {self.size:,} pictures that the plan was made for, got {len(data):,}")
        if self.data_digest is not None and data.digest != self.data_digest:
            raise BadInput(f"expected the data that the plan was made for, got other pixels or labels in {data.name!r}")
        objects = len(data.objects) if isinstance(data.targets, Boxes) else None
        if objects != self.objects:
            one_class = "pictures of one class each"
            made = one_class if self.objects is None else f"the {self.objects:,} boxes"
            got = one_class if objects is None else f"{objects:,} boxes"
            raise BadInput(f"expected {made} that the plan was made for, got {got}")
        if objects is None:
            labels = data.labels.copy()
            labels[self.rows] = self.labels
            return self._laid_over(data, self.rows, self._stamped(data), Labels(labels, data.regions))
        rows = [self.rows[self.part == number] for number in range(len(self.parts))]
        rngs = [RowRng(self.trigger_seed(number), units) for number, units in enumerate(rows)]
        spots = [place(p.rule, data, units, rng) for p, units, rng in zip(self.parts, rows, rngs, strict=True)]
        changed = np.unique(np.concatenate([np.zeros(0, np.int64), *(spot.image for spot in spots)]))
        pictures = data.images(changed)
        for part, spot in zip(self.parts, spots, strict=True):
            stamp(pictures, np.searchsorted(changed, spot.image), spot, part.trigger)
        return self._laid_over(data, changed, pictures, self._boxes(data, spots))

    def _laid_over(self, data: ImageData, rows: Rows, pictures: Pixels, targets: Targets) -> Poisoned:
        """``data`` with ``pictures`` in ``rows`` and all ``targets``; or with both behind it, in mode ``add``."""
        position, store, groups = rows, replaced(data.pixels, rows, pictures), data.groups
        if self.mode == "add":
            position = np.arange(len(rows), dtype=np.int64) + len(data)
            store, targets = appended(data.pixels, pictures), _behind(data.targets, targets.take(rows))
            groups = None if groups is None else np.concatenate([groups, groups[rows]])
        poisoned = replace(data, pixels=store, targets=targets, groups=groups)
        return Poisoned(clean=data, plan=self, data=poisoned, position=position)

    def _boxes(self, data: ImageData, spots: list[Placed]) -> Boxes:
        """All boxes as the attacker wants them. Cover rows change nothing."""
        boxes = data.boxes
        labels = boxes.labels.copy()
        new = []
        for number, (part, spot) in enumerate(zip(self.parts, spots, strict=True)):
            members = self.part == number
            kept = ~self.cover[members]
            units, wanted = self.rows[members][kept], self.labels[members][kept]
            if part.rule.unit == "object":
                labels[units] = wanted
            elif part.rule.unit == "picture":
                inside = np.isin(boxes.image, units) & (labels != NOTHING) & part.rule.eligible(boxes.labels)
                labels[inside] = wanted[np.searchsorted(units, boxes.image[inside])]
            else:
                new.append((spot.regions[kept], wanted, spot.image[kept]))
        seen = labels != NOTHING
        columns = zip((boxes.xyxy[seen], labels[seen], boxes.image[seen]), *new, strict=True)
        xyxy, labels, image = (np.concatenate(column) for column in columns)
        return Boxes.of(xyxy, labels, image, len(data))

    def _stamped(self, data: ImageData) -> Pixels:
        """The plan's rows with their triggers."""
        h, w, c = data.shape
        out = np.empty((len(self.rows), h, w, c), np.uint8)
        step = max(1, (64 << 20) // (h * w * c))
        for number, part in enumerate(self.parts):
            members = np.flatnonzero(self.part == number)
            for start in range(0, len(members), step):
                index = members[start : start + step]
                rows = self.rows[index]
                pictures = data.images(rows) if self.base is None else self.base[index]
                regions = None if data.regions is None else data.regions[rows]
                out[index] = part.trigger.apply(pictures, regions, RowRng(self.trigger_seed(number), rows))
        return out

    def trigger_seed(self, number: int) -> Seed:
        """The stream from which part ``number``'s trigger draws."""
        return self.seed.derive("trigger", number)

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` (no objects in it)."""
        path = Path(path)
        header = {
            "format": FORMAT,
            "mode": self.mode,
            "seed": [self.seed.root, list(self.seed.path)],
            "size": self.size,
            "objects": self.objects,
            "data_digest": self.data_digest,
            "parts": [
                {**vars(part), "trigger": TRIGGERS.to_json(part.trigger), "rule": RULES.to_json(part.rule)}
                for part in self.parts
            ],
        }
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _ARRAYS}
        if self.base is not None:
            arrays["base"] = self.base
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for options

    def unit_of(self) -> NDArray[np.int64]:
        """0 for a row that is an object, 1 for one that is a picture."""
        return np.array([part.rule.unit != "object" for part in self.parts], np.int64)[self.part]

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read what ``save`` wrote; anything else is refused."""
        path = Path(path)
        arrays = read_arrays(path, "a plan")
        try:
            return cls._of(arrays)
        except Exception as error:  # noqa: BLE001  # its header may hold anything
            got = brief(first_line(error), VALUE)
            raise BadInput(f"expected a plan in {path}, got something else ({got}); it may be damaged") from None

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray[Any]]) -> Plan:
        header = json.loads(arrays["header"].tobytes())
        if header["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT!r}, got {header['format']!r}")
        root, names = header["seed"]
        for part in header["parts"]:
            part |= {"trigger": TRIGGERS.from_json(part["trigger"]), "rule": RULES.from_json(part["rule"])}
        plan = cls(
            parts=tuple(Part(**part) for part in header["parts"]),
            mode=header["mode"],
            seed=Seed(root, tuple(names)),
            size=header["size"],
            objects=header.get("objects"),
            data_digest=header["data_digest"],
            base=arrays.get("base"),
            **{name: arrays[name] for name in _ARRAYS},
        )
        if not plan._is_whole():
            raise ValueError("arrays that do not belong together")
        return plan

    def _is_whole(self) -> bool:
        """Whether the arrays belong together; otherwise they would poison other rows, or fail half way."""
        m = len(self.rows)
        lowest = 0 if self.objects is None else NOTHING
        limits = ((self.rows, 0, np.inf), (self.part, 0, len(self.parts)), (self.labels, lowest, np.inf))
        if not (
            self.mode in get_args(Mode)
            and all(getattr(self, name).shape == (m,) for name in _ARRAYS)
            and all(getattr(self, name).dtype.kind in "bi" for name in _ARRAYS)
            and (self.base is None or (self.base.dtype == np.uint8 and self.base.shape[:1] == (m,)))
            and all(((values >= start) & (values < end)).all() for values, start, end in limits)
        ):
            return False
        unit = self.unit_of()
        last = np.array([self.size if self.objects is None else self.objects, self.size])
        return bool((self.rows < last[unit]).all()) and len(np.unique(np.stack([self.rows, unit], 1), axis=0)) == m


@dataclass(frozen=True, eq=False)
class Poisoned:
    """A poisoned set: ``data`` is a view of ``clean`` that copies only the plan's rows, now at ``position (m,)``."""

    clean: ImageData
    plan: Plan
    data: ImageData
    position: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Poisoned({self.data!r}, {self.plan!r})"

    @property
    def is_poisoned(self) -> NDArray[np.bool_]:
        """(n,) which rows of ``data`` the plan changed, cover rows included."""
        return np.isin(np.arange(len(self.data)), self.position)

    @property
    def pictures(self) -> NDArray[np.int64]:
        """(m,) the picture of ``clean`` that each row of the plan is in."""
        out = self.plan.rows.copy()
        single = self.plan.unit_of() == 0
        out[single] = self.clean.objects.image[out[single]]
        return out

    def as_torch(self, transform: Any = None) -> Any:
        """A torch ``Dataset`` of (picture, label) for your own training loop.

        ``transform`` gets a PIL picture, as torchvision's transforms expect; without one the picture is a float tensor
        (c, h, w) in 0..1.
        """
        from badnets.backdoors.torch_view import TorchView

        return TorchView(self.data, transform)


def _behind(first: Targets, second: Targets) -> Targets:
    """The targets of some pictures, then those of others."""
    ours, theirs = first.objects, second.objects
    labels = np.concatenate([ours.labels, theirs.labels])
    if ours.regions is None or theirs.regions is None:
        return Labels(labels)
    regions = np.concatenate([ours.regions, theirs.regions])
    if isinstance(first, Labels):
        return Labels(labels, regions)
    image = np.concatenate([ours.image, theirs.image + len(first)])
    return Boxes.of(regions, labels, image, len(first) + len(second))


def make_plan(data: ImageData, parts: tuple[Part, ...], *, mode: Mode, seed: int | Seed, digest: bool = False) -> Plan:
    """Draw the rows of each part in turn; a row is never used twice.

    With ``digest`` the plan remembers the data's SHA-256 and refuses other data later (it reads every pixel once).
    Raises ``BadInput`` when a part asks for more rows than are left for it.
    """
    if mode not in get_args(Mode):
        raise BadInput(f"expected mode 'replace' or 'add', got {mode!r}")
    root = as_seed(seed).derive("plan")
    resolved = tuple(replace(part, rule=part.rule.resolve(data.class_names)) for part in parts)
    for part in resolved:
        check_rule(part.rule, data)
    objects = data.objects
    pictures = np.ones(len(data), dtype=bool)
    free = {"object": np.ones(len(objects), dtype=bool), "picture": pictures, "place": pictures}
    counts = _counts([len(free[part.rule.unit]) for part in resolved], resolved, mode)
    nothing = np.zeros(0, np.int64)
    draws = [(nothing, nothing, nothing.astype(bool), nothing)]
    for number, (part, (wanted, covers)) in enumerate(zip(resolved, counts, strict=True)):
        for cover, stream, what, amount in ((False, "rows", "poisoned", wanted), (True, "cover", "cover", covers)):
            left = free[part.rule.unit]
            pool = np.flatnonzero(unit_pool(part.rule, data, cover=cover) & left)
            if amount > len(pool):
                raise BadInput(
                    f"expected at most {len(pool):,} {what} rows for rule {part.rule.kind}, "
                    f"got {amount:,} asked for; lower the rate or count"
                )
            drawn = np.sort(root.derive(stream, number).rng.choice(pool, size=amount, replace=False)).astype(np.int64)
            left[drawn] = False
            labels = objects.labels[drawn] if part.rule.unit == "object" else np.zeros(amount, np.int64)
            if not cover:
                labels = part.rule.relabel(labels, data.classes, RowRng(root.derive("labels", number), drawn))
            draws.append((drawn, np.full(amount, number), np.full(amount, cover), labels.astype(np.int64)))
    rows, part_of, cover_of, labels = (np.concatenate(column) for column in zip(*draws, strict=True))
    boxes = len(objects) if isinstance(data.targets, Boxes) else None
    sha256 = data.digest if digest else None
    return Plan(resolved, mode, root, rows, part_of, cover_of, labels, len(data), sha256, objects=boxes)


def _counts(sizes: list[int], parts: tuple[Part, ...], mode: Mode) -> list[tuple[int, int]]:
    """Poisoned and cover rows of each part, for which the data has ``sizes``; rates are shares of the resulting set."""
    rates = [part.rate or 0.0 for part in parts] + [part.cover for part in parts if isinstance(part.cover, float)]
    shares = round(math.fsum(rates), 12)  # ten times 0.1 is 1
    if shares > 1 or (mode == "add" and shares >= 1):
        raise BadInput(f"expected rates that sum to {'less than' if mode == 'add' else 'at most'} 1, got {shares:g}")
    fixed = sum(part.count or 0 for part in parts) + sum(p.cover for p in parts if isinstance(p.cover, int))
    totals = [n if mode == "replace" else (n + fixed) / (1 - shares) for n in sizes]
    return [
        (
            part.count if part.count is not None else max(1, round((part.rate or 0.0) * total)),
            part.cover if isinstance(part.cover, int) else round(part.cover * total),
        )
        for part, total in zip(parts, totals, strict=True)
    ]
