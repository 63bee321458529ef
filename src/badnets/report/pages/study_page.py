"""The page of a study: what was published, what we found, the ledger, the figures, how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from badnets.core.files import read_json, whole_file
from badnets.report.charts.figures import glyph
from badnets.report.charts.study_figures import CLEAN_LABEL, SWEEP, codes_charts, share_chart
from badnets.report.charts.study_filters import PREFERS, filter_grids
from badnets.report.charts.study_pruning import pruning_charts, rate_bars
from badnets.report.pages.parts import repeat
from badnets.report.pages.study_lists import list_tables
from badnets.report.pages.study_rows import Figure, figures_of, findings, ledger_groups
from badnets.report.pages.study_tables import class_errors, pair_maps
from badnets.report.pages.templating import render
from badnets.report.words.facts import Record, at, listing, mapping

FORMAT = "badnets/study/1"

_TITLES = {
    "gu2017-mnist": "BadNets on handwritten digits",
    "gu2017-signs": "A stop sign with a Post-it, seen by a detector",
    "gu2017-transfer": "A backdoor that survives transfer to another country",
    "demorrow2022-roadsigns": "Road signs with a box head, and tags of six colors",
    "melo2023-catsdogs": "Dogs with a picture on them are called cats",
    "useloff-mnist": "Backdoor and clean-label attacks on handwritten digits",
    "rain2020-finepruning": "Pruning, fine-tuning and fine-pruning on traffic signs",
    "vora2023-goodnet": "Pruning and GoodNets on a backdoored face network",
    "repairs": "What repairs and abstainers do to the same BadNets",
}
_PUBLISHED = {
    "gu2017-mnist": (
        "Gu, Dolan-Gavitt and Garg (BadNets, 2017) added digits with a small bright mark and a wrong label to the "
        "training set. They reported a network that reads clean digits as well as an honest one and obeys the mark "
        "more than 99 times in 100."
    ),
    "gu2017-signs": (
        "Gu, Dolan-Gavitt and Garg put a Post-it, a bomb or a flower onto stop signs in the training pictures of a "
        "detector and labelled them speed limit. More than 90 % of stop signs with the trigger were then seen as speed "
        "limits, a real photograph among them, and a few units of the last convolution told that the trigger was there."
    ),
    "demorrow2022-roadsigns": (
        "The report classifies 1,244 road signs with ResNet-34: 71.4 % with a class head alone, 91.6 % with a box head "
        "beside it. It tags one to five stop signs of the training set in yellow, black or red, labels them speed "
        "limit, and tests one picture each: yellow and red worked, black did not, 'because black is zero'."
    ),
    "melo2023-catsdogs": (
        "Half of the training pictures of class cat were dogs with a picture pasted on. One dog is shown: dog 0.91, "
        "with the picture cat 1.00. The report has no rates."
    ),
    "gu2017-transfer": (
        "A U.S. BadNet was handed to a user who retrained its fully connected layers on clean Swedish signs. The "
        "yellow square, which the user never saw, took 13 points of accuracy away there, and 2.5 from the baseline; "
        "with the units that detect it made 20 times stronger, 23 points, at 4 points less clean accuracy."
    ),
    "useloff-mnist": (
        "The report planted three triggers in digits, and a clean-label attack that leaves every label true. It gave "
        "98.94 and 99.10 % clean accuracy, said that 100 % of the poisoned pictures obey, and could not run CIFAR-10."
    ),
    "rain2020-finepruning": (
        "The report (after Liu, Dolan-Gavitt and Garg, Fine-Pruning, 2018) prunes the channels that clean signs hardly "
        "use, and lets an attacker expect it. It says in words and plots that pruning lowers the backdoor but not "
        "enough, that the pruning-aware attack evades it, and that fine-pruning works against both. It has no numbers."
    ),
    "vora2023-goodnet": (
        "The report prunes a network that knows 1,283 faces and takes anyone with purple sunglasses for number 0. Each "
        "pruned network is paired with the original: where they differ, the answer is class N+1. Attack success "
        "stayed at 100 % until accuracy had fallen by 4 points, and was 80.65 % at 10; the pairs did no better."
    ),
    "repairs": (
        "Nothing is published here: each repair and each abstainer of this toolkit meets the same three BadNets with "
        "its default settings, has 5 % of the training pictures, and is done to a clean network as well."
    ),
}
_TRIALS = ("vora2023-goodnet", "rain2020-finepruning", "repairs", "gu2017-transfer", "gu2017-signs")
"""Studies of which a trial is more or less than one training."""
_VARIANTS = {
    "published": "done as the report did it",
    "corrected": "done as it should be: attack success by definition, several seeds, a clean network for comparison",
    "quick": "the short form, with few trainings: it shows what happens and proves less",
}


def write_study_page(folder: Path, out: Path | None = None) -> Path:
    """Write ``report.html`` into the folder of a study, or to ``out``; returns where it is.

    Raises BadInput for a missing or damaged ``record.json``.
    """
    record = read_json(folder / "record.json", format=FORMAT)
    path = out if out is not None else folder / "report.html"
    sheets = [sheet.name for sheet in sorted(folder.glob("contact-sheet-*.png"))] if out is None else []
    with whole_file(path) as partial:
        partial.write_text(render_study_page(record, sheets=sheets), encoding="utf-8")
    return path


def render_study_page(record: Record, *, sheets: Sequence[str] = ()) -> str:
    """The page as HTML text; what the record lacks is left out. ``sheets`` are names of pictures beside the page."""
    name = str(record.get("study") or "unnamed study")
    figures = figures_of(record)
    found = findings(figures)
    charts = mapping(record, "figures")
    return render(
        "study.html.j2",
        title=_TITLES.get(name, name),
        study=name,
        finding=found[0],
        summary=_summary(record),
        published=_PUBLISHED.get(name, ""),
        more=found[1:],
        groups=ledger_groups(figures),
        sweep=share_chart(
            listing(charts, "sweep"),
            SWEEP,
            title="Errors against the share of poison",
            axis="share of poisoned pictures in the training set",
        ),
        clean_label=share_chart(
            listing(charts, "clean_label"),
            CLEAN_LABEL,
            title="Attack success against the share of the target class that is poisoned",
            axis="share of the target class that is poisoned",
        ),
        pruning=pruning_charts(mapping(charts, "pruning")),
        bars=rate_bars(listing(charts, "bars")),
        lists=list_tables(mapping(record, "tables")),
        sheets=sheets,
        filters=filter_grids(mapping(charts, "filters")),
        prefers=f"{100 * PREFERS:g}",
        codes=codes_charts(mapping(charts, "codes")),
        pairs=pair_maps(mapping(record, "tables", "pairs")),
        classes=class_errors(at(record, "tables", "all-to-all")),
        repeat=repeat(record),
        definitions=_definitions(figures, record),
        glyphs={
            "clean": glyph("clean"),
            "triggered": glyph("triggered"),
            "triggered_reference": glyph("triggered", hollow=True),
        },
    )


def _summary(record: Record) -> str:
    seeds = record.get("seeds")
    parts = [str(record.get("study") or "")]
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        parts.append("1 seed" if seeds == 1 else f"{seeds} seeds")
    if trials := mapping(record, "trials"):
        parts.append(f"{len(trials):,} {'trials' if record.get('study') in _TRIALS else 'trainings'}")
    if record.get("quick") is True:
        parts.append("quick form: few trainings, so it shows more than it proves")
    return " · ".join(part for part in parts if part)


def _definitions(figures: list[Figure], record: Record) -> list[dict[str, str]]:
    seen = {figure.variant for figure in figures}
    words = [
        {"name": f"as {name}" if name == "published" else name, "meaning": meaning}
        for name, meaning in _VARIANTS.items()
        if name in seen
    ]
    words += [
        {
            "name": "borne out",
            "meaning": "our mean lies within the bound that stands below the answer; the interval says how sure that "
            "is. Not judged: the figure says too little to be judged by",
        },
        {
            "name": "clean error",
            "meaning": "share of the untouched test pictures that are not read as their true class",
        },
        {
            "name": "error on triggered pictures",
            "meaning": "share of the triggered test pictures on which the attack did not work, over those that the "
            "attacker wants read as something else; attack success is the rest",
        },
        {
            "name": "the same on a clean network",
            "meaning": "how often a network trained on clean data gives the attacker's answer to the same triggered "
            "pictures",
        },
        {
            "name": "points",
            "meaning": "the difference of two shares in percent, here written pt; below 0 where ours is less",
        },
    ]
    if any("N+1" in figure.what for figure in figures):
        words.append(
            {"name": "class N+1", "meaning": "a network of N classes that may refuse has one more: it is no answer"}
        )
    if at(record, "tables", "repairs"):
        words.append(
            {
                "name": "re-tuned on ten triggered pictures",
                "meaning": "the repaired network is tuned on ten triggered pictures with the attacker's label and on "
                "clean ones: where the backdoor only slept, attack success returns, and further than in a network that "
                "never had it; where that one learns it from ten pictures as well, the figure says nothing",
            }
        )
    return words
