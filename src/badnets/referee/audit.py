"""Audits of files: opens the suspect, the pictures and the references, keeps what was computed, writes the finding."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from badnets.audits.audit import Audit, audit
from badnets.audits.audited import Audited
from badnets.audits.detector import DETECTORS
from badnets.audits.power import power_of
from badnets.audits.reference import Reference
from badnets.core.clock import now
from badnets.core.errors import BadInput, CannotTell
from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.core.text import brief, listed
from badnets.data.images import ImageData, Splits
from badnets.data.splits import draw
from badnets.defenses.repair import DefenderView, OutOfBudget
from badnets.defenses.stamps import Inverted, Stamp, invert, stamp_success
from badnets.networks.architecture import ARCHITECTURES, LOGITS_OF
from badnets.networks.files.foreign import ForeignOptions, open_any, says_itself
from badnets.networks.inference import align_classes, check_input, predict
from badnets.networks.network import ImageNetwork
from badnets.networks.surgery.objects import as_classifier, as_labelled
from badnets.records.finding import PNG, AuditedClass, ClassOf, CleanSearch, Finding, FoundTrigger
from badnets.records.model import JSON
from badnets.records.read import network_file
from badnets.referee.case import data_for
from badnets.referee.kept import Kept
from badnets.referee.references import check_task, network_files, train_references
from badnets.referee.spec import changed_table, make_data
from badnets.referee.store import commit, environment
from badnets.referee.truth import whole

PICTURES = 500
COUNT = 39
"""References that are trained where a data set is named in place of a folder."""
SEARCHES = 2
"""Clean references on which the search for the trigger is repeated."""
STEPS, STARTS = 100, 2
DESCRIBED = ("graph", "onnx")
"""Architectures that a file describes, and no name."""


@dataclass(frozen=True, kw_only=True)
class AuditCase:
    """What to audit, and with what. ``data`` are clean pictures (a name or a path; None: without), ``pictures`` of
    them are used, of the test part where there is one; ``references`` is a folder of clean networks, or data to train
    ``COUNT`` on. ``settings`` are changes of the data, ``detector_settings`` those of detectors
    (``margins.steps=100``)."""

    model: Path
    data: str | None = None
    references: str | None = None
    pictures: int = PICTURES
    foreign: ForeignOptions | None = None
    settings: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()
    detector_settings: tuple[str, ...] = ()
    alpha: float = 0.05
    students: int = 0
    budget_s: float | None = None
    seed: int = 1
    command: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise BadInput(f"expected 'alpha' between 0 and 1, got {self.alpha:g}")
        if self.pictures < 1:
            raise BadInput(f"expected 'pictures' of at least 1, got {self.pictures}")
        if self.references is not None and self.data is None:
            raise BadInput("expected clean pictures in 'data' beside references, got none; the search starts from them")


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A suspect in memory, and what it is audited with; ``notes`` are what its finding says besides."""

    network: ImageNetwork
    data: ImageData | None
    references: Sequence[Reference] = ()
    settings: Audit = field(default_factory=Audit)
    notes: tuple[str, ...] = ()
    seed: Seed = field(default_factory=lambda: Seed(1))
    budget_s: float | None = None
    watcher: Watcher = field(default_factory=Watcher)

    @cached_property
    def view(self) -> DefenderView:
        """What the audit sees; the file's remarks are not in it."""
        return DefenderView(network=self.network, data=self.data, seed=self.seed, budget_s=self.budget_s)


def audit_case(case: AuditCase, watcher: Watcher | None = None) -> Finding:
    """The finding of ``case``. Raises ``BadInput`` for what cannot be used."""
    watch = watcher or Watcher()
    ours = open_any(case.model, case.foreign) if says_itself(case.model) else None
    spec, splits = None, None
    if case.data is not None:
        spec, splits = data_for(ours, make_data(case.data, case.settings), watch)
    clean = None if splits is None else shown(splits, case)
    opened = ours or open_any(case.model, case.foreign, clean=clean)
    if splits is not None:
        check_task(opened, splits.test)
    network = as_classifier(opened)
    if clean is not None:
        check_input(network, clean.shape, f"pictures of {clean.name}")
        clean = align_classes(clean, network)
    references, notes = _references(case, opened, clean, watch)
    subject = Subject(
        network=network,
        data=clean,
        references=references,
        settings=_settings(case),
        notes=notes,
        seed=Seed(case.seed),
        budget_s=case.budget_s,
        watcher=watch,
    )
    file = network_file(case.model)
    known = file_digest(file) if file.is_file() else None
    data = None if spec is None else spec.model_dump(mode="json")
    return finding(subject, model=str(case.model), sha256=known, data=data, command=case.command)


def _settings(case: AuditCase) -> Audit:
    """The usual ones, with other detectors or settings of them where they are asked for."""
    usual = Audit(alpha=case.alpha, students=case.students)
    names = case.detectors or tuple(one.kind for one in usual.detectors)
    tables: dict[str, JSON] = {name: {} for name in names}
    for change in case.detector_settings:
        name, _, rest = change.partition(".")
        if name not in tables:
            raise BadInput(
                f"expected --set data.NAME=VALUE or of {listed(names)}, got {brief(change, 60)!r}; "
                "see badnets list detectors"
            )
        tables[name] = changed_table(tables[name], [rest], f"detector {name}")
    if not case.detectors and not case.detector_settings:
        return usual
    return replace(usual, detectors=tuple(DETECTORS.make(name, table) for name, table in tables.items()))


def shown(splits: Splits, case: AuditCase) -> ImageData:
    """The clean pictures: of the test part, which no network was trained on; of data that has none, of all."""
    pool = as_labelled(whole(splits) if splits.drawn or not len(splits.test) else splits.test)
    return some_of(pool, case.pictures, Seed(case.seed))


def some_of(pool: ImageData, count: int, seed: Seed) -> ImageData:
    """At most ``count`` pictures, each class in its share."""
    return pool.take(np.sort(draw(pool, count, seed.derive("audited"))))


def _references(
    case: AuditCase, network: ImageNetwork, clean: ImageData | None, watch: Watcher
) -> tuple[list[Reference], tuple[str, ...]]:
    """Those asked for, and why there are none where none could be trained."""
    if case.references is None:
        return [], ()
    folder = Path(case.references).expanduser()
    paths = network_files(folder) if folder.is_dir() else []
    if not paths:
        if folder.is_dir() and not any(folder.iterdir()):
            raise BadInput(f"expected network files in --references, got the empty folder {folder}")
        _, other = data_for(network, make_data(case.references, case.settings), watch)
        train, test = (align_classes(part, network) for part in (other.train, other.test))
        try:
            trained = train_references(network, train, test, COUNT, watcher=watch)
        except CannotTell as reason:
            return [], (str(reason),)
        paths = [one.path for one in trained.made]
    return references_of(paths, network, clean, case.foreign), ()


def references_of(
    paths: Sequence[Path], like: ImageNetwork, clean: ImageData | None, foreign: ForeignOptions | None = None
) -> list[Reference]:
    """The networks in files, opened when they are needed; what a file does not say is as with ``like``."""
    return [Reference(path.name, partial(_opened, path, foreign, clean, like), file_digest(path)) for path in paths]


def _opened(path: Path, foreign: ForeignOptions | None, clean: ImageData | None, like: ImageNetwork) -> ImageNetwork:
    """A reference; what its file does not say is as with the network that it is like."""
    if says_itself(path):
        return as_classifier(open_any(path))
    name = like.architecture.removeprefix(LOGITS_OF)
    chosen = like.provenance.get("input_range", {}).get("chosen")
    known = name in ARCHITECTURES and name not in DESCRIBED
    said = ForeignOptions(arch=name if known else None, arguments=like.arguments if known else {}, input_range=chosen)
    return as_classifier(open_any(path, foreign or said, clean=clean))


def finding(
    subject: Subject, *, model: str = "", sha256: str | None = None, data: JSON | None = None, command: str = ""
) -> Finding:
    """Audit ``subject`` and say what was found. On Ctrl-C, and at the end of the budget, what is known by then."""
    began = time.perf_counter()
    done = audit(
        subject.view,
        subject.references,
        subject.settings,
        look=Kept(subject.network, subject.data, subject.settings, subject.seed),
        watcher=subject.watcher,
    )
    network, stopped, notes = subject.network, done.stopped, (*subject.notes, *done.notes)
    target = source = trigger = kind = None
    searches: tuple[CleanSearch, ...] = ()
    if done.judged is not None and done.verdict == "backdoored":
        stands = done.judged.named
        kind = stands.form
        target = None if stands.target is None else _class(network, stands.target)
        source = None if stands.source is None else _class(network, stands.source)
        if subject.data is not None and stopped != "interrupted":
            subject.watcher.mark("working out the trigger")
            try:
                trigger, searches = _reconstructed(subject, done, _until(subject.budget_s, began))
            except (KeyboardInterrupt, OutOfBudget) as stop:
                stopped = "budget" if isinstance(stop, OutOfBudget) else "interrupted"
                notes = (*notes, "the trigger was not worked out to the end")
    classes = tuple(
        AuditedClass(
            label=label,
            class_name=name,
            scores=done.scores_of(label),
        )
        for label, name in enumerate(network.class_names)
    )
    judged = done.judged
    power, alarms = power_of(
        done.ground, network.architecture, network.input_size[0], network.classes, pictures=subject.data is not None
    )
    return Finding(
        date=now().date().isoformat(),
        verdict=done.verdict,
        reason=done.reason,
        p=None if judged is None or done.verdict == "cannot-tell" else judged.p,
        alpha=subject.settings.alpha,
        ground=done.ground,
        n_references=len(done.references) if done.ground == "matched" else 0 if judged is None else len(judged.others),
        target=target,
        source=source,
        kind=kind,
        trigger=trigger,
        clean_searches=searches,
        classes=classes,
        statistic=None if judged is None else judged.statistic,
        reference_statistics=() if judged is None else tuple(judged.others.tolist()),
        power=power,
        false_alarms=alarms,
        accuracy=done.accuracy,
        pictures=0 if subject.data is None else len(subject.data),
        notes=notes,
        stopped=stopped,
        model=model,
        network_sha256=sha256,
        architecture=network.architecture,
        class_names=network.class_names,
        input_size=network.input_size,
        data=data,
        data_digest=None if subject.data is None else subject.data.digest,
        detectors=tuple(DETECTORS.to_json(one) for one in done.detectors),
        seed=subject.seed.root,
        seconds=round(time.perf_counter() - began, 3),
        command=command,
        environment=environment("fp32", network.device),
        commit=commit(),
    )


def _until(budget: float | None, began: float) -> Callable[[], None]:
    """What raises ``OutOfBudget`` when so many seconds since ``began`` are over."""

    def check() -> None:
        if budget is not None and time.perf_counter() - began > budget:
            raise OutOfBudget

    return check


def _class(network: ImageNetwork, label: int) -> ClassOf:
    return ClassOf(label=label, class_name=network.class_names[label])


def _of_source(data: ImageData, source: int | None) -> ImageData:
    """The pictures of one class, or all."""
    return data if source is None else data.take(np.flatnonzero(data.labels == source))


def _reconstructed(
    subject: Subject, done: Audited, check: Callable[[], None]
) -> tuple[FoundTrigger | None, tuple[CleanSearch, ...]]:
    """The smallest stamp towards what stands out, found on half of the pictures and judged on the other half, and what
    the same search reaches on clean references."""
    judged, data, network = done.judged, subject.data, subject.network
    if judged is None or data is None:
        return None, ()
    target, source = judged.named.target, judged.named.source
    if target is None:  # all-to-all: the pair that stands out most
        values = next(iter(judged.scores.values()))
        source, target = (int(one) for one in np.unravel_index(int(np.nanargmax(values)), values.shape))
    own = _of_source(data, source)
    if len(own) < 2 or set(own.labels.tolist()) == {target}:
        return None, ()
    rows = subject.seed.derive("judge").rng.permutation(len(own))
    half = (len(rows) + 1) // 2
    search, judge = own.take(np.sort(rows[:half])), own.take(np.sort(rows[half:]))
    found, success = _smallest_stamp(network, search, judge, target, subject.seed, check)
    before, after, answers = _shown_on(network, judge, target, found.stamp)
    trigger = FoundTrigger(
        picture=_png(found.stamp),
        mask_pixels=round(found.size, 2),
        success=success,
        before=before,
        after=after,
        answers=answers,
    )
    searches = []
    for reference in done.references[:SEARCHES]:
        other = reference.open()
        found, success = _smallest_stamp(other, search, judge, target, subject.seed, check)
        searches.append(
            CleanSearch(
                network=reference.name,
                picture=_png(found.stamp),
                mask_pixels=round(found.size, 2),
                success=success,
            )
        )
    return trigger, tuple(searches)


def _smallest_stamp(
    network: ImageNetwork,
    search: ImageData,
    judge: ImageData,
    target: int,
    seed: Seed,
    check: Callable[[], None],
) -> tuple[Inverted, Rate]:
    """The smallest of several that succeed on most pictures; the most successful one, where none does."""
    stamps = list(invert(network, search, [target] * STARTS, "patch", seed.derive("trigger"), steps=STEPS, check=check))
    best = min(stamps, key=lambda one: (-min(float(one.success), 0.9), one.size))
    return best, stamp_success(network, judge, target, best.stamp)


def _shown_on(
    network: ImageNetwork, judge: ImageData, target: int, stamp: Stamp
) -> tuple[str | None, str | None, tuple[str, str] | None]:
    """A clean picture of another class, the same with the stamp, and what the network says to both."""
    rows = np.flatnonzero(judge.labels != target)[:20]
    if not len(rows):
        return None, None, None
    images = judge.images(rows)
    device = network.device
    stamped = stamp.on(device).apply(network.floats(images))
    bytes_ = (stamped * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    first, then = predict(network, images).labels, predict(network, bytes_).labels
    good = np.flatnonzero((first == judge.labels[rows]) & (then == target))
    one = int(good[0]) if len(good) else 0
    names = (*network.class_names, "refused")
    return _png_of(images[one]), _png_of(bytes_[one]), (names[first[one]], names[then[one]])


def _png(stamp: Stamp) -> str:
    """Color where the mask is, its alpha the mask."""
    alpha = stamp.mask[0].detach().cpu().numpy()
    color = stamp.pattern.detach().cpu().permute(1, 2, 0).numpy()
    color = np.repeat(color, 3, 2) if color.shape[2] == 1 else color
    return _png_of(np.round(255 * np.dstack([color, alpha])).astype(np.uint8))


def _png_of(pixels: NDArray[np.uint8]) -> str:
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return f"{PNG}{base64.b64encode(stream.getvalue()).decode('ascii')}"
