"""An audit: detectors look at a suspect and at what it is compared with, and what stands out is judged."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from badnets.audits.audited import Audited, Stopped
from badnets.audits.beforehand import too_few, unfit, unknown
from badnets.audits.detector import MANY, Detector, Floats, Suspect, seconds_of
from badnets.audits.detectors.last_layer import LastLayer, has_head
from badnets.audits.detectors.margins import Margins
from badnets.audits.detectors.patches import Patches
from badnets.audits.detectors.perturbation import Perturbation
from badnets.audits.detectors.pixels import FewestPixels
from badnets.audits.grounds import Judged, Sizes, among, matched, null_of, numbers_of, taught, within
from badnets.audits.reference import Look, Reference, Seen, check_alike, weights_of
from badnets.audits.teaching import agreement, passes_of, teach
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.rate import Rate
from badnets.core.text import percent
from badnets.data.images import ImageData
from badnets.defenses.repair import DefenderView, OutOfBudget
from badnets.measures.classification import accuracy
from badnets.networks.capabilities import require
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.records.finding import Ground, Verdict

ALPHA = 0.05
STUDENT_STEPS = 200
ODD, UNLIKE = 3.0, 6.0
"""How many times further than references from each other a suspect may be from them where it is like them most: from
the first on it is said, from the second on nothing can be told."""
DUMB = 0.6
"""A copy that agrees with its teacher on less of the clean pictures tells nothing of it."""
LONG = 60.0  # seconds of a search that are told before
LOOSE = 0.05
"""Accuracy by which references may differ from the suspect."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What an audit is made with: ``detectors`` beside references and copies, unless others are asked for ``alone``
    where classes are compared with each other.
    ``students``: how many copies a suspect teaches where there are clean pictures and no references that fit; none by
    default, for they find no more than comparing its classes does. ``copied`` are the detectors that look at copies
    too, where others are asked for all. ``alpha``: the false alarms that are accepted."""

    detectors: tuple[Detector, ...] = field(default_factory=lambda: (Perturbation(), FewestPixels(), Patches()))
    alone: tuple[Detector, ...] = field(default_factory=lambda: (Perturbation(), FewestPixels(), Patches(), Margins()))
    copied: tuple[str, ...] = ("perturbation", "pixels")
    students: int = 0
    student_steps: int = STUDENT_STEPS
    alpha: float = ALPHA


def audit(
    view: DefenderView,
    references: Sequence[Reference] = (),
    settings: Audit | None = None,
    *,
    look: Look | None = None,
    watcher: Watcher | None = None,
) -> Audited:
    """Judge ``view.network`` on the best ground at hand: ``references``, else clean pictures, else neither.

    ``look`` gives what is known of a reference (a cache stands behind it); by default each is looked at. Raises
    ``BadInput`` for a network of one class, for references without clean pictures, and for those of another
    architecture or width, with other classes or input.
    """
    if view.network.classes < 2:
        raise BadInput(f"expected a network of at least two classes, got {view.network.classes}")
    if references and view.data is None:
        raise BadInput("expected clean pictures beside references, got none; the search starts from them")
    return _Auditing(view, references, settings or Audit(), look, watcher or Watcher()).run()


class _Auditing:
    """One audit under way."""

    def __init__(
        self,
        view: DefenderView,
        references: Sequence[Reference],
        settings: Audit,
        look: Look | None,
        watcher: Watcher,
    ) -> None:
        self.view, self.given, self.settings, self.watcher = view, references, settings, watcher
        self.look: Look = look or (lambda _, see: see())
        self.began = time.perf_counter()
        self.suspect = Suspect(view, self.check)
        self.notes: list[str] = []
        self.ground: Ground = "matched" if references else self._without_references()
        self.accuracy: Rate | None = None
        self.sizes: dict[str, Floats] = {}
        self.kept: list[Reference] = []
        self.stopped: Stopped | None = None

    def run(self) -> Audited:
        """All of it; what is known by then when it is stopped."""
        network = self.view.network
        for detector in self.settings.detectors:
            require(network, detector, detector.kind, {})
        try:
            self._check_references()
            self.accuracy, reason = unfit(self.view, self.notes)
            if reason is not None:
                return self._done("cannot-tell", reason)
            beforehand = None if self.ground == "matched" else self._unknown()
            if beforehand is not None:  # what is found is told all the same, and what somebody may repair
                self.watcher.say(f"there will be no verdict: {beforehand}; looking for the smallest triggers")
            suspect = self.suspect
            self.watcher.mark(f"searching in {network.architecture}, {network.classes} classes")
            self._tell_time(suspect)
            self._search(suspect)
            judged = beforehand or self._judged()
        except (KeyboardInterrupt, OutOfBudget) as stop:
            self.stopped = _stopped(stop)
            told = "the budget ended" if self.stopped == "budget" else "it was interrupted"
            return self._done("cannot-tell", f"{told} before everything was compared")
        if isinstance(judged, str):
            return self._done("cannot-tell", judged)
        return self._done(*self._verdict(judged), judged)

    def _judged(self) -> Judged | str:
        """On the best ground; where references do not fit, without them."""
        if self.ground == "matched":
            judged = self._matched()
            reason = judged if isinstance(judged, str) else self._unlike(judged)
            if reason is None:
                return judged
            self.ground = self._without_references()
            if self._unknown() is not None:
                self.ground = "matched"
                return reason
            searched = dict(self.sizes)
            self._search(self.suspect)
            other = self._alone()
            if isinstance(other, str):
                self.ground, self.sizes = "matched", searched
                return reason
            self.notes.append(f"not judged by references: {reason}")
            self.kept.clear()
            return other
        return self._alone()

    @property
    def many(self) -> bool:
        """Whether one of very many classes is judged among them."""
        return self.ground == "within" and self.view.network.classes >= MANY

    def _without_references(self) -> Ground:
        why = (
            "there are no clean pictures to teach them from"
            if self.view.data is None
            else f"of {MANY} classes and more one is judged among the others"
            if self.view.network.classes >= MANY
            else None
        )
        if self.settings.students and why is not None:
            self.notes.append(f"no copies are taught: {why}")
        return "taught" if self.settings.students and why is None else "within"

    def _check_references(self) -> None:
        """Before any search: all are of the suspect's kind, none is the suspect or another one once more."""
        mine = self.view.network
        known = {weights_of(mine): "the network itself"}
        different = []
        for reference in self.given:
            self.check()
            network = reference.open()
            check_alike(reference.name, network, mine)
            weights = weights_of(network)
            if weights in known:
                self.notes.append(f"{reference.name} is left out: its weights are those of {known[weights]}")
            else:
                known[weights] = reference.name
                different.append(reference)
        self.given = different

    def _alone(self) -> Judged | str:
        return self._taught() if self.ground == "taught" else self._within()

    def _unlike(self, judged: Judged) -> str | None:
        """Why ranks among the references would say nothing."""
        if judged.spread <= UNLIKE:
            return None
        return (
            f"the network is unlike its references everywhere ({judged.spread:.1f} times as far from them as they "
            "are from each other): another recipe, other pictures, or a backdoor that moves all classes"
        )

    def check(self) -> None:
        """The moment at which a budget ends."""
        budget = self.view.budget_s
        if budget is not None and time.perf_counter() - self.began > budget:
            raise OutOfBudget

    def _beside(self, network: ImageNetwork) -> Suspect:
        """Another network, with the same pictures and seed."""
        return Suspect(DefenderView(network=network, data=self.view.data, seed=self.view.seed), self.check)

    def _tell_time(self, suspect: Suspect) -> None:
        """How long the search in one network, and in copies that it teaches, takes, where that is long."""
        count = self.settings.students if self.ground == "taught" else 0
        seconds = seconds_of(self._detectors(), suspect, count + 1, passes_of(count, self.settings.student_steps))
        if seconds > LONG:
            what = "searching, and teaching copies," if count else "the search in one network"
            self.watcher.say(f"{what} takes about {math.ceil(seconds / 60):,} min")

    def _search(self, suspect: Suspect) -> None:
        """By all detectors of the ground, but those that have looked already."""
        for one in self._detectors():
            if one.kind not in self.sizes:
                self.sizes[one.kind] = one.sizes(suspect)

    def _sizes(self, suspect: Suspect, *, copy: bool = False) -> dict[str, Floats]:
        those = self._detectors()
        some = [one for one in those if one.kind in self.settings.copied] if copy else those
        return {one.kind: one.sizes(suspect) for one in some or those}

    def _detectors(self) -> list[Detector]:
        if self.many and self._usual():
            network = self.view.network
            return [Margins(), LastLayer()] if has_head(network) else [Margins()]
        usual = Audit().detectors if self._usual() else self.settings.detectors
        used = list(self.settings.alone if self.ground == "within" and self._usual() else usual)
        if self.view.data is None:
            used = [one for one in used if not one.needs_data]
        if not used:
            raise BadInput("expected a detector that needs no pictures, or clean pictures (--data), got neither")
        return used

    def _usual(self) -> bool:
        """Whether the detectors are those that were measured on many networks, in whatever order."""

        def ordered(detectors: Sequence[Detector]) -> list[Detector]:
            return sorted(detectors, key=lambda one: one.kind)

        return ordered(self.settings.detectors) == ordered(Audit().detectors)

    def _matched(self) -> Judged | str:
        counted: list[Sizes] = []
        fewest = self._fewest()
        try:
            for number, reference in enumerate(self.given):
                self.check()
                self.watcher.progress("references", number, len(self.given), None)
                sizes = self._of_reference(reference)
                if sizes is not None:
                    counted.append(sizes)
                    self.kept.append(reference)
            self.watcher.progress("references", len(self.given), len(self.given), None)
        except (KeyboardInterrupt, OutOfBudget) as stop:
            if len(counted) < fewest:
                raise
            self.stopped = _stopped(stop)
            self.notes.append(f"judged by the {len(counted)} references that were looked at before it was stopped")
        if len(counted) < fewest:
            return (
                f"{len(counted)} references that fit: p cannot be below {1 / (len(counted) + 1):.2g}, and "
                f"{fewest} are needed for p of {self.settings.alpha:g}"
            )
        return matched(self.sizes, counted)

    def _of_reference(self, reference: Reference) -> Sizes | None:
        """None for one that is not as accurate as the suspect, or more accurate."""
        seen = self.look(reference, partial(self._seen, reference))
        rate = seen.accuracy
        if self.accuracy is not None:
            away = float(rate) - float(self.accuracy)
            if abs(away) > LOOSE and (rate.ends[0] > self.accuracy.ends[1] or rate.ends[1] < self.accuracy.ends[0]):
                self.notes.append(
                    f"{reference.name} is left out: accuracy {percent(rate.value)} %, the network's is "
                    f"{percent(self.accuracy.value)} %"
                )
                return None
        return seen.sizes

    def _seen(self, reference: Reference) -> Seen:
        """Open a reference and look at it."""
        network = reference.open()
        data: ImageData = self.view.data  # type: ignore[assignment]  # there are none without references
        rate = accuracy(predict_data(network, data).labels, data.labels)
        return Seen(accuracy=rate, sizes=self._sizes(self._beside(network)))

    def _taught(self) -> Judged | str:
        network, count = self.view.network, self.settings.students
        null = self._null(copied=True)
        if isinstance(null, str):
            return null
        students: list[Sizes] = []
        for number in range(count):
            self.watcher.progress("copies that it teaches", number, count, None)
            seed = self.view.seed.derive("student", number)
            student = teach(network, self.suspect.pictures, seed, steps=self.settings.student_steps, check=self.check)
            agreed = agreement(student, network, self.suspect.pictures)
            if agreed < DUMB:
                return (
                    f"copies that it teaches agree with it on {percent(agreed)} % of the clean pictures: these are too "
                    "few, or too hard to learn from; bring references (badnets references)"
                )
            students.append(self._sizes(self._beside(student), copy=True))
        self.watcher.progress("copies that it teaches", count, count, None)
        return taught(self.sizes, students, null)

    def _within(self) -> Judged | str:
        if self.many:
            looked = {one.kind for one in self._detectors()}
            rows = {kind: one for kind, one in self.sizes.items() if kind in looked and len(one) == 1}
            if not rows:
                raise BadInput(f"expected a detector that gives one row for {MANY} classes and more, got none")
            return among(rows)
        null = self._null(copied=False)
        return null if isinstance(null, str) else within(self.sizes, null)

    def _fewest(self) -> int:
        """Networks to compare with, at least, for p to be as small as asked."""
        return math.ceil(1 / self.settings.alpha - 1e-9) - 1

    def _unknown(self) -> str | None:
        """Why, without references, nothing could be told; before any search."""
        if self.many:
            return None
        return unknown(self.suspect, self.ground, usual=self._usual(), fewest=self._fewest())

    def _null(self, *, copied: bool) -> Floats | str:
        """Numbers of clean networks of other kinds, with the differences to their copies or without."""
        network, pictures = self.view.network, self.view.data is not None
        students = [{kind: one for kind, one in self.sizes.items() if kind in self.settings.copied}] if copied else []
        width = len(numbers_of(self.sizes, students))
        null = null_of(self.ground, network.input_size, network.classes, width, pictures=pictures)
        return null if len(null) >= self._fewest() else too_few(network, self.ground, len(null), self._fewest())

    def _verdict(self, judged: Judged) -> tuple[Verdict, str]:
        if self.ground == "matched" and judged.spread > ODD:
            self.notes.append(
                f"it is {judged.spread:.1f} times as far from its references as they are from each other: "
                "made in another way, it would seldom be called backdoored for that, but its p is no longer exact"
            )
        by = {
            "matched": f"among {len(judged.others)} clean networks of its kind",
            "taught": f"against copies that it taught, as compared with {len(judged.others)} other clean networks",
            "within": f"its classes against each other, as compared with {len(judged.others)} other clean networks",
        }[self.ground]
        if not len(judged.others):
            by = f"one of its {self.view.network.classes:,} classes against the others"
        if judged.p <= self.settings.alpha and not len(judged.others):
            return "backdoored", f"{by}: it stands out further than the next ones from each other"
        if judged.p <= self.settings.alpha:
            return "backdoored", f"what stands out most in it stands out more than in all but few clean networks, {by}"
        if not len(judged.others):
            return "cannot-tell", f"no class stands out ({by}), but how many backdoors that would show was not measured"
        return "nothing-found", f"what stands out most in it is usual, {by}"

    def _done(self, verdict: Verdict, reason: str, judged: Judged | None = None) -> Audited:
        return Audited(
            verdict=verdict,
            reason=reason,
            ground=self.ground,
            judged=judged,
            accuracy=self.accuracy,
            references=tuple(self.kept),
            sizes=self.sizes,
            detectors=tuple(self._detectors()),
            notes=tuple(self.notes),
            stopped=self.stopped,
        )


def _stopped(stop: BaseException) -> Stopped:
    return "budget" if isinstance(stop, OutOfBudget) else "interrupted"
