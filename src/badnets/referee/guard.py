"""The referee of an abstainer: lets the method see what a defender sees, writes the guarded network, reopens it, and
measures what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np

from badnets.core.files import file_digest
from badnets.core.progress import Watcher
from badnets.core.rate import Rate
from badnets.core.seed import Seed
from badnets.defenses.abstain import Abstainer, abstain
from badnets.defenses.view import DefenderView
from badnets.networks.files.own import open_network, save_network
from badnets.referee.certify import Bench, Interrupted, RepairCase
from badnets.referee.record import commit, environment
from badnets.referee.truth import Answers

FORMAT = "badnets/guard/1"


def guard(
    case: RepairCase, method: Abstainer, *, refuse: float = 0.01, watcher: Watcher | None = None
) -> dict[str, Any]:
    """Guard ``case.model`` with ``method``, write ``case.out`` (whole or not at all), reopen it, measure it.

    ``refuse``: share of clean pictures that may be refused. Returns JSON: ``before`` and ``after`` as in a certificate,
    in ``after`` also ``refused`` (of clean pictures), ``refused_triggered`` and ``refused_or_right`` (of eligible
    triggered pictures: refused, or predicted as their true class); these are None where the truth is not known.
    Raises ``BadInput`` and ``CannotTell`` as ``abstain`` does, and ``Interrupted`` on Ctrl-C, after writing what there
    is.
    """
    watch = watcher or Watcher()
    bench = Bench.of(case, watch)
    view = DefenderView(network=bench.network, data=bench.defender, seed=Seed(case.seed), budget_s=case.budget_s)
    guarded = abstain(view, method, refuse=refuse, on_row=watch.progress)
    guarded.network.provenance = {**bench.network.provenance, "guarded": guarded.method}
    save_network(guarded.network, case.out)
    if guarded.stopped == "interrupted":
        raise Interrupted(f"interrupted; the network as it was then, guarded, is in {case.out}, not measured")
    try:
        before, after = (bench.truth.measure(n, bench.test) for n in (bench.network, open_network(case.out)))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the guarded network is in {case.out}, it is not measured") from None
    return {
        "format": FORMAT,
        "network": str(case.out),
        "model": str(case.model),
        "architecture": bench.network.architecture,
        "data": bench.spec.model_dump(mode="json"),
        "data_digest": bench.test.digest,
        "class_names": list(bench.test.class_names),
        "defender": {"pictures": len(bench.defender), "digest": bench.defender.digest, "seed": case.seed},
        "truth": {"trigger_from": case.trigger_from, "triggered": case.triggered},
        **guarded.to_json(),
        "seconds": round(guarded.seconds, 3),
        "before": before.to_json(),
        "after": {**after.to_json(), "refused_or_right": _refused_or_right(after)},
        "after_minus_before": after.minus(before),
        "command": case.command,
        "environment": environment("fp32"),
        "commit": commit(),
        "files": {case.out.name: file_digest(case.out)},
    }


def _refused_or_right(answers: Answers) -> dict[str, Any] | None:
    if answers.robust is None or answers.refused_triggered is None:
        return None
    return Rate.of(np.logical_or(answers.robust, answers.refused_triggered)).to_json()
