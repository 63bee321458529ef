"""Study C1, its own part: the loader against known answers, the pruning curve, where it stops, GoodNets, tables."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from badnets.core.rate import Rate
from badnets.studies.old_study import Row, Trial, Variant, rate_row, row
from badnets.studies.vora2023_goodnet.data import (
    LAYER,
    Step,
    files_of,
    open_face_network,
    read_curve,
    read_faces,
    read_samples,
)

if TYPE_CHECKING:
    from badnets.data.images import ImageData
    from badnets.networks.network import ImageNetwork

REPORT = "report C1"
PARAMETERS = 601_643
DROPS = (0.02, 0.04, 0.10)
CHANNELS = {0.02: 43, 0.04: 45, 0.10: 51}
"""How many channels the report had pruned when accuracy was 2, 4 and 10 points below 100 %."""
PRUNED = {0.02: (0.97888, 1.0), 0.04: (0.95900, 1.0), 0.10: (0.89844, 0.80647)}
GOODNET = {0.02: (0.97747, 1.0), 0.04: (0.95744, 1.0), 0.10: (0.89680, 0.80647)}
"""Clean accuracy and attack success on the contest's test set, by the drop that was allowed."""
JUDGED_STEPS = range(45, 57)
NEAR = 0.05
OUR_RULE = "before the step that breaks it, from the network's own accuracy"
FEW_FACES = "optimistic: faces on which most networks agree"


def published_stop(accuracies: Sequence[float], drop: float) -> int | None:
    """C1's convention: channels pruned when accuracy is ``drop`` or more below 100 %, that step included; None if it
    never is. ``accuracies[i]`` is after ``i + 1`` channels."""
    return next((n for n, value in enumerate(accuracies, 1) if 1 - value >= drop - 1e-9), None)


def careful_stop(before: float, accuracies: Sequence[float], drop: float) -> int:
    """Our convention: channels pruned before the first step after which accuracy is more than ``drop`` below what it
    was ``before`` all pruning."""
    broken = (n - 1 for n, value in enumerate(accuracies, 1) if before - value > drop + 1e-9)
    return next(broken, len(accuracies))


def check_loader(trial: Trial, _own: Path) -> dict[str, Any]:
    """Parameters of each network, and its answers to the samples beside those of ``labels.csv``."""
    from badnets.networks.inference import predict_data

    began, files = time.perf_counter(), files_of(trial.spec)
    rows, pictures = ([], None) if files.samples is None else read_samples(files.samples)
    found: dict[str, Any] = {}
    for name in files.weights:
        network = open_face_network(files, name)
        found[name] = {"parameters": sum(value.numel() for value in network.parameters())}
        if pictures is not None:
            wanted = np.array([int(line[name]) for line in rows])
            found[name]["equal"] = Rate.of(predict_data(network, pictures).labels == wanted).to_json()
    return {"results": found, "timings_s": {"total": _since(began)}}


def prune_and_compare(trial: Trial, own: Path) -> dict[str, Any]:
    """The sweeps over validation faces in three orders, and the tables on test faces."""
    from badnets.networks.surgery.channels import rank_channels

    began, files = time.perf_counter(), files_of(trial.spec)
    network = open_face_network(files, "lab3")
    valid = {"clean": read_faces(files.faces[0], "clean"), "triggered": read_faces(files.faces[1], "triggered")}
    test = {"clean": read_faces(files.faces[2], "clean"), "triggered": read_faces(files.faces[3], "triggered")}
    means = rank_channels(network, valid["clean"], LAYER, at="pool")
    orders = {
        "least active first": np.argsort(means, kind="stable").tolist(),
        "most active first": np.argsort(-means, kind="stable").tolist(),
    }
    if files.curve is not None:
        orders = {"published order": [step.channel for step in read_curve(files.curve)], **orders}
    curves = {name: _curve(network, order, valid) for name, order in orders.items()}
    order = next(iter(orders.values()))
    tables, answers = _tables(network, order, test, own)
    results = {
        "curves": curves,
        "dead": int(np.count_nonzero(means == 0)),
        "faces": {name: len(data) for name, data in valid.items()},
        "full": files.full,
        "stopped_by_repair": _by_repair(network, order, valid["clean"]),
        "tables": tables,
        "answers": answers,
    }
    return {"results": results, "timings_s": {"total": _since(began)}}


def _since(began: float) -> float:
    return round(time.perf_counter() - began, 1)


def _curve(network: ImageNetwork, order: Sequence[int], sets: Mapping[str, ImageData]) -> list[dict[str, Any]]:
    from badnets.networks.surgery.sweep import pruning_sweep

    return [
        {
            "channels": step.number,
            "channel": step.channel,
            "clean_accuracy": Rate.of(step.answers["clean"] == sets["clean"].labels).to_json(),
            "asr": Rate.of(step.answers["triggered"] == sets["triggered"].labels).to_json(),
        }
        for step in pruning_sweep(network, LAYER, order, sets)
    ]


def _by_repair(network: ImageNetwork, order: Sequence[int], clean: ImageData) -> dict[str, dict[str, int]]:
    """How many channels the repair ``prune`` silences, by convention and drop; counted in the network it gives."""
    from badnets.defenses.repair import repair
    from badnets.defenses.repairs import make_repair
    from badnets.defenses.view import DefenderView
    from badnets.networks.surgery.channels import pruned_channels

    found: dict[str, dict[str, int]] = {}
    for convention in ("published", "before"):
        found[convention] = {}
        for drop in DROPS:
            settings = {"layer": LAYER, "order": order, "max_drop": drop, "convention": convention}
            done = repair(DefenderView(network=network, data=clean), make_repair("prune", settings))
            found[convention][str(drop)] = len(pruned_channels(done.network, LAYER))
    return found


def _tables(
    network: ImageNetwork, order: Sequence[int], test: Mapping[str, ImageData], own: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both tables by drop, and the answers of each network for the contact sheet; all networks are reopened files."""
    from badnets.defenses.abstain import abstain
    from badnets.defenses.abstainers import make_abstainer
    from badnets.defenses.repair import repair
    from badnets.defenses.repairs import make_repair
    from badnets.defenses.view import DefenderView
    from badnets.networks.files.own import through_file
    from badnets.networks.surgery.channels import pruned_channels
    from badnets.referee.truth import TriggeredPictures

    truth, view = TriggeredPictures(pictures=test["triggered"]), DefenderView(network=network)
    tables: dict[str, Any] = {"original": truth.measure(network, test["clean"]).to_json()}
    answers = {"original": both_answers(network, test)}
    for drop, count in CHANNELS.items():
        path = own / "pruned.safetensors"
        done = repair(view, make_repair("prune", {"layer": LAYER, "order": order, "channels": count}))
        pruned = through_file(done.network, path)
        guarded = abstain(view, make_abstainer("agreement", {"repaired": str(path), "hard": True}))
        goodnet = through_file(guarded.network, own / "goodnet.safetensors")
        tables[str(drop)] = {
            "channels": count,
            "zeroed": pruned_channels(pruned, LAYER) == sorted(order[:count]),
            "rest_unchanged": rest_unchanged(network, pruned, order[:count]),
            "pruned": truth.measure(pruned, test["clean"]).to_json(),
            "goodnet": truth.measure(goodnet, test["clean"]).to_json(),
        }
        answers[f"pruned {points(drop)}"] = both_answers(pruned, test)
        answers[f"GoodNet {points(drop)}"] = both_answers(goodnet, test)
    return tables, answers


def rest_unchanged(before: ImageNetwork, after: ImageNetwork, pruned: Sequence[int]) -> bool:
    """Whether every number is the same to the bit, but for the filters and biases of ``pruned`` channels."""
    new = after.body.state_dict()
    for name, value in before.body.state_dict().items():
        kept = np.ones(len(value), bool)
        if name.startswith(f"{LAYER}."):
            kept[list(pruned)] = False
        if value[kept].numpy().tobytes() != new[name][kept].numpy().tobytes():
            return False
    return True


def both_answers(network: ImageNetwork, test: Mapping[str, ImageData], most: int = 100) -> dict[str, list[int]]:
    """The classes that the first faces of both sets are given."""
    from badnets.networks.inference import predict_data

    return {name: predict_data(network, data.take(np.arange(min(most, len(data))))).labels.tolist()
            for name, data in test.items()}  # fmt: skip


def points(drop: float) -> str:
    """``"2 points"``."""
    return f"{round(100 * drop)} points"


def loader_rows(found: Mapping[str, Any], variant: Variant) -> list[Row]:
    """Answers to the samples, and the number of parameters."""
    rows = []
    for name, entry in found.items():
        if "equal" in entry:
            equal = Rate.from_json(entry["equal"])
            why = "all asked"
            what = f"loader, {name}: samples answered as by the original"
            rows.append(rate_row(what, variant, 1.0, "samples/labels.csv", equal, bound=("at least", 1.0), why=why))
        same = entry["parameters"] == PARAMETERS
        count = row(f"loader, {name}: has {PARAMETERS:,} parameters", variant, 1.0, REPORT, [float(same)],
                    unit="yes or no", bound=("at least", 1.0), why=f"{entry['parameters']:,}")  # fmt: skip
        rows.append(count)
    return rows


def curve_rows(found: Mapping[str, Any], curve: Sequence[Step], variant: Variant) -> list[Row]:
    """Attack success at the steps where it falls, in the published order; and the largest distance."""
    ours, rows, gaps = found["curves"].get("published order", []), list[Row](), list[float]()
    if not ours or not curve:
        return rows
    for step in JUDGED_STEPS:
        rate, published = Rate.from_json(ours[step]["asr"]), curve[step - 1].asr
        gaps.append(abs((rate.value or 0.0) - published))
        what = f"pruning in the published order: attack success after {step} channels"
        entry = rate_row(what, variant, published, f"{REPORT}, step {step}", rate, why="within 5 points asked")
        rows.append(Row(**{**entry.__dict__, "verified": gaps[-1] <= NEAR}))
    why = f"steps {JUDGED_STEPS[0]} to {JUDGED_STEPS[-1]}, of {found['faces']['triggered']:,} triggered faces"
    what = "pruning in the published order: largest distance of attack success from the published"
    rows.append(row(what, variant, None, "our own figure", [max(gaps)], unit="difference", bound=("at most", NEAR),
                    why=why))  # fmt: skip
    return rows


def stop_rows(found: Mapping[str, Any], curve: Sequence[Step], variant: Variant) -> list[Row]:
    """How many channels go at 2, 4 and 10 points, by both conventions, on the published accuracies and on ours."""
    rows, ours = [], next(iter(found["curves"].values()))
    before, *after = [Rate.from_json(step["clean_accuracy"]).value or 0.0 for step in ours]
    own: Variant = variant if variant == "quick" else "corrected"
    for drop, wanted in CHANNELS.items():
        what = f"channels zeroed at {points(drop)}"
        if curve:
            theirs = [step.clean_accuracy for step in curve]
            rows.append(_stop_row(f"{what}: C1's rule, published accuracies", variant, wanted,
                                  published_stop(theirs, drop), judged=True))  # fmt: skip
            # The published network has the accuracy of step 1 before all pruning, too.
            count = careful_stop(theirs[0], theirs, drop)
            rows.append(_stop_row(f"{what}: our rule, published accuracies", own, None, count, why=OUR_RULE))
        mine = published_stop(after, drop)
        why = "" if found["full"] else FEW_FACES
        rows.append(_stop_row(f"{what}: C1's rule, our accuracies", own, wanted, mine, judged=not why, why=why))
        rows.append(_stop_row(f"{what}: our rule, our accuracies", own, None, careful_stop(before, after, drop),
                              why=OUR_RULE))  # fmt: skip
    return rows


def _stop_row(
    what: str, variant: Variant, published: float | None, count: int | None, *, judged: bool = False, why: str = ""
) -> Row:
    source = REPORT if published is not None else "our own figure"
    entry = row(what, variant, published, source, [float(count or 0)], unit="channels of 60", why=why or "equal asked")
    return Row(**{**entry.__dict__, "verified": count == published if judged else None})


def table_rows(found: Mapping[str, Any], variant: Variant) -> list[Row]:
    """Both tables of the report, and what the class N+1 adds."""
    rows: list[Row] = []
    why = "" if found["full"] else FEW_FACES
    for drop, count in CHANNELS.items():
        entry = found["tables"][str(drop)]
        for kind, published in (("pruned", PRUNED[drop]), ("goodnet", GOODNET[drop])):
            what = f"{'pruned network' if kind == 'pruned' else 'GoodNet'}, {points(drop)} ({count} channels)"
            clean, asr = (Rate.from_json(entry[kind][name]) for name in ("clean_accuracy", "asr"))
            rows.append(_near(f"{what}: clean accuracy", variant, published[0], clean, why))
            rows.append(_near(f"{what}: attack success", variant, published[1], asr, ""))
        rows += _goodnet_rows(f"GoodNet, {points(drop)} ({count} channels)", entry, variant)
        bits = float(entry["zeroed"] and entry["rest_unchanged"])
        what = f"pruned network, {points(drop)} ({count} channels): exactly these are zero, all else is the same bits"
        rows.append(row(what, variant, None, "our own figure", [bits], unit="yes or no", bound=("at least", 1.0),
                        why="asked"))  # fmt: skip
    return rows


def _near(what: str, variant: Variant, published: float, rate: Rate, doubt: str) -> Row:
    entry = rate_row(what, variant, published, f"{REPORT}, test set", rate, why=doubt or "within 5 points asked")
    near = abs((rate.value or 0.0) - published) <= NEAR
    return Row(**{**entry.__dict__, "verified": None if doubt else near})


def _goodnet_rows(what: str, entry: Mapping[str, Any], variant: Variant) -> list[Row]:
    pruned, good = (Rate.from_json(entry[kind]["asr"]) for kind in ("pruned", "goodnet"))
    away, clean_away = (Rate.from_json(entry["goodnet"][name]) for name in ("refused_triggered", "refused"))
    gain = (good.value or 0.0) - (pruned.value or 0.0)
    return [
        row(f"{what}: attack success minus the pruned network's", variant, 0.0, REPORT, [gain], unit="difference",
            bound=("about", 0.0), why="class N+1 adds nothing where both networks obey the trigger"),
        rate_row(f"{what}: triggered faces sent to class N+1", variant, None, "our own figure", away),
        rate_row(f"{what}: clean faces sent to class N+1", variant, None, "our own figure", clean_away),
    ]  # fmt: skip


def pruning_figures(found: Mapping[str, Any], curve: Sequence[Step]) -> dict[str, Any]:
    """The curves and the bars of the page, as plain JSON."""
    curves: dict[str, Any] = {}
    for name, steps in found["curves"].items():
        keep = ("channels", "channel", "clean_accuracy", "asr")
        curves[f"ours, {name}"] = [{key: step[key] for key in keep} for step in steps]
        if name == "published order" and curve:
            curves[f"published, {name}"] = [
                {"channels": n, "clean_accuracy": {"value": step.clean_accuracy}, "asr": {"value": step.asr}}
                for n, step in enumerate(curve, 1)
            ]
    return {"pruning": curves, "bars": _bars(found)}


def _bars(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    charts = []
    for kind, title, published in (("pruned", "Pruned networks", PRUNED), ("goodnet", "GoodNets", GOODNET)):
        lines = []
        for drop, count in CHANNELS.items():
            entry = found["tables"][str(drop)][kind]
            clean, asr = published[drop]
            lines.append(
                {
                    "name": f"{points(drop)}, {count} channels",
                    "clean": entry["clean_accuracy"],
                    "clean_published": clean,
                    "triggered": entry["asr"],
                    "triggered_published": asr,
                }
            )
        charts.append({"title": title, "rows": lines})
    return charts
