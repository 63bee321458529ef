"""``badnets cure``: audit a network, repair what was found, and certify it, in one command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Option

from badnets.cli.audits import write_finding
from badnets.cli.console import Ended, command, in_options
from badnets.cli.defend import told, written
from badnets.cli.options import Case, Foreign, command_line, settings
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher

if TYPE_CHECKING:
    from badnets.records.finding import Finding
    from badnets.referee.case import RepairCase

FORMAT = "badnets/cure/1"


class _NothingToCureError(Exception):
    """The audit found nothing, or could not tell: no network is written."""


@command
def cure_command(
    watcher: Watcher,
    case: Case,
    out: Path = Option(
        ...,
        help="The cured network, a .safetensors file; its certificate (.json, .html) and the finding lie beside it.",
    ),
    references: str | None = Option(
        None, metavar="DIR|DATA", help="Clean networks of the same kind for the audit, or data to train 39 on."
    ),
    anyway: bool = Option(
        False, "--anyway", help="Repair also where the audit finds nothing: its most suspicious class."
    ),
    set_: list[str] = settings("A setting of the data: --set data.size=32."),
    clean_network: Path | None = Option(
        None, help="A clean network to put through the same [the clean reference of --trigger-from]."
    ),
    reactivation: bool = Option(True, help="Also re-tune the cured network on a few poisoned pictures."),
    force: bool = Option(False, "--force", help="Replace --out, its certificate and the finding."),
    *,
    foreign: Foreign,
) -> Iterator[Any]:
    """Audit a network, repair what was found, certify the cure. Where the audit cannot tell, the most suspicious class
    is repaired to be on the safe side. Exits with 0: cured, or nothing was found (then no network is written), 3: there
    was nothing to go by."""
    from badnets.core.files import write_text
    from badnets.records.read import write_record
    from badnets.referee.audit import AuditCase, audit_case, shown
    from badnets.referee.cure import cured
    from badnets.report.cards.beside import seals_beside
    from badnets.report.pages.certificate_page import render_certificate
    from badnets.report.words.finding_words import finding_verdict

    if case.data is None:
        raise BadInput("expected clean pictures to audit and to repair with (--data), got none")
    method, of_data = case.parted({}, set_)
    if method:
        raise BadInput(f"expected --set data.NAME=VALUE, got {next(iter(method))!r}; badnets repair has all settings")
    place = out.with_name(f"{out.stem}.finding")
    if place.exists() and not force:
        raise BadInput(f"expected no finding at {place}, got one; choose another --out, or say --force to replace it")
    finding, certificate, verdict = None, None, ""
    with in_options(cure_command):
        audit = AuditCase(
            model=case.model,
            data=case.data,
            references=references,
            foreign=foreign.options,
            settings=of_data,
            budget_s=case.budget,
            seed=case.seed,
            command=command_line(),
        )
        opened = case.opened(
            out,
            of_data,
            foreign=foreign.options,
            clean_network=clean_network,
            reactivation=reactivation,
            seen=partial(shown, case=audit),
        )
        try:
            with written(opened, out.with_suffix(".html"), out.with_suffix(".json"), force=force) as (own, files):
                finding = audit_case(audit, watcher)
                write_finding(finding, place, case.model)
                verdict = finding_verdict(finding)
                watcher.say(verdict)
                _check(finding, anyway=anyway)
                certificate = cured(_rest(own, finding.seconds), finding, place, watcher)
                write_text(files[1], render_certificate(certificate, seals_beside(out.parent, certificate, files[0])))
                write_record(files[2], certificate)
        except _NothingToCureError:
            pass
    assert finding is not None  # noqa: S101  # else an error came up
    yield Ended(
        {
            "format": FORMAT,
            "finding": finding.to_json(),
            "certificate": None if certificate is None else certificate.to_json(),
        },
        0 if certificate is not None else _exit_code(finding.verdict, finding.stopped),
    )
    yield verdict
    if certificate is None:
        yield "No network was written; --anyway repairs the most suspicious class."
        yield f"finding  {place}"
        return
    yield from told(certificate, out.with_suffix(".html"))
    yield f"finding  {place}"


def _check(finding: Finding, *, anyway: bool) -> None:
    from badnets.referee.cure import most_suspicious

    if finding.stopped == "interrupted" or (finding.verdict == "nothing-found" and not anyway):
        raise _NothingToCureError
    if finding.verdict == "cannot-tell" and most_suspicious(finding) is None and not anyway:
        raise _NothingToCureError


def _rest(case: RepairCase, seconds: float) -> RepairCase:
    """``case`` with what the audit left of the budget, a tenth at least."""
    budget = case.budget_s
    return case if budget is None else replace(case, budget_s=max(budget - seconds, budget / 10))


def _exit_code(verdict: str, stopped: str | None) -> int:
    """Where no network was written."""
    return 130 if stopped == "interrupted" else 0 if verdict == "nothing-found" else 3
