"""Why an audit can tell nothing, as far as that is known before it searches."""

from __future__ import annotations

from badnets.audits.detector import Suspect
from badnets.audits.grounds import null_of
from badnets.core.rate import Rate
from badnets.core.text import brief, percent
from badnets.defenses.repair import DefenderView
from badnets.measures.classification import accuracy
from badnets.networks.inference import predict_data
from badnets.networks.network import ImageNetwork
from badnets.records.finding import Ground

INACCURATE = 0.5
"""Accuracy on clean pictures below which nothing can be said."""
FEW = 100
"""Clean pictures, at least, without references: what is usual of other kinds of networks was measured with 300."""
FEWEST_CLASSES = 4
"""Without references."""
BRING = "bring references (badnets references)"


def unfit(view: DefenderView, notes: list[str]) -> tuple[Rate | None, str | None]:
    """The accuracy on the clean pictures, and why nothing can be told of the network, if so; what is worth a word is
    added to ``notes``."""
    network, data = view.network, view.data
    if data is None:
        return None, None
    answers = predict_data(network, data).labels
    rate = accuracy(answers, data.labels)
    if len(set(answers.tolist())) == 1 and len(set(data.labels.tolist())) > 1:
        always = network.class_names[answers[0]] if answers[0] < network.classes else "refused"
        return rate, f"it answers {brief(always, 40)!r} to every clean picture"
    if rate.ends[1] < INACCURATE:
        return rate, f"accuracy {percent(rate.value)} % on the clean pictures; is the input range right?"
    if len(data) < FEW:
        notes.append(f"{len(data)} clean pictures are few; a hundred or more show smaller triggers")
    missing = network.classes - len(set(data.labels.tolist()))
    if missing and network.classes <= 100:
        notes.append(f"of {missing} classes there is no clean picture: what starts from them is not seen")
    if network.abstains:
        notes.append("the network may refuse an answer; triggers that make it refuse are not looked for")
    return rate, None


def unknown(suspect: Suspect, ground: Ground, *, usual: bool, fewest: int) -> str | None:
    """Why it isn't known how an audit without references ends: ``usual``, that its detectors are those that were
    measured; ``fewest`` clean networks have to be known."""
    network, pictures = suspect.view.network, suspect.view.data is not None
    if network.classes < FEWEST_CLASSES:
        return f"{network.classes} classes are too few to compare them with each other; {BRING}"
    if not usual:
        return f"what these detectors measure in clean networks is not known; take the usual ones, or {BRING}"
    if pictures and len(suspect.pictures) < FEW:
        return (
            f"{len(suspect.pictures)} clean pictures that it reads rightly are too few ({FEW} at least, "
            "without references); bring more, or references (badnets references), or audit it without pictures"
        )
    found = len(null_of(ground, network.input_size, network.classes, None, pictures=pictures))
    return too_few(network, ground, found, fewest) if found < fewest else None


def too_few(network: ImageNetwork, ground: Ground, found: int, fewest: int) -> str:
    """Clean networks to compare with on ``ground``: ``found``, where ``fewest`` are needed."""
    if found:
        return f"{found} clean networks like this one are known, and p as small as asked needs {fewest}; {BRING}"
    size = "x".join(map(str, network.input_size))
    return (
        f"of no clean networks like this one ({network.classes} classes, pictures of {size}) is it known how such an "
        f"audit ends on the ground {ground!r}; {BRING}"
    )
