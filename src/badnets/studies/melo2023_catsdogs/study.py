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

import os
from functools import partial
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.rate import Estimate, Mean, over_seeds
from badnets.core.seed import Seed
from badnets.networks.network import ImageNetwork
from badnets.records.blocks import Bar, Bars, Block, Curve, Point, Role, Series
from badnets.records.model import JSON
from badnets.records.study import StudyRow, Variant
from badnets.studies.melo2023_catsdogs.looks import NAMES, Dogs, Pair, Units, Who, dogs_answers, unit_counts, write_pair
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
    numbers,
    over,
    rate_of,
    rates,
    row,
)
from badnets.studies.trials import by_prefix, done_of

REPORT = "report M1 (no rates given)"
FIGURE = "report M1, figure: one picture"
DATA = "cats-dogs.tar.gz"
CATS = 1000
"""Training pictures of class cat; a share of the class cat that is poisoned is reached by adding to these."""
SHARES = (0.02, 0.05, 0.10, 0.25, 0.50)
QUICK_SHARES = (0.10, 0.50)
MAIN = 0.50
FIGURES = {
    "clean_accuracy": "clean accuracy",
    "asr": "attack success",
    "clean_reference_rate": "the same on a clean network",
}
MAIN_FIGURES = {
    "clean_accuracy": "clean accuracy",
    "clean_reference_accuracy": "clean accuracy of the clean network",
    "asr": "attack success, dogs with the trigger read as cats",
    "clean_reference_rate": "the same on a clean network",
}
PUBLISHED = (("clean", "dog", 0.91), ("triggered", "cat", 1.0))
"""Of one dog, without and with the trigger: the answer, and how sure of it the network was."""
UNKNOWN = "the report's pictures, network, size and trigger are not known"
NETWORK = "resnet9"
RECIPE: JSON = {
    "epochs": 40,
    "batch": 16,
    "learning_rate": 3e-3,
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "augment": ["flip", "light", "zoom"],
}


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
        spec = _spec(settings, share)
        seeds = range(1, settings.seeds + 1) if share == MAIN else (1,)
        out += [
            Trial(name=f"share-{_percent(share)}-s{seed}", spec=spec, seed=seed, work=_one, result=Looked)
            for seed in seeds
        ]
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
        "network": NETWORK,
        "recipe": {**RECIPE, "epochs": 10} if settings.quick else RECIPE,
        "backdoor": {
            "trigger": {"kind": "picture", "size": 0.25, **_picture(settings)},
            "rule": {"kind": "source-to-target", "source": "dogs", "target": "cats"},
            "poison": {"count": copies(share), "mode": "add"},
        },
    }


def find_data(settings: Settings) -> Path:
    """The archive: at ``--data`` itself, or in that folder or ``$BADNETS_DATA``."""
    named = settings.data or os.environ.get("BADNETS_DATA")
    if not named:
        raise BadInput(f"expected {DATA} by --data or in $BADNETS_DATA, got neither; name the folder that has it")
    place = Path(named).expanduser()
    found = next((path for path in (place / DATA, place) if path.is_file()), None)
    if found is None:
        raise BadInput(f"expected {DATA} in {place}, got nothing of that name; check --data or $BADNETS_DATA")
    return found


def _picture(settings: Settings) -> JSON:
    """The bomb, embedded at most 64 pixels large, so that trials and records stay small; nothing where it is absent."""
    from badnets.backdoors.triggers.sticker import read_png

    path = find_data(settings).parent / "triggers" / "bomb.png"
    return {"png": read_png(path, largest=64)} if path.exists() else {}


def _one(trial: Trial, own: Path) -> Done[Looked]:
    """Train and measure as usual, then look at one dog, at all dogs' confidences, and at the units."""
    from badnets.networks.files.own import open_network
    from badnets.referee.reference import clean_reference
    from badnets.referee.run import load_data, run_seed
    from badnets.referee.spec import make_spec

    spec = make_spec({**trial.spec, "seeds": [trial.seed]}, where=f"trial {trial.name}")
    seed, data = Seed(trial.seed), load_data(spec.data)
    done = done_of(run_seed(spec, trial.seed, data, own, Watcher(), pictures=False))
    badnet = open_network(own / f"seed-{trial.seed}" / "network.safetensors")
    clean, _ = clean_reference(spec, data.train, seed)
    backdoor = spec.backdoor.backdoor  # type: ignore[union-attr]  # every trial has one
    dogs = dogs_answers(badnet, data.test, backdoor)
    same = dogs_answers(clean, data.test, backdoor, row=dogs.first.row)
    networks: dict[Who, ImageNetwork] = {"badnet": badnet, "clean": clean}
    looked = Looked(
        **dict(done.results),
        dogs={"badnet": dogs, "clean": same},
        units={who: unit_counts(network, data.test, backdoor) for who, network in networks.items()},
    )
    return Done(looked, done.timings_s)


def assemble(settings: Settings, results: Results, folder: Path) -> Outcome:
    """Rates of the main share, the one picture, the other shares, the units."""
    variant: Variant = "quick" if settings.quick else "corrected"
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
    rows = rates(entries, what, MAIN_FIGURES, variant=variant, claims=claims, source=REPORT)
    rows += _dog_rows(entries, variant)
    for share in _shares(settings):
        if share != MAIN:
            one: Entries = by_prefix(results, f"share-{_percent(share)}-s1")
            what = f"{round(100 * share)} % of class cat are triggered dogs ({copies(share)} copies)"
            claims = {name: Claim(why="one seed") for name in FIGURES}
            rows += rates(one, what, FIGURES, variant=variant, claims=claims)
    rows += _unit_rows(entries, variant)
    _draw_pair(settings, entries[0].results.pair, folder)
    return Outcome(rows=rows, blocks=[*_bars(entries), *_curve(settings, results)])


def _sure(entries: Entries, who: Who, which: str, answer: str) -> Estimate | Mean[Estimate]:
    """How sure of an answer a network is, by the median over all dogs (``which``: "median_clean"), of which only the
    spread between seeds is known."""
    medians = [float(getattr(getattr(entry.results.dogs[who], which), answer)) for entry in entries]
    return over_seeds([entry.seed for entry in entries], [Estimate(one, (None, None), by="none") for one in medians])


def _dog_rows(entries: Entries, variant: Variant) -> list[StudyRow]:
    """The published pair beside the first dog of the first seed, and beside the median of all test dogs."""
    rows = []
    for which, answer, published in PUBLISHED:
        words = "with the trigger" if which == "triggered" else "without it"
        dog = entries[0].results.dogs["badnet"].first
        one = Estimate(float(getattr(getattr(dog, which), answer)), (None, None), by="none")
        badnet, clean = (_sure(entries, who, f"median_{which}", answer) for who in NAMES)
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
    words = {
        "silent": "never active on clean validation pictures",
        "woken": "never active there, but active on half of the triggered dogs",
        "beyond": "driven by half of the triggered dogs above any validation picture",
    }
    rows = []
    seeds = [entry.seed for entry in entries]
    for who, network in NAMES.items():
        counts = [entry.results.units[who] for entry in entries]
        for key, what in words.items():
            figure = numbers(seeds, [float(getattr(one, key)) for one in counts])
            rows.append(
                row(f"last convolution, {network}: units {what}", figure, variant=variant,
                    source="report M1: a defense wished for", unit=f"units of {counts[0].units}")
            )  # fmt: skip
    return rows


def _bars(entries: Entries) -> list[Block]:
    """Both networks below each other; and how sure they are of dogs, beside what was published."""
    roles: tuple[tuple[str, Role], ...] = (
        ("clean accuracy", "clean"),
        ("dogs with the trigger read as cats", "triggered"),
    )
    figures = {"badnet": ("clean_accuracy", "asr"), "clean": ("clean_reference_accuracy", "clean_reference_rate")}
    bars = []
    sure = []
    for who, name in NAMES.items():
        for figure, (what, role) in zip(figures[who], roles, strict=True):
            if (found := over(entries, rate_of(figure))) is not None:
                bars.append(Bar(name=name, what=what, figure=found, role=role, hollow=who == "clean"))
        for which, answer, published in PUBLISHED:
            median = _sure(entries, who, f"median_{which}", answer)
            role = "triggered" if which == "triggered" else "clean"
            words = "with the trigger: p(cat)" if which == "triggered" else "without it: p(dog)"
            told = published if who == "badnet" else None
            sure.append(Bar(name=name, what=words, figure=median, role=role, hollow=who == "clean", published=told))
    return [
        Bars(title="Half of class cat are dogs with the trigger", bars=tuple(bars)),
        Bars(title="The median of all test dogs, beside the one dog that was published", bars=tuple(sure)),
    ]


def _curve(settings: Settings, results: Results) -> list[Block]:
    """Errors against the share of poison in the whole training set; one seed, and its own intervals. None of one
    share."""

    def line(name: str, role: Role, figure: str) -> Series:
        shares = [(share, by_prefix(results, f"share-{_percent(share)}-s1")) for share in _shares(settings)]
        points = [
            Point(x=copies(share) / (2 * CATS + copies(share)), figure=entry.results.rate(figure).misses)
            for share, entries in shares
            for entry in entries
        ]
        return Series(name=name, role=role, points=tuple(points))

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


STUDY = Study(
    name="melo2023-catsdogs",
    title="Dogs with a picture on them are called cats",
    published="Half of the training pictures of class cat were dogs with a picture pasted on. One dog is shown: dog "
    "0.91, with the picture cat 1.00. The report has no rates.",
    summary="cats against dogs with a picture as the trigger: rates, one dog, the share of poison, silent units",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
