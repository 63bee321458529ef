"""What is looked for: each rule with how bad it is, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from badnets.records.scan import Severity


@dataclass(frozen=True)
class Rule:
    """``why`` it is told and what to ``do``, in a few words each."""

    severity: Severity
    why: str
    do: str


_SAFE = "ask its author for safetensors, or for a state_dict alone"
_LOOK = "open it only if you trust what is named"
_REFUSE = "do not open it"
_AGAIN = "get the file again"

RULES: Mapping[str, Rule] = {
    # Pickles, in whatever they lie.
    "pickle-runs": Rule("unsafe", "opening it calls what can run code or reach outside", f"{_REFUSE}; {_SAFE}"),
    "pickle-unknown": Rule("unknown", "opening it imports code that is not known to be harmless", f"{_LOOK}; {_SAFE}"),
    "pickle-hidden": Rule("unsafe", "it hides what opening it calls", f"{_REFUSE}; {_SAFE}"),
    "pickle-disguised": Rule("unknown", "a pickle under the name of a format that holds none", f"{_LOOK}; {_SAFE}"),
    "pickle-buried": Rule("unknown", "nothing opens it there, and nothing harmless puts it there", _LOOK),
    "pickle-damaged": Rule("unknown", "what stands before the damage would be run all the same", _AGAIN),
    # Programs.
    "program-runs": Rule("unsafe", "code in it runs while it is loaded", f"{_REFUSE}; {_SAFE}"),
    "program-outside": Rule(
        "unsafe", "its program reads or writes files, or calls other machines", f"{_REFUSE}; {_SAFE}"
    ),
    "operator-unknown": Rule("unknown", "an operator that needs a library beside the framework", _LOOK),
    "python-code": Rule(
        "unsafe", "Python code in it runs when it is loaded as it is meant to be", f"{_REFUSE}; {_SAFE}"
    ),
    "python-beside": Rule("unknown", "Python code lies in it, which whoever serves it may run", _LOOK),
    "native-code": Rule("unsafe", "native code that would be loaded", f"{_REFUSE}; {_SAFE}"),
    # Descriptions of networks.
    "keras-code": Rule("unsafe", "Keras runs code of the file for it", f"{_REFUSE}; ask its author for weights alone"),
    "keras-unknown": Rule("unknown", "no class of Keras; code of others would be looked for", _LOOK),
    # What leads out of the file.
    "outside": Rule("unsafe", "it leads out of the file, to others of this machine", f"{_REFUSE}; ask for one file"),
    "outside-link": Rule("unknown", "a link, which is not followed", "name what it leads to, if that is to be scanned"),
    "filter": Rule("unknown", "a filter that HDF5 looks for in plug-ins and loads", "save it with gzip or without"),
    # What cannot be told.
    "claims-more": Rule("unknown", "it asks for more than the file has", "do not trust this file"),
    "header": Rule("unknown", "readers would disagree about what is in it", f"{_AGAIN}, or save it anew"),
    "hidden-part": Rule("unknown", "archive readers disagree about what is in it", "do not trust this file"),
    "not-read": Rule(
        "unknown", "a form that is not read here, so nobody looked into it", "ask for safetensors or ONNX"
    ),
    "damaged": Rule("unknown", "what is missing cannot be looked at", _AGAIN),
    "too-much": Rule("unknown", "the rest was not looked at", "raise BADNETS_LIMITS for a file that you trust"),
}
