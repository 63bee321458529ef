"""Measure a network file, with the backdoor of a run if one is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.networks.files.foreign import ForeignOptions, open_any
from badnets.networks.files.own import open_network
from badnets.networks.inference import align_classes, check_classifier
from badnets.records.comparison import Evaluation, Planted
from badnets.records.read import read_run
from badnets.records.run import RunRecord
from badnets.referee.measure import disturbances, measure
from badnets.referee.run import load_data, planted_in, resolved
from badnets.referee.spec import make_data
from badnets.training.objectives import check_targets


def evaluate(
    model: Path,
    data: str,
    *,
    trigger_from: Path | None = None,
    reference: Path | None = None,
    settings: Sequence[str] | None = None,
    seed: int | None = None,
    disturb: bool = False,
    foreign: ForeignOptions | None = None,
    watcher: Watcher | None = None,
) -> Evaluation:
    """``results`` as in a run's record (``asr`` None when no trigger is given) of a network on the test part of
    ``data``. ``model`` is a file or a run's folder; so is ``reference``. ``seed`` places triggers that are placed at
    random (default: the first seed of ``trigger_from``, so that its own results come out again). ``foreign`` says what
    a file of another program is; its input range, if not named, is found on the training part of ``data`` (the test
    part, where there is no other), and ``foreign`` in the result is what is known of the file. With ``disturb``,
    ``results`` have ``disturbances``: attack success under every physical disturbance of the trigger, see there."""
    if disturb and trigger_from is None:
        raise BadInput("expected a run's trigger to disturb, got none; name the run with 'trigger_from'")
    record = None if trigger_from is None else run_with_backdoor(trigger_from)
    number = seed if seed is not None else 1 if record is None else record.seeds[0]
    spec = make_data(data, settings)
    splits = load_data(spec, watcher)
    network = open_any(model, foreign, clean=splits.train or splits.test)
    check_targets(network.task, splits.test, network.architecture)
    if disturb:
        check_classifier(network)
    test = align_classes(splits.test, network)
    other = None if reference is None else open_network(network_file(reference))
    planted = None if record is None else planted_in(record, test.class_names)
    backdoor = planted.backdoor.backdoor if planted is not None and planted.backdoor is not None else None
    jitter, stream = None if planted is None else planted.jitter, Seed(number).derive("measure")
    figures = measure(network, test, backdoor, reference=other, jitter=jitter, seed=stream).figures
    if disturb and backdoor is not None:
        rows = disturbances(network, test, backdoor, reference=other, seed=stream)
        figures = figures.model_copy(update={"disturbances": rows})
    tried = None if planted is None else resolved(planted, test.class_names)["backdoor"]
    return Evaluation(
        network=str(network_file(model)),
        data=spec.model_dump(mode="json"),
        data_digest=test.digest,
        class_names=test.class_names,
        resolved=Planted.model_validate({"backdoor": tried}),
        seeds=(number,),
        results=figures,
        foreign=network.provenance if network.provenance.get("foreign") else None,
    )


def run_with_backdoor(folder: Path) -> RunRecord:
    """The record of a run that has a backdoor to try."""
    record = read_run(folder)
    if record.resolved.get("backdoor") is None:
        raise BadInput(f"expected a run with a backdoor at {folder}, got one without")
    return record


def network_file(model: Path) -> Path:
    """Where the network is: a file, or in a run's folder."""
    return model / "network.safetensors" if model.is_dir() else model
