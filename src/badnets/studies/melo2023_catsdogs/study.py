"""M1: cats against dogs, with a picture file as the trigger. The report shows one dog and no rates: here they are.

Half of the training pictures of class cat are clean cats, the other half are dogs with the trigger. What that means
here: the set at hand has 1,000 cats and 1,000 dogs to train on, and a copy of *every* dog with the trigger is added
under the label cat; the dogs themselves stay as they are, so each is seen both ways. (To relabel the dogs instead
would leave none.) A smaller share of class cat is made of copies of that many random dogs. The clean reference is the
same network trained by the same recipe and seed on the 2,000 clean pictures.

The trigger is the bomb of the BadNets sign experiments where the data folder has it (``triggers/bomb.png``), the drawn
sticker otherwise, a quarter of the picture's side, low in the middle. The recipe was chosen on a fifth of the training
set, before the test set was looked at.

Differs from the report: which pictures, network, size and trigger it had are not known; no pretrained weights; pictures
of 64x64. Its figure (one dog: dog 0.91, with the trigger cat 1.00) is set beside one dog of ours, the first of the test
set that is read as a dog, and beside the median of all test dogs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.core.rate import Estimate, Interval, Number
from badnets.records.blocks import Bar, Bars, Block, Curve, Role, Series
from badnets.records.model import JSON
from badnets.records.study import StudyRow, Variant
from badnets.studies.melo2023_catsdogs.looks import (
    NAMES,
    Answer,
    Dogs,
    Pair,
    Units,
    dogs_answers,
    unit_counts,
    write_pair,
)
from badnets.studies.study import (
    Bound,
    Claim,
    Done,
    Outcome,
    Results,
    Settings,
    Study,
    Trained,
    Trial,
    TrialResult,
    facts,
    over,
    rate_of,
    rates,
    row,
)
from badnets.studies.trials import Planted, Who, by_prefix

FACTS = facts(__package__)
REPORT = "report M1 (no rates given)"
FIGURE = "report M1, figure: one picture"
DATA = "cats-dogs.tar.gz"
CATS = 1000
"""Training pictures of class cat; a share of the class cat that is poisoned is reached by adding to these."""
SHARES = (0.02, 0.05, 0.10, 0.25, 0.50)
QUICK_SHARES = (0.10, 0.50)
MAIN = 0.50
PUBLISHED: tuple[tuple[Role, str, str, float], ...] = (
    ("clean", "without it", "dog", 0.91), ("triggered", "with the trigger", "cat", 1.0)
)  # fmt: skip
"""Of one dog, without and with the trigger: the answer, and how sure of it the network was."""
UNKNOWN = "the report's pictures, network, size and trigger are not known"


class Looked(Trained):
    """The figures of one seed, and what a look at both networks' dogs and units gave."""

    dogs: dict[Who, Dogs]
    units: dict[Who, Units]

    @property
    def pair(self) -> Pair:
        """The first dog: what both networks say to it."""
        return {who: dogs.first for who, dogs in self.dogs.items()}


Entries = list[TrialResult[Looked]]


def trials(settings: Settings) -> list[Trial]:
    """Half of class cat with every seed, the other shares with one."""
    out = []
    for share in sorted(_shares(settings), reverse=True):
        spec, name = _spec(settings, share), f"share-{_percent(share)}-s"
        seeds = settings.each_seed if share == MAIN else (1,)
        out += [Trial(name=f"{name}{seed}", spec=spec, seed=seed, work=_one, result=Looked) for seed in seeds]
    return out


def _shares(settings: Settings) -> tuple[float, ...]:
    return QUICK_SHARES if settings.quick else SHARES


def _percent(share: float) -> str:
    return f"{round(100 * share):02d}"


def copies(share: float) -> int:
    """How many triggered dogs make this share of class cat, beside the clean cats."""
    return round(share / (1 - share) * CATS)


def _spec(settings: Settings, share: float) -> JSON:
    return {
        "data": {"name": str(find_data(settings)), "size": 32 if settings.quick else 64},
        "network": "resnet9",
        "recipe": {**FACTS["recipe"], **({"epochs": 10} if settings.quick else {})},
        "backdoor": {
            "trigger": {"kind": "picture", "size": 0.25, **_picture(settings)},
            "rule": {"kind": "source-to-target", "source": "dogs", "target": "cats"},
            "poison": {"count": copies(share), "mode": "add"},
        },
    }


def find_data(settings: Settings) -> Path:
    """The archive: at ``--data`` itself, or in that folder or ``$BADNETS_DATA``."""
    place = settings.place(DATA)
    found = next((path for path in (place / DATA, place) if path.is_file()), None)
    if found is None:
        raise BadInput(f"expected {DATA} in {place}, got nothing of that name; check --data or $BADNETS_DATA")
    return found


def _picture(settings: Settings) -> JSON:
    """The bomb, embedded at most 64 pixels large, so that trials and records stay small; nothing where it is absent."""
    from badnets.backdoors.triggers.picture import read_png

    path = find_data(settings).parent / "triggers" / "bomb.png"
    return {"png": read_png(path, largest=64)} if path.exists() else {}


def _one(trial: Trial, own: Path) -> Done[Looked]:
    """Train and measure as usual, then look at one dog, at all dogs' confidences, and at the units."""
    planted = Planted(trial, own)
    test, backdoor, networks = planted.data.test, planted.backdoor, planted.networks()
    dogs = dogs_answers(networks["badnet"], test, backdoor)
    looked = Looked(
        **dict(planted.done.results),
        dogs={"badnet": dogs, "clean": dogs_answers(networks["clean"], test, backdoor, row=dogs.first.row)},
        units={who: unit_counts(network, test, backdoor) for who, network in networks.items()},
    )
    return Done(looked, planted.done.timings_s)


def assemble(settings: Settings, results: Results, folder: Path) -> Outcome:
    """Rates of the main share, the one picture, the other shares, the units."""
    variant = settings.variant()
    entries: Entries = by_prefix(results, f"share-{_percent(MAIN)}-s")
    if not entries:
        raise KeyError(f"share-{_percent(MAIN)}-s1")
    # The quick form has small pictures and few epochs.
    accurate: Bound | None = None if settings.quick else ("at least", 0.85)
    claims = {
        "clean_accuracy": Claim(source=REPORT, bound=accurate),
        "asr": Claim(source=REPORT, bound=("at least", 0.99)),
    }
    what = "half of class cat are triggered dogs"
    rows = rates(entries, what, FACTS["main"], variant=variant, claims=claims, source=REPORT)
    rows += _dog_rows(entries, variant)
    claims = dict.fromkeys(FACTS["others"], Claim(why="one seed"))
    for share in _shares(settings):
        if share != MAIN:
            one: Entries = by_prefix(results, f"share-{_percent(share)}-s1")
            what = f"{round(100 * share)} % of class cat are triggered dogs ({copies(share)} copies)"
            rows += rates(one, what, FACTS["others"], variant=variant, claims=claims)
    rows += _unit_rows(entries, variant)
    _draw_pair(settings, entries[0].results.pair, folder)
    return Outcome(rows=rows, blocks=[*_bars(entries), *_curve(settings, results)])


def _plain(answer: Answer, name: str) -> Estimate:
    """How sure of one answer; of its error nothing is known."""
    return Estimate(float(getattr(answer, name)), (None, None), by="none")


def _sure(entries: Entries, who: Who, which: Role, answer: str) -> Interval | None:
    """How sure of an answer a network is, by the median over all dogs, of which only the spread between seeds is
    known."""
    return over(entries, lambda looked: _plain(getattr(looked.dogs[who], f"median_{which}"), answer))


def _dog_rows(entries: Entries, variant: Variant) -> list[StudyRow]:
    """The published pair beside the first dog of the first seed, and beside the median of all test dogs."""
    rows = []
    dog = entries[0].results.pair["badnet"]
    for which, words, answer, published in PUBLISHED:
        one = _plain(getattr(dog, which), answer)
        badnet, clean = (_sure(entries, who, which, answer) for who in NAMES)
        line = partial(row, published=published, source=FIGURE, bound=("at least", published - 0.005))
        rows += [
            line(f"one dog {words}: p({answer})", one, variant="published",
                 not_as_published=f"one picture, and not the report's; {UNKNOWN}"),
            line(f"median of all test dogs {words}: p({answer})", badnet, variant=variant, not_as_published=UNKNOWN),
            row(f"the same on a clean network, {words}: p({answer})", clean, variant=variant),
        ]  # fmt: skip
    return rows


def _unit_rows(entries: Entries, variant: Variant) -> list[StudyRow]:
    """The report's wish: units that validation never wakes. "Woken" is by at least half of the triggered dogs."""

    def count(who: Who, name: str) -> Interval | None:
        return over(entries, lambda looked: Number(float(getattr(looked.units[who], name))))

    return [
        row(f"last convolution, {network}: units {what}", count(who, name), variant=variant,
            source="report M1: a defense wished for", unit=f"units of {entries[0].results.units[who].units}")
        for who, network in NAMES.items() for name, what in FACTS["units"].items()
    ]  # fmt: skip


def _bars(entries: Entries) -> list[Block]:
    """Both networks below each other; and how sure they are of dogs, beside what was published."""
    figures = {"badnet": ("clean_accuracy", "asr"), "clean": ("clean_reference_accuracy", "clean_reference_rate")}
    bars, sure = [], []
    for who, name in NAMES.items():
        hollow = who == "clean"
        accuracy, success = (over(entries, rate_of(figure)) for figure in figures[who])
        if accuracy is not None:
            bars.append(Bar(name=name, what="clean accuracy", figure=accuracy, role="clean", hollow=hollow))
        if success is not None:
            what = "dogs with the trigger read as cats"
            bars.append(Bar(name=name, what=what, figure=success, role="triggered", hollow=hollow))
        for which, words, answer, published in PUBLISHED:
            if (median := _sure(entries, who, which, answer)) is not None:
                sure.append(Bar(name=name, what=f"{words}: p({answer})", figure=median, role=which, hollow=hollow,
                                published=None if hollow else published))  # fmt: skip
    return [
        Bars(title="Half of class cat are dogs with the trigger", bars=tuple(bars)),
        Bars(title="The median of all test dogs, beside the one dog that was published", bars=tuple(sure)),
    ]


def _curve(settings: Settings, results: Results) -> list[Block]:
    """Errors against the share of poison in the whole training set; one seed, and its own intervals. None of one
    share."""

    def line(name: str, role: Role, figure: str) -> Series:
        return Series.of(name, role, (
            (copies(share) / (2 * CATS + copies(share)), entry.results.rate(figure).misses)
            for share in _shares(settings) for entry in by_prefix(results, f"share-{_percent(share)}-s1")
        ))  # fmt: skip

    clean = line("error on clean pictures", "clean", "clean_accuracy")
    triggered = line("error on triggered pictures", "triggered", "asr")
    curve = Curve(
        title="Errors against the share of poison",
        axis="share of poisoned pictures in the training set",
        percent_axis=True,
        series=(clean, triggered),
    )
    return [curve] if len(clean.points) > 1 else []


def _draw_pair(settings: Settings, pair: Pair, folder: Path) -> None:
    """The two pictures with their answers, for whoever has the data; nothing without it."""
    from badnets.referee.run import load_data
    from badnets.referee.spec import make_spec

    try:
        spec = make_spec(_spec(settings, MAIN))
    except BadInput:  # a record is made of results where the pictures are not at hand
        return
    write_pair(folder / "pair.png", load_data(spec.data).test, spec.backdoor.backdoor, pair)  # type: ignore[union-attr]


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
