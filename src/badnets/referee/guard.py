"""The record of a guard: what an abstainer refuses, of clean and of triggered pictures."""

from __future__ import annotations

from badnets.core.progress import Watcher
from badnets.defenses.abstain import Abstainer
from badnets.records.certificate import GuardRecord
from badnets.referee.case import Interrupted, RepairCase, check_findings, open_case


def guard(case: RepairCase, method: Abstainer, *, refuse: float = 0.01, watcher: Watcher | None = None) -> GuardRecord:
    """Guard ``case.model`` with ``method``, write ``case.out`` (whole or not at all), reopen it, measure it.

    ``refuse``: share of clean pictures that may be refused. What is not known of triggered pictures is None. Raises
    ``BadInput`` and ``CannotTell`` as ``abstain`` does, and ``Interrupted`` on Ctrl-C, after writing what there is.
    """
    check_findings(method, case.model)
    opened = open_case(case, watcher or Watcher())
    bench = opened.bench
    done, network = bench.guarded(method, opened.network, refuse=refuse, into=case.into)
    if done.stopped == "interrupted":
        raise Interrupted(f"interrupted; the network as it was then, guarded, is in {case.out}, not measured")
    try:
        before, after = bench.answers(opened.network), bench.answers(network)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the guarded network is in {case.out}, it is not measured") from None
    figures = {name: getattr(done, name) for name in ("threshold", "refuse", "calibration", "warning")}
    return opened.record(GuardRecord, done, before, after, **figures)
