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

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from badnets.backdoors.backdoor import Backdoor
from badnets.backdoors.triggers.picture import read_png
from badnets.core.errors import BadInput
from badnets.core.files import whole_file
from badnets.core.rate import Estimate, Interval
from badnets.core.seed import RowRng, Seed
from badnets.data.images import ImageData, Pixels, Rows
from badnets.networks.inference import predict
from badnets.networks.network import ImageNetwork, evaluating
from badnets.networks.surgery.graph import site, until
from badnets.records.blocks import Bar, Bars, Block, Role
from badnets.records.model import JSON, Model
from badnets.records.study import StudyRow, Variant
from badnets.referee.data import load_data
from badnets.referee.spec import make_spec
from badnets.studies.figures import Bound, figure_curve, rates, row, seed_mean
from badnets.studies.study import Done, Outcome, Results, Settings, Study, Trained, Trial, Trials, by_prefix, facts
from badnets.studies.trials import Planted, Who

FACTS = facts(__package__)
REPORT: str = FACTS["report"]
DATA = "cats-dogs.tar.gz"
CATS = 1000
"""Training pictures of class cat; a share of the class cat that is poisoned is reached by adding to these."""
SHARES = (0.02, 0.05, 0.10, 0.25, 0.50)
QUICK_SHARES = (0.10, 0.50)
MAIN = 0.50
CAT, DOG = 0, 1
NAMES: Mapping[Who, str] = {"badnet": "BadNet", "clean": "clean network"}
_SCALE, _GAP, _LINE = 4, 12, 16
_PAPER, _COLORS = "#ffffff", {"cat": "#b4500b", "dog": "#1565a9"}


class Answer(Model):
    """How sure of each class a network is, 0..1."""

    cat: float
    dog: float


class Dog(Model):
    """A test dog: its row, and the answers to it without and with the trigger."""

    row: int
    clean: Answer
    triggered: Answer


class Dogs(Model):
    """The ``first`` test dog, and the medians over all of them."""

    first: Dog
    median_clean: Answer
    median_triggered: Answer


class Units(Model):
    """``units`` of the last convolution whose channels can be told apart, by their largest activation over the map.

    ``silent``: never above 0 on any validation picture; ``woken``: silent there, and above 0 on at least half of the
    triggered dogs; ``beyond``: on at least half of them above the largest value of any validation picture.
    """

    units: int
    silent: int
    woken: int
    beyond: int


Pair = Mapping[Who, Dog]
"""One dog: what each network says to it."""


class Looked(Trained):
    """The figures of one seed, and what a look at both networks' dogs and units gave."""

    dogs: dict[Who, Dogs]
    units: dict[Who, Units]

    @property
    def pair(self) -> Pair:
        """The first dog: what both networks say to it."""
        return {who: dogs.first for who, dogs in self.dogs.items()}


def trials(settings: Settings) -> list[Trial]:
    """Half of class cat with every seed, the other shares with one."""
    out = []
    for share in sorted(_shares(settings), reverse=True):
        spec, name = _spec(settings, share), f"share-{100 * share:02.0f}-s"
        seeds = settings.each_seed if share == MAIN else (1,)
        out += [Trial(name=f"{name}{seed}", spec=spec, seed=seed, work=_one, result=Looked) for seed in seeds]
    return out


def _shares(settings: Settings) -> tuple[float, ...]:
    return QUICK_SHARES if settings.quick else SHARES


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
    for path in (place / DATA, place):
        if path.is_file():
            return path
    raise BadInput(f"expected {DATA} in {place}, got nothing of that name; check --data or $BADNETS_DATA")


def _picture(settings: Settings) -> JSON:
    """The bomb, embedded at most 64 pixels large, so that trials and records stay small; nothing where it is absent."""
    path = find_data(settings).parent / "triggers" / "bomb.png"
    return {"png": read_png(path, largest=64)} if path.exists() else {}


def _one(trial: Trial, folder: Path) -> Done[Looked]:
    """Train and measure as usual, then look at one dog, at all dogs' confidences, and at the units."""
    planted = Planted(trial, folder)
    test, backdoor, networks = planted.data.test, planted.backdoor, planted.networks()
    dogs = dogs_answers(networks["badnet"], test, backdoor)
    looked = Looked(
        **dict(planted.done.results),
        dogs={"badnet": dogs, "clean": dogs_answers(networks["clean"], test, backdoor, row=dogs.first.row)},
        units={who: unit_counts(network, test, backdoor) for who, network in networks.items()},
    )
    return Done(looked, planted.done.timings_s)


def dogs_answers(network: ImageNetwork, test: ImageData, backdoor: Backdoor, *, row: int | None = None) -> Dogs:
    """What is said of dogs, the first of which is the first test dog read as a dog (or picture ``row``).

    Classes are cats and dogs, in this order. Where no dog is read as one, it is the first of all.
    """
    rows = np.flatnonzero(test.labels == DOG)
    clean, triggered = (_probabilities(network, part) for part in pictures(test, rows, backdoor))
    first = int(np.argmax(clean[:, DOG] > 0.5 if row is None else rows == row))
    return Dogs(
        first=Dog(row=int(rows[first]), clean=_answer(clean[first]), triggered=_answer(triggered[first])),
        median_clean=_answer(np.median(clean, axis=0)),
        median_triggered=_answer(np.median(triggered, axis=0)),
    )


def pictures(test: ImageData, rows: Rows, backdoor: Backdoor) -> tuple[Pixels, Pixels]:
    """Some test pictures, and the same with the trigger."""
    clean = test.images(rows)
    return clean, backdoor.trigger.apply(clean, None, RowRng(Seed(0), rows))


def _probabilities(network: ImageNetwork, images: Pixels) -> NDArray[np.float64]:
    """(n, 2), from the answer and its confidence."""
    answer = predict(network, images)
    sure = answer.confidence.astype(np.float64)
    cat = np.where(answer.labels == CAT, sure, 1 - sure)
    return np.stack([cat, 1 - cat], axis=1)


def _answer(values: NDArray[np.float64]) -> Answer:
    cat, dog = (round(float(value), 4) for value in values)
    return Answer(cat=cat, dog=dog)


def unit_counts(network: ImageNetwork, test: ImageData, backdoor: Backdoor) -> Units:
    """The even rows of the test set stand for the user's validation pictures; the dogs of the odd rows get the
    trigger."""
    rows = np.arange(len(test))
    _, marked = pictures(test, rows[(rows % 2 == 1) & (test.labels == DOG)], backdoor)
    most = peaks(network, test.images(rows[::2])).max(axis=0)
    triggered = peaks(network, marked)
    silent = most <= 0
    woken = silent & ((triggered > 0).mean(axis=0) >= 0.5)
    beyond = (triggered > most).mean(axis=0) >= 0.5
    counts = {"silent": silent, "woken": woken, "beyond": beyond}
    return Units(units=len(most), **{name: int(np.count_nonzero(chosen)) for name, chosen in counts.items()})


@torch.inference_mode()
def peaks(network: ImageNetwork, images: Pixels, *, batch: int = 250) -> NDArray[np.float32]:
    """(n, units): the largest activation of each unit over its map."""
    where = site(network)
    parts = []
    with evaluating(network):
        first = until(where.traced, where.activation)
        for start in range(0, len(images), batch):
            maps = first(network.normalized(network.floats(images[start : start + batch])))
            parts.append(maps.reshape(len(maps), where.channels, -1).amax(2).cpu().numpy())
    return np.concatenate(parts)


def write_pair(path: Path, test: ImageData, backdoor: Backdoor, pair: Pair) -> Path:
    """A PNG: the dog without and with the trigger, as the network sees it, and below each what both networks say."""
    row = np.array([pair["badnet"].row])
    height, width, _ = test.shape
    tall, wide = height * _SCALE, width * _SCALE
    sheet = Image.new("RGB", (2 * wide + 3 * _GAP, tall + 2 * _GAP + 2 * _LINE), _PAPER)
    draw = ImageDraw.Draw(sheet)
    both = zip(("clean", "triggered"), pictures(test, row, backdoor), strict=True)
    for number, (which, picture) in enumerate(both):
        x = _GAP + number * (wide + _GAP)
        sheet.paste(Image.fromarray(picture[0]).resize((wide, tall), Image.Resampling.NEAREST), (x, _GAP))
        for line, (who, words) in enumerate(NAMES.items()):
            answer: Answer = getattr(pair[who], which)
            sure, said = max((answer.cat, "cat"), (answer.dog, "dog"))
            text = f"{words}: {said} {sure:.2f}"
            draw.text((x, _GAP + tall + 4 + line * _LINE), text, fill=_COLORS[said], font_size=12)
    with whole_file(path) as partial:
        sheet.save(partial, format="PNG")
    return path


def assemble(settings: Settings, results: Results, folder: Path) -> Outcome:
    """Rates of the main share, the one picture, the other shares, the units."""
    variant = settings.variant()
    trials = by_prefix(results, f"share-{100 * MAIN:02.0f}-s")
    if not trials:
        raise KeyError(f"share-{100 * MAIN:02.0f}-s1")
    # The quick form has small pictures and few epochs.
    accurate: Bound | None = None if settings.quick else ("at least", 0.85)
    claims: JSON = {"clean_accuracy": {"bound": accurate}, "asr": {"bound": ("at least", 0.99)}}
    what = "half of class cat are triggered dogs"
    rows = rates(trials, what, FACTS["main"], claims, variant=variant, source=REPORT)
    rows += _dog_rows(trials, variant)
    places = {}
    for share in _shares(settings):
        one = by_prefix(results, f"share-{100 * share:02.0f}-s1")[:1]
        places[copies(share) / (2 * CATS + copies(share))] = one
        if share != MAIN:
            what = f"{round(100 * share)} % of class cat are triggered dogs ({copies(share)} copies)"
            rows += rates(one, what, FACTS["others"], variant=variant, why="one seed")
    for who, network in NAMES.items():  # the report's wish: units that validation never wakes
        of = f"units of {trials[0].results.units[who].units}"
        rows += [
            row(f"last convolution, {network}: units {words}", seed_mean(trials, f"units.{who}.{name}"),
                variant=variant, source="report M1: a defense wished for", unit=of)
            for name, words in FACTS["units"].items()
        ]  # fmt: skip
    _draw_pair(settings, trials[0].results.pair, folder)
    curve = figure_curve(FACTS["curve"], places)
    return Outcome(rows=rows, blocks=[*_bars(trials), *([curve] if len(curve.series[0].points) > 1 else [])])


def _sureness(answer: Answer, name: str) -> Estimate:
    """How sure of one answer; of its error nothing is known."""
    return Estimate(float(getattr(answer, name)), (None, None), by="none")


def _median(trials: Trials, who: Who, published: JSON) -> Interval | None:
    """How sure of an answer a network is, by the median over all dogs, of which only the spread between seeds is
    known."""
    median, answer = f"median_{published['role']}", published["answer"]
    return seed_mean(trials, lambda looked: _sureness(getattr(looked.dogs[who], median), answer))


def _dog_rows(trials: Trials, variant: Variant) -> list[StudyRow]:
    """The published pair beside the first dog of the first seed, and beside the median of all test dogs."""
    rows = []
    dog, unknown = trials[0].results.pair["badnet"], FACTS["unknown"]
    for entry in FACTS["published"]:
        said = f"{entry['words']}: p({entry['answer']})"
        claim = {"published": entry["sure"], "source": FACTS["figure"], "bound": ("at least", entry["sure"] - 0.005)}
        rows += [
            row(f"one dog {said}", _sureness(getattr(dog, entry["role"]), entry["answer"]), variant="published",
                not_as_published=f"one picture, and not the report's; {unknown}", **claim),
            row(f"median of all test dogs {said}", _median(trials, "badnet", entry), variant=variant,
                not_as_published=unknown, **claim),
            row(f"the same on a clean network, {said}", _median(trials, "clean", entry), variant=variant),
        ]  # fmt: skip
    return rows


def _bars(trials: Trials) -> list[Block]:
    """Both networks below each other; and how sure they are of dogs, beside what was published."""
    figures = {"badnet": ("clean_accuracy", "asr"), "clean": ("clean_reference_accuracy", "clean_reference_rate")}
    bars, sure = [], []
    for who, name in NAMES.items():
        hollow = who == "clean"
        shown: list[tuple[str, Role]] = [
            ("clean accuracy", "clean"),
            ("dogs with the trigger read as cats", "triggered"),
        ]
        for figure, (what, role) in zip(figures[who], shown, strict=True):
            if (value := seed_mean(trials, f"figures.{figure}")) is not None:
                bars.append(Bar(name=name, what=what, figure=value, role=role, hollow=hollow))
        sure += [
            Bar(name=name, what=f"{entry['words']}: p({entry['answer']})", figure=median, role=entry["role"],
                hollow=hollow, published=None if hollow else entry["sure"])
            for entry in FACTS["published"] if (median := _median(trials, who, entry)) is not None
        ]  # fmt: skip
    return [
        Bars(title="Half of class cat are dogs with the trigger", bars=tuple(bars)),
        Bars(title="The median of all test dogs, beside the one dog that was published", bars=tuple(sure)),
    ]


def _draw_pair(settings: Settings, pair: Pair, folder: Path) -> None:
    """The two pictures with their answers, for whoever has the data; nothing without it."""
    try:
        spec = make_spec(_spec(settings, MAIN))
    except BadInput:  # a record is made of results where the pictures are not at hand
        return
    write_pair(folder / "pair.png", load_data(spec.data).test, spec.backdoor.backdoor, pair)  # type: ignore[union-attr]


STUDY = Study(**FACTS["study"], trials=trials, assemble=assemble)
