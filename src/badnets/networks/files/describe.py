"""What is known of any network file: opened by our readers, which run nothing in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.core.text import LINE, brief
from badnets.networks.architecture import LOGITS_OF
from badnets.networks.files.description import Description, Opened, described_file, described_header, numbers
from badnets.networks.files.facts import ForeignFacts, foreign_facts
from badnets.networks.files.foreign import ForeignOptions, is_ours, open_any, says_itself
from badnets.networks.files.header import FORMAT, parse
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import recorded_architecture
from badnets.networks.scan.scan import scan
from badnets.records.read import network_file


def described(model: Path, said: ForeignOptions | None = None) -> Description:
    """Of a file, a run's folder or one of the Hugging Face hub, scanned too: what others would run when they open it
    counts. ``said``: what somebody says about a file that does not say it. Raises ``BadInput`` for what is not opened.
    """
    known = _described(model) if said is None else described_network(model, opened_as(model, said), said)
    found = scan(known.file)
    if found.verdict == "safe":
        return known
    first = brief(found.findings[0].what, LINE)
    words = f"here nothing in it was run; elsewhere not: badnets scan says {found.verdict} ({first})"
    return replace(known, opened=Opened(False if found.verdict == "unsafe" else None, words))


def _described(model: Path) -> Description:
    if not says_itself(model):
        return described_facts(model, foreign_facts(model))
    file = network_file(model) if not (model / "config.json").is_file() else model
    if file.is_file() and is_ours(file):
        header, _ = parse(file)
        try:
            recorded_architecture(header.architecture, header.provenance.get("code"))
        except BadInput:  # a network of somebody's own code, which nobody has named here
            return described_header(file, Opened(None, "in part: its header alone, for its network is not known here"))
    return described_network(model, open_any(model))


def opened_as(model: Path, said: ForeignOptions) -> ImageNetwork:
    """The network in ``model`` as somebody says that it is. It is shown no pictures, so it opens without a range."""
    anyhow = said.input_range is not None or says_itself(model)
    return open_any(model, said if anyhow else replace(said, input_range="0-1"))


def described_network(model: Path, network: ImageNetwork, said: ForeignOptions | None = None) -> Description:
    """Of the ``network`` that was opened from ``model``, with what somebody ``said`` about it."""
    if said is not None and not says_itself(model):
        return _described_as(model, network, said)
    made = network.provenance
    hub = made.get("file_format") == "hugging-face"
    folder = model if model.is_dir() else model.parent
    file = folder / str(made["file"]) if hub else network_file(model)
    return described_file(
        file,
        format="hugging-face" if hub else FORMAT,
        opened=_by_code(network) or Opened(True, "as a whole; nothing in it was run"),
        architecture=network.architecture,
        arguments=network.arguments,
        task=network.task,
        class_names=network.class_names,
        input_size=network.input_size,
        mean=tuple(network.mean.flatten().tolist()),
        std=tuple(network.std.flatten().tolist()),
        numbers=numbers({name: tuple(value.shape) for name, value in network.body.state_dict().items()}),
        provenance=made,
    )


def _described_as(file: Path, network: ImageNetwork, said: ForeignOptions) -> Description:
    """Of a file of another program: what somebody said is told as that, and what nobody said is not known."""
    facts = foreign_facts(file)
    known = described_facts(file, facts)
    told: dict[str, object] = {
        "architecture": said.arch,
        "input size": said.input_size,
        "input range": said.input_range,
    }
    told |= {"classes": said.classes, "names of classes": said.class_names, "order of channels": said.channel_order}
    named = ", ".join(what for what, value in told.items() if value is not None)
    ranged = said.input_range is not None
    return replace(
        known,
        opened=_by_code(network) or known.opened,
        architecture=network.architecture,
        arguments=network.arguments,
        task=network.task,
        class_names=network.class_names,
        input_size=network.input_size,
        mean=tuple(network.mean.flatten().tolist()) if ranged else (),
        std=tuple(network.std.flatten().tolist()) if ranged else (),
        says=(*known.says, f"By the word of whoever asked, not of the file: {named}."),
    )


def _by_code(network: ImageNetwork) -> Opened | None:
    """Where the network is of somebody's own Python code, which was run for it."""
    own = network.architecture.removeprefix(LOGITS_OF).startswith("file:")
    return Opened(None, "with code that somebody named, and that was run") if own else None


def described_facts(file: Path, networks: Sequence[ForeignFacts]) -> Description:
    """Of a file of another program, by what can be said without using it; of several networks of the first."""
    first = networks[0]
    parts = [f"it holds {len(networks)} networks; this is of {first.part!r}"] if len(networks) > 1 else []
    layers = [f"layers, as it describes them: {', '.join(first.layers)}"] if first.layers else []
    problem = [f"its own description cannot be read: {first.problem}"] if first.problem else []
    return described_file(
        file,
        format=first.format,
        opened=Opened(True, f"as {first.format}; nothing in it was run"),
        numbers=first.parameters,
        fits=first.fits,
        says=tuple(brief(one, LINE) for one in (*parts, *first.says, *layers, *problem)),
    )
