"""Measure a network file, with the backdoor of a run if one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from badnets.backdoors.triggers.jitter import Jitter
from badnets.core.errors import BadInput
from badnets.core.progress import Watcher
from badnets.core.seed import Seed
from badnets.networks.classes import align_classes
from badnets.networks.files.foreign import ForeignOptions, open_any
from badnets.networks.files.own import open_network
from badnets.networks.inference import check_classifier
from badnets.referee.disturbances import disturbances
from badnets.referee.measure import measure
from badnets.referee.measure_detector import measure_detector
from badnets.referee.run import load_data
from badnets.referee.spec import BackdoorSpec, make_data
from badnets.referee.store import read_record
from badnets.training.objectives import check_targets

FORMAT = "badnets/evaluation/1"


def evaluate(
    model: Path,
    data: str,
    *,
    trigger_from: Path | None = None,
    reference: Path | None = None,
    settings: list[str] | None = None,
    seed: int | None = None,
    disturb: bool = False,
    foreign: ForeignOptions | None = None,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """``results`` as in a run's record (``asr`` None when no trigger is given) of a network on the test part of
    ``data``. ``model`` is a file or a run's folder; so is ``reference``. ``seed`` places triggers that are placed at
    random (default: the first seed of ``trigger_from``, so that its own results come out again). ``foreign`` says what
    a file of another program is; its input range, if not named, is found on the training part of ``data`` (the test
    part, where there is no other), and ``foreign`` in the result is what is known of the file. With ``disturb``,
    ``results`` have ``disturbances``: attack success under every physical disturbance of the trigger, see there."""
    if disturb and trigger_from is None:
        raise BadInput("expected a run's trigger to disturb, got none; name the run with --trigger-from")
    backdoor, jitter, seeds = None, None, [1]
    if trigger_from is not None:
        record = read_record(trigger_from)
        if record.resolved.get("backdoor") is None:
            raise BadInput(f"expected a run with a backdoor at {trigger_from}, got one without")
        backdoor = BackdoorSpec.model_validate(record.resolved["backdoor"])
        jitter = TypeAdapter(Jitter | None).validate_python(record.resolved.get("jitter"))
        seeds = record.seeds
    number = seeds[0] if seed is None else seed
    spec = make_data(data, settings)
    splits = load_data(spec, watcher)
    network = open_any(model, foreign, clean=splits.train or splits.test)
    check_targets(network.task, splits.test, network.architecture)
    if disturb:
        check_classifier(network)
    test = align_classes(splits.test, network)
    other = None if reference is None else open_network(_file(reference))
    planted, stream = None if backdoor is None else backdoor.backdoor, Seed(number).derive("measure")
    measured = measure_detector if network.task == "detect" else measure
    results = measured(network, test, planted, reference=other, jitter=jitter, seed=stream).to_json()
    if disturb and planted is not None:
        rows = disturbances(network, test, planted, reference=other, seed=stream)
        results["disturbances"] = [row.to_json() for row in rows]
    return {
        "format": FORMAT,
        "network": str(_file(model)),
        "data": spec.model_dump(mode="json"),
        "data_digest": test.digest,
        "class_names": list(test.class_names),
        "resolved": {"backdoor": None if backdoor is None else backdoor.model_dump(mode="json")},
        "seeds": [number],
        "results": results,
        **({"foreign": network.provenance} if network.provenance.get("foreign") else {}),
    }


def _file(model: Path) -> Path:
    return model / "network.safetensors" if model.is_dir() else model
