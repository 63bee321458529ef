"""The certificate of a repair: what it cured, what it cost, and whether the backdoor only sleeps."""

from __future__ import annotations

import torch

from badnets.core.errors import CannotTell
from badnets.core.progress import Watcher
from badnets.core.rate import Rate
from badnets.defenses.repair import FEWEST, Repair, Repaired
from badnets.networks.network import ImageNetwork
from badnets.records.certificate import Certificate, Control
from badnets.referee.bench import Bench, Role
from badnets.referee.case import Interrupted, Opened, RepairCase, check_findings, open_case
from badnets.referee.store import Clock
from badnets.referee.truth import Answers, NothingKnown, by_target

WIDE = 0.10
"""An interval of more than so much to either side is warned of."""


def certify(case: RepairCase, method: Repair, *, watcher: Watcher | None = None) -> Certificate:
    """Repair ``case.model`` with ``method``, write ``case.out`` (whole or not at all), reopen it, measure it.

    Raises ``BadInput`` for what is wrong with files, data or method, ``CannotTell`` when no network came out, and
    ``Interrupted`` on Ctrl-C, after writing what there is.
    """
    clock = Clock()
    check_findings(method, case.model)
    return certified(open_case(case, watcher or Watcher()), method, clock)


def certified(opened: Opened, method: Repair, clock: Clock) -> Certificate:
    """The same of a case that is opened."""
    case = opened.case
    done, network = opened.bench.repaired(method, opened.network, into=case.into)
    if done.stopped == "interrupted":
        steps = f"{len(done.trace)} step{'s' * (len(done.trace) != 1)}"
        raise Interrupted(f"interrupted after {steps}; the network as it was then is in {case.out}, not measured")
    try:
        return certificate(opened, method, done, network, clock)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; the repaired network is in {case.out}, its certificate is not finished"
        ) from None


def certificate(opened: Opened, method: Repair, done: Repaired, network: ImageNetwork, clock: Clock) -> Certificate:
    """The certificate of ``network``, what a repair that is ``done`` made of ``opened.network`` by the ``clock``."""
    clock.lap("data and repair")
    case, bench = opened.case, opened.bench
    before, after = bench.answers(opened.network), bench.answers(network)
    notes = _notes(opened, done, before, after)
    clock.lap("measure")
    networks: dict[Role, ImageNetwork] = {"repaired": network, "backdoored": opened.network}
    control = None
    if opened.clean is not None:
        clean = opened.clean()
        try:
            control, networks["clean_network"] = _control(bench, clean, method)
        except CannotTell as error:
            notes.append(f"On the clean network the repair came to nothing: {error}.")
    clock.lap("clean network")
    again = None
    if case.reactivation and not isinstance(bench.truth, NothingKnown):
        again = bench.reactivation(networks)
        if again is None:
            none = "no gradient comes through the repaired network"
            why = none if len(bench.poisons) else "no picture at hand can be poisoned"
            notes.append(f"Reactivation was not measured: {why}.")
    clock.lap("reactivation")
    first, second = opened.network.state_dict(), network.state_dict()
    same = first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    return opened.record(
        Certificate,
        done,
        before,
        after,
        pictures=done.pictures,
        changed=not same,
        clean_network=control,
        reactivation=again,
        targets=by_target(bench.truth, before, after),
        allowance=case.allowance,
        notes=notes,
        timings_s=clock.laps,
    )


def _notes(opened: Opened, done: Repaired, before: Answers, after: Answers) -> list[str]:
    """What is not known, or hardly, beside what was asked for, and why."""
    notes = []
    if before.hits is not None and before.robust is None:
        notes.append("Robust accuracy is not known: the triggered pictures are labelled with the attacker's target.")
    if opened.clean is None:
        notes.append("What a clean network loses by the same repair is not known: none was given.")
    if done.held_out is not None and done.held_out < FEWEST:
        pictures = f"{done.held_out} clean picture{'s' * (done.held_out != 1)}"
        notes.append(
            f"The repair chose on {pictures} that it had held out, and by fewer than {FEWEST} nothing can be chosen "
            "well; give the defender more."
        )
    for what, yes, kind in (
        ("Clean accuracy", after.right, "test pictures"),
        ("Attack success", after.hits, "triggered pictures"),
    ):
        if yes is None or not len(yes):
            continue
        rate = Rate.of(yes)
        width = max(float(rate) - rate.ends[0], rate.ends[1] - float(rate))
        if width > WIDE:
            notes.append(
                f"{what} after the repair is known to \N{PLUS-MINUS SIGN}{100 * width:.0f} points only: there are "
                f"{len(yes):,} {kind}."
            )
    return notes


def _control(bench: Bench, network: ImageNetwork, method: Repair) -> tuple[Control, ImageNetwork]:
    """A clean network through the same repair, with the same seed and data: what was measured, and what came out."""
    done, repaired = bench.repaired(method, network, what=f"{method.kind}, on a clean network")
    if done.stopped == "interrupted":
        raise KeyboardInterrupt
    before, after = bench.answers(network), bench.answers(repaired)
    control = Control(
        before=before.standing,
        after=after.standing,
        after_minus_before=after.minus(before),
        chosen=done.chosen,
        stopped="budget" if done.stopped else None,
    )
    return control, repaired
