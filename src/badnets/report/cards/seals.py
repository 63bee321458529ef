"""The line of seals: in one look, whether a network was opened safely, who signed it, where it comes from, and what an
audit said. Each has a word and a shape; none says more than was checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from badnets.core.text import CELL, brief, neutral
from badnets.records.finding import Finding
from badnets.records.model import JSON
from badnets.records.verification import CheckedAttestation
from badnets.report.cards.known import Known
from badnets.report.words.finding_words import class_words, p_is

Kind = Literal["backdoor", "opened", "signed", "provenance", "audit"]
State = Literal["good", "bad", "unknown"]
SHAPES: dict[State, str] = {"good": "+", "bad": "!", "unknown": "?"}
"""What stands in brackets on a terminal, which may know no other letters; pages draw them."""
_OF_HOLDS: dict[bool | None, State] = {True: "good", False: "bad", None: "unknown"}
_OF_VERDICT: dict[str, State] = {"nothing-found": "good", "backdoored": "bad", "cannot-tell": "unknown"}


@dataclass(frozen=True)
class Seal:
    """One of them: ``good`` was checked and holds, ``bad`` does not hold or warns, ``unknown`` is not known or was not
    checked; in ``words`` why."""

    kind: Kind
    state: State
    words: str

    @property
    def line(self) -> str:
        """For a terminal: ``"[+] good     opened      as a whole"``."""
        return f"[{SHAPES[self.state]}] {self.state:<8} {self.kind:<11} {self.words}"

    def to_json(self) -> JSON:
        """As plain JSON."""
        return dict(vars(self))


def seals(known: Known) -> tuple[Seal, ...]:
    """All of them, in the usual order; a network that carries a backdoor on purpose says so first."""
    found = [] if known.declared is None else [Seal("backdoor", "bad", f"{known.declared} ({known.planted})")]
    found += [Seal(kind, *say(known)) for kind, say in _SAY.items()]
    return tuple(Seal(one.kind, one.state, neutral(one.words, CELL)) for one in found)


def _opened(known: Known) -> tuple[State, str]:
    opened = known.description.opened
    return _OF_HOLDS[opened.safely], opened.words


def _signed(known: Known) -> tuple[State, str]:
    return _OF_HOLDS[known.signed.holds], known.signed.words


def _provenance(known: Known) -> tuple[State, str]:
    """What is attested of how it was made; else what its run's record or the file says, for what that is worth."""
    told = _attested(known, "provenance")
    if told is not None:
        return told
    if known.run is not None:
        network, data = str(known.run.resolved.get("network")), known.run.data_name
        words = f"{brief(network)} trained by badnets on {brief(data)}, says the record of its run"
        return (
            ("good", f"{words}, signed with it")
            if known.signed.whole
            else ("unknown", f"{words}; nobody vouches for it")
        )
    words = _said_itself(known)
    return "unknown", f"{words}, says the file; nobody vouches for it" if words else "not known: the file does not say"


def _said_itself(known: Known) -> str:
    """How the file says that it was made."""
    made, data, file = (known.said(name) for name in ("made_by", "data", "file"))
    by = [name for name in ("repaired", "guarded") if known.said(name)]
    after = f", {' and '.join(by)}" if by else ""
    if made:
        return f"trained by {brief(made)}{f' on {brief(data)}' if data else ''}{after}"
    if file and known.description.format != "hugging-face" and known.said("sha256"):
        return f"made from {brief(file)}{after}"
    return after.removeprefix(", ")


def _audit(known: Known) -> tuple[State, str]:
    """What an audit at hand found, and what is attested of one; the worse of both counts."""
    told = [] if known.finding is None else [(_OF_VERDICT[known.finding.verdict], _verdict(known.finding))]
    if (other := _attested(known, "audit")) is not None:
        told.append(other)
    if told:
        states = [state for state, _ in told]
        state: State = "bad" if "bad" in states else "good" if "good" in states else "unknown"
        return state, "; ".join(words for _, words in told)
    if known.signed.unchecked:
        count = known.signed.unchecked
        lie = f"{count:,} attestations lie" if count > 1 else "an attestation lies"
        return "unknown", f"{lie} beside it, not checked against anybody you trust; no audit at hand"
    return "unknown", "no audit at hand (badnets audit)"


def _verdict(finding: Finding) -> str:
    """``"2026-10-01: nothing found, p = 0.4"``."""
    target = "" if finding.target is None else f" towards {class_words(finding.target.class_name)}"
    what = {"nothing-found": "nothing found", "backdoored": f"backdoored{target}", "cannot-tell": "could not tell"}
    p = "" if finding.p is None else f", {p_is(finding.p)}"
    return f"{finding.date or 'at a date that it does not say'}: {what[finding.verdict]}{p}"


def _attested(known: Known, kind: str) -> tuple[State, str] | None:
    """What those who are believed have attested: the last that counts, or else the last."""
    some: list[CheckedAttestation] = [one for one in known.signed.attested if one.kind == kind]
    if not some:
        return None
    one = next((one for one in reversed(some) if one.ok), some[-1])
    return "good" if one.ok else "bad", f"{one.summary} (attested by {one.signer})"


_SAY: dict[Kind, Callable[[Known], tuple[State, str]]] = {
    "opened": _opened,
    "signed": _signed,
    "provenance": _provenance,
    "audit": _audit,
}
