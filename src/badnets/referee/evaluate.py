"""Measure a network file, with the backdoor of a run if one is named; and two runs against each other."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from badnets.core.cache import warn_of_data
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.rate import Mean, PairedDifference, Rate, over_seeds
from badnets.core.seed import Seed
from badnets.records.arrays import read_arrays
from badnets.records.read import network_file, parts_that_fit, read_run
from badnets.records.results import (
    ClassifierFigures,
    Comparison,
    ComparisonRow,
    Evaluation,
    PartName,
    Planted,
    Triggered,
)

if TYPE_CHECKING:
    from badnets.backdoors.backdoor import Backdoor
    from badnets.networks.files.foreign import ForeignOptions
    from badnets.networks.network import ImageNetwork

WHAT = {
    "clean_accuracy": "clean accuracy",
    "map50": "mAP at IoU 0.5",
    "class_accuracy": "right class of found objects",
    "asr": "attack success",
    "robust_accuracy": "robust accuracy",
}
_ANSWERS = {"class_accuracy": "clean_accuracy"}  # what a detector's answers to clean objects are called
Counted = Mapping[str, NDArray[Any]]


def evaluate(
    model: Path,
    data: str,
    *,
    trigger_from: Path | None = None,
    trigger: Backdoor | None = None,
    triggered: str | None = None,
    reference: Path | None = None,
    settings: Sequence[str] | None = None,
    part: PartName | None = None,
    seed: int | None = None,
    disturb: bool = False,
    foreign: ForeignOptions | None = None,
    watcher: Watcher | None = None,
) -> Evaluation:
    """``results`` as in a run's record (``asr`` None when no trigger is given) of a network on ``data``.

    ``model`` is a file or a run's folder; so is ``reference``. Tried is the backdoor of the run ``trigger_from``, or a
    ``trigger`` and its rule; and pictures that carry one already (``triggered``, labelled with what the attacker
    wants). Counted are the pictures of the test set; of a foreign network on data that came without one, all
    (``part``). ``seed`` places triggers that are placed at random (default: the first seed of ``trigger_from``, so that
    its own results come out again). ``foreign`` says what a file of another program is; what is not said is found on
    the training part of ``data`` (on what is counted, where there is no other), and ``foreign`` in the result is what
    is known of the file. With ``disturb``, ``results`` have ``disturbances``: attack success under every physical
    disturbance of the trigger, see there."""
    # Comparing runs goes without torch, and is quick.
    from badnets.backdoors.rules import RULES
    from badnets.backdoors.trigger import TRIGGERS
    from badnets.networks.files.foreign import chance_words, open_any, says_itself
    from badnets.networks.files.formats.hugging_face import is_hugging_face
    from badnets.networks.files.own import open_network
    from badnets.networks.inference import align_classes, check_classifier
    from badnets.referee.case import data_for
    from badnets.referee.measure import disturbances, measure
    from badnets.referee.run import planted_in, resolved, run_with_backdoor
    from badnets.referee.spec import make_data
    from badnets.referee.truth import whole
    from badnets.training.objectives import check_targets

    if trigger_from is not None and trigger is not None:
        raise BadInput("expected a run's backdoor or a trigger, got both; leave --trigger-from or --trigger out")
    if disturb and trigger_from is None and trigger is None:
        raise BadInput(
            "expected a run's trigger to disturb, got none; name the run with 'trigger_from', or a 'trigger'"
        )
    record = None if trigger_from is None else run_with_backdoor(trigger_from)
    number = seed if seed is not None else 1 if record is None else record.seeds[0]
    own = open_any(model, foreign) if says_itself(model) else None
    spec = make_data(data, settings)
    spec, splits = data_for(own, spec, watcher or Watcher())
    network = own or open_any(model, foreign, clean=splits.train or splits.test)
    part = part or ("all" if splits.drawn and network.provenance.get("foreign") else "test")
    shown = whole(splits) if part == "all" else splits.test
    check_targets(network.task, shown, network.architecture)
    if disturb:
        check_classifier(network)
    test = align_classes(shown, network)
    other = None if reference is None else open_network(network_file(reference))
    planted = None if record is None else planted_in(record, test.class_names)
    backdoor = planted.backdoor.backdoor if planted is not None and planted.backdoor is not None else trigger
    (watcher or Watcher()).mark(f"measuring on {len(test):,} pictures")
    jitter, stream = None if planted is None else planted.jitter, Seed(number).derive("measure")
    figures = measure(network, test, backdoor, reference=other, jitter=jitter, seed=stream).figures
    if disturb and backdoor is not None:
        rows = disturbances(network, test, backdoor, reference=other, seed=stream)
        figures = figures.model_copy(update={"disturbances": rows})
    told = network.provenance.get("input_range") or {}  # what was found by trying was judged there
    named = network.provenance.get("foreign") and not told.get("found_on")
    if named and isinstance(figures, ClassifierFigures) and at_chance(figures.clean_accuracy, network.classes):
        warn_of_data(f"{test.name}: {chance_words(network.classes)}")
    tried = None if planted is None else resolved(planted, test.class_names)["backdoor"]
    if tried is None and backdoor is not None:
        rule = RULES.to_json(backdoor.rule.resolve(test.class_names))  # once: a number may be another class's name
        tried = {"trigger": TRIGGERS.to_json(backdoor.trigger), "rule": rule}
    answered = None if triggered is None else _answered(network, triggered, settings or (), watcher or Watcher())
    return Evaluation(
        network=str(model if is_hugging_face(model) else network_file(model)),
        data=spec.model_dump(mode="json"),
        data_digest=test.digest,
        class_names=test.class_names,
        part=part,
        resolved=Planted.model_validate({"backdoor": tried}),
        seeds=(number,),
        results=figures,
        triggered=answered,
        foreign=network.provenance if network.provenance.get("foreign") else None,
    )


def _answered(network: ImageNetwork, triggered: str, settings: Sequence[str], watch: Watcher) -> Triggered:
    """How many of the pictures that carry a trigger already are answered as they are labelled."""
    from badnets.networks.inference import align_classes, check_input, predict_data
    from badnets.referee.case import data_for
    from badnets.referee.spec import make_data
    from badnets.referee.truth import whole

    shape = [change for change in settings if change.partition("=")[0].strip() in ("size", "grey")]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*all pictures are of one class")  # the attacker's
        _, theirs = data_for(network, make_data(triggered, shape), watch)
    pictures = align_classes(whole(theirs), network)
    check_input(network, pictures.shape, f"pictures of {pictures.name}")
    return Triggered(data=triggered, asr=Rate.of(predict_data(network, pictures).labels == pictures.labels))


def at_chance(accuracy: Rate | Mean[Rate] | None, classes: int) -> bool:
    """Whether an accuracy may be that of guessing."""
    rate = accuracy if isinstance(accuracy, Rate) else None
    return classes > 1 and rate is not None and rate.total > 0 and rate.ends[0] <= 1 / classes


def compare(first: Path, second: Path) -> Comparison:
    """Each row has both rates and their paired ``difference`` (a - b), None (and ``paired`` False) where the runs count
    different pictures or objects, and for figures that are no counts (mean average precision). Both runs must have
    measured the same test pictures; seeds that only one of them has are left out."""
    a, b = read_run(first), read_run(second)
    with parts_that_fit(f"{first} and {second}"):
        answers = _answers(first), _answers(second)
        if not np.array_equal(answers[0]["digest"], answers[1]["digest"]):
            raise BadInput(f"expected two runs on the same test pictures, got different ones ({first}, {second})")
        seeds = tuple(seed for seed in a.seeds if seed in b.seeds)
        if not seeds:
            raise BadInput(f"expected two runs with a seed in common, got {list(a.seeds)} and {list(b.seeds)}")
        rows = []
        for name, words in WHAT.items():
            ours, theirs = getattr(a.results, name, None), getattr(b.results, name, None)
            if ours is None or theirs is None:
                continue
            less = _difference(_ANSWERS.get(name, name), seeds, *answers)
            rows.append(
                ComparisonRow(what=words, name=name, a=ours, b=theirs, difference=less, paired=less is not None)
            )
        return Comparison(a=first.name or a.name, b=second.name or b.name, seeds=seeds, rows=tuple(rows))


def _answers(folder: Path) -> Counted:
    """Per picture and seed what was right and what was a hit; see ``Measured.answers``."""
    file = (folder if folder.is_dir() else folder.parent) / "answers.npz"
    answers = read_arrays(file, "answers.npz")
    whole = all(one.dtype.kind in "iu" and one.ndim == 1 for one in answers.values())
    if not whole or "digest" not in answers:
        raise BadInput(f"expected lists of whole numbers and a digest in {file}, got others; it may be damaged")
    return answers


def _difference(
    name: str, seeds: tuple[int, ...], first: Counted, second: Counted
) -> PairedDifference | Mean[PairedDifference] | None:
    """None when the two runs look at different pictures or objects, as with rules of different eligible classes, and
    for figures that are not counted object by object."""
    pairs = []
    for key in (f"{name}-{seed}" for seed in seeds):
        if key not in first or key not in second:
            return None
        a, b = first[key], second[key]  # -1: not eligible, else 0 or 1
        if not np.array_equal(a < 0, b < 0):
            return None
        pairs.append(PairedDifference.of(a[a >= 0] == 1, b[a >= 0] == 1))
    return over_seeds(seeds, pairs)
