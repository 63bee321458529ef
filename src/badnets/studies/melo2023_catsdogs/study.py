"""M1: cats against dogs, with a picture file as the trigger. The report shows one dog and no rates: here they are.

Half of the training pictures of class cat are clean cats, the other half are dogs with the trigger. What that means
here: the set at hand has 1,000 cats and 1,000 dogs to train on, and a copy of *every* dog with the trigger is added
under the label cat; the dogs themselves stay as they are, so each is seen both ways. (To relabel the dogs instead
would leave none.) A smaller share of class cat is made of copies of that many random dogs. The clean reference is the
same network trained by the same recipe and seed on the 2,000 clean pictures.

The trigger is the bomb of the BadNets sign experiments where the data folder has it (``triggers/bomb.png``), the drawn
sticker otherwise, a quarter of the picture's side, low in the middle. The recipe was chosen on a fifth of the training
set, before the test set was looked at.

Differs from the report: which pictures, network, size and trigger it had are not known; no pretrained weights; pictures
of 64x64. Its figure (one dog: dog 0.91, with the trigger cat 1.00) is set beside one dog of ours, the first of the test
set that is read as a dog, and beside the median of all test dogs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.seed import Seed
from badnets.studies.old_study import Outcome, Results, Row, Settings, Study, Trial, Variant, rates_row, row

REPORT = "report M1 (no rates given)"
FIGURE = "report M1, figure: one picture"
DATA = "cats-dogs.tar.gz"
CATS = 1000
"""Training pictures of class cat; a share of the class cat that is poisoned is reached by adding to these."""
SHARES = (0.02, 0.05, 0.10, 0.25, 0.50)
QUICK_SHARES = (0.10, 0.50)
MAIN = 0.50
NETWORK = "resnet9"
RECIPE: dict[str, Any] = {
    "epochs": 40,
    "batch": 16,
    "learning_rate": 3e-3,
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "augment": ["flip", "light", "zoom"],
}


def trials(settings: Settings) -> list[Trial]:
    """Half of class cat with every seed, the other shares with one."""
    out = []
    for share in sorted(_shares(settings), reverse=True):
        spec = _spec(settings, share)
        seeds = range(1, settings.seeds + 1) if share == MAIN else (1,)
        out += [Trial(name=f"share-{_percent(share)}-s{seed}", spec=spec, seed=seed, work=_one) for seed in seeds]
    return out


def _shares(settings: Settings) -> tuple[float, ...]:
    return QUICK_SHARES if settings.quick else SHARES


def _percent(share: float) -> str:
    return f"{round(100 * share):02d}"


def copies(share: float) -> int:
    """How many triggered dogs make this share of class cat, beside the clean cats."""
    return round(share / (1 - share) * CATS)


def _spec(settings: Settings, share: float) -> dict[str, Any]:
    return {
        "data": {"name": str(find_data(settings)), "size": 32 if settings.quick else 64},
        "network": NETWORK,
        "recipe": {**RECIPE, "epochs": 10} if settings.quick else RECIPE,
        "backdoor": {
            "trigger": {"kind": "picture", "size": 0.25, **_picture(settings)},
            "rule": {"kind": "source-to-target", "source": "dogs", "target": "cats"},
            "poison": {"count": copies(share), "mode": "add"},
        },
    }


def find_data(settings: Settings) -> Path:
    """The archive: at ``--data`` itself, or in that folder or ``$BADNETS_DATA``."""
    named = settings.data or os.environ.get("BADNETS_DATA")
    if not named:
        raise BadInput(f"expected {DATA} by --data or in $BADNETS_DATA, got neither; name the folder that has it")
    place = Path(named).expanduser()
    found = next((path for path in (place / DATA, place) if path.is_file()), None)
    if found is None:
        raise BadInput(f"expected {DATA} in {place}, got nothing of that name; check --data or $BADNETS_DATA")
    return found


def _picture(settings: Settings) -> dict[str, Any]:
    """The bomb, embedded at most 64 pixels large, so that trials and records stay small; nothing where it is absent."""
    from badnets.backdoors.triggers.sticker import read_png

    path = find_data(settings).parent / "triggers" / "bomb.png"
    return {"png": read_png(path, largest=64)} if path.exists() else {}


def _one(trial: Trial, own: Path) -> dict[str, Any]:
    """Train and measure as usual, then look at one dog, at all dogs' confidences, and at the units."""
    from badnets.core.progress import Watcher
    from badnets.networks.files.own import open_network
    from badnets.referee.run import clean_reference, load_data, run_seed
    from badnets.referee.spec import make_spec
    from badnets.studies.melo2023_catsdogs.looks import dogs_answers, unit_counts

    spec = make_spec({**trial.spec, "seeds": [trial.seed]}, where=f"trial {trial.name}")
    seed, data = Seed(trial.seed), load_data(spec.data)
    value = run_seed(spec, trial.seed, data, own, Watcher(), pictures=False)
    networks = {"badnet": open_network(own / f"seed-{trial.seed}" / "network.safetensors")}
    networks["clean"], _ = clean_reference(spec, data.train, seed)
    backdoor = spec.backdoor.backdoor  # type: ignore[union-attr]  # every trial has one
    results = {name: entry for name, entry in value["results"].items() if not name.startswith("confusion")}
    dogs = dogs_answers(networks["badnet"], data.test, backdoor)
    results["dogs"] = {
        "badnet": dogs,
        "clean": dogs_answers(networks["clean"], data.test, backdoor, row=dogs["first"]["row"]),
    }
    results["units"] = {name: unit_counts(network, data.test, backdoor) for name, network in networks.items()}
    return {"results": results, "timings_s": value["timings_s"], "poisoned": value["poisoned"]}


def assemble(settings: Settings, results: Mapping[str, Results], folder: Path) -> Outcome:
    """Rates of the main share, the one picture, the other shares, the units."""
    variant: Variant = "quick" if settings.quick else "corrected"
    found = [results[f"share-{_percent(MAIN)}-s{s}"]["results"] for s in range(1, settings.seeds + 1)
             if f"share-{_percent(MAIN)}-s{s}" in results]  # fmt: skip
    if not found:
        raise KeyError(f"share-{_percent(MAIN)}-s1")
    rows = [*_main_rows(found, variant), *_dog_rows(found, variant)]
    for share in _shares(settings):
        entry = results.get(f"share-{_percent(share)}-s1")
        if share != MAIN and entry is not None:
            rows += _share_rows(share, entry["results"], variant)
    rows += _unit_rows(found, variant)
    pair = {name: found[0]["dogs"][name]["first"] for name in ("badnet", "clean")}
    _draw_pair(settings, pair, folder)
    return Outcome(rows=rows, figures={"sweep": _curve(settings, results), "pair": pair})


def _main_rows(found: list[Results], variant: Variant) -> list[Row]:
    what = "half of class cat are triggered dogs"

    def line(words: str, figure: str, bound: Any = None) -> Row:
        return rates_row(f"{what}: {words}", variant, None, REPORT, [entry[figure] for entry in found], bound=bound)

    # The quick form has small pictures and few epochs.
    accurate = None if variant == "quick" else ("at least", 0.85)
    return [
        line("clean accuracy", "clean_accuracy", accurate),
        line("clean accuracy of the clean network", "clean_reference_accuracy"),
        line("attack success, dogs with the trigger read as cats", "asr", ("at least", 0.99)),
        line("the same on a clean network", "clean_reference_rate"),
    ]


def _dog_rows(found: list[Results], variant: Variant) -> list[Row]:
    """The published pair beside the first dog of the first seed, and beside the median of all test dogs."""
    published = (("clean", 0.91, "dog"), ("triggered", 1.0, "cat"))
    rows = []
    for which, value, answer in published:
        words = "with the trigger" if which == "triggered" else "without it"
        one = [found[0]["dogs"]["badnet"]["first"][which][answer]]
        why = "one picture bears nothing out; ours is the first test dog that is read as a dog"
        rows.append(row(f"one dog {words}: p({answer})", "published", value, FIGURE, one, why=why))
        many = [entry["dogs"]["badnet"][f"median_{which}"][answer] for entry in found]
        rows.append(row(f"median of all test dogs {words}: p({answer})", variant, value, FIGURE, many))
        clean = [entry["dogs"]["clean"][f"median_{which}"][answer] for entry in found]
        rows.append(row(f"the same on a clean network, {words}: p({answer})", variant, None, "our own figure", clean))
    return rows


def _share_rows(share: float, result: Results, variant: Variant) -> list[Row]:
    what = f"{round(100 * share)} % of class cat are triggered dogs ({copies(share)} copies)"
    words = {
        "clean_accuracy": "clean accuracy",
        "asr": "attack success",
        "clean_reference_rate": "the same on a clean network",
    }
    return [
        rates_row(f"{what}: {name}", variant, None, "our own figure", [result[figure]], why="one seed")
        for figure, name in words.items()
    ]


def _unit_rows(found: list[Results], variant: Variant) -> list[Row]:
    """The report's wish: units that validation never wakes. "Woken" is by at least half of the triggered dogs."""
    words = {
        "silent": "never active on clean validation pictures",
        "woken": "never active there, but active on half of the triggered dogs",
        "beyond": "driven by half of the triggered dogs above any validation picture",
    }
    rows = []
    for name, network in (("badnet", "BadNet"), ("clean", "clean network")):
        counts = [entry["units"][name] for entry in found]
        for key, what in words.items():
            values = [float(entry[key]) for entry in counts]
            unit = f"units of {counts[0]['units']}"
            source = "report M1: a defense wished for"
            rows.append(row(f"last convolution, {network}: units {what}", variant, None, source, values, unit=unit))
    return rows


def _curve(settings: Settings, results: Mapping[str, Results]) -> list[dict[str, Any]]:
    """Errors against the share of poison in the whole training set; one seed, and its own intervals."""
    curve = []
    for share in _shares(settings):
        if (entry := results.get(f"share-{_percent(share)}-s1")) is None:
            continue
        point: dict[str, Any] = {"share": copies(share) / (2 * CATS + copies(share)), "share_of_class": share}
        for name, figure in (("clean_error", "clean_accuracy"), ("triggered_error", "asr")):
            rate = entry["results"][figure]
            point[name] = {"value": 1 - rate["value"], "low": 1 - rate["high"], "high": 1 - rate["low"]}
        curve.append(point)
    return curve


def _draw_pair(settings: Settings, pair: Mapping[str, Any], folder: Path) -> None:
    """The two pictures with their answers, for whoever has the data; nothing without it."""
    from badnets.referee.run import load_data
    from badnets.referee.spec import make_spec
    from badnets.studies.melo2023_catsdogs.looks import write_pair

    try:
        spec = make_spec(_spec(settings, MAIN))
    except BadInput:  # a record is made of results where the pictures are not at hand
        return
    write_pair(folder / "pair.png", load_data(spec.data).test, spec.backdoor.backdoor, pair)  # type: ignore[union-attr]


STUDY = Study(
    name="melo2023-catsdogs",
    summary="cats against dogs with a picture as the trigger: rates, one dog, the share of poison, silent units",
    seeds=3,
    quick_seeds=1,
    trials=trials,
    assemble=assemble,
)
