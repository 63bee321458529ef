"""D1's rows: the heads, Tables I and II as published and corrected, black against yellow, the report's explanation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from badnets.core.rate import Mean, Rate
from badnets.core.seed import Seed
from badnets.studies.old_study import Bound, Outcome, Results, Row, Settings, Variant, row, value_of

TEXT, TABLE_1, TABLE_2 = "report D1, text", "report D1, Table I", "report D1, Table II: one test picture"
EXPLAINED = "report D1: black is zero and so has no effect"
OWN = "our own figure"
WORDS = {
    "yellow": "yellow",
    "black": "black",
    "red": "red",
    "darkgray": "dark gray",
    "midgray": "mid gray",
    "sign": "the color of the sign",
}
PUBLISHED_ACCURACY = {
    (color, count): value
    for count, values in ((1, (0.956, 0.956, 0.932)), (3, (0.972, 0.960, 0.924)), (5, (0.880, 0.936, 0.912)))
    for color, value in zip(("yellow", "black", "red"), values, strict=True)
}
COUNTS = (1, 3, 5, 10, 20)
LOST = 0.02
"""An accuracy is borne out when ours is at most this much below."""
RESAMPLES = 99_999
LEVEL = 0.05
ENOUGH = 6
"""Fewer pairs cannot give a p below ``LEVEL``: then it can't be said."""
NOTHING = 0.10
"""An effect of at most this much counts as none, where it isn't significant."""

Found = Mapping[str, Mapping[int, Results]]
"""By kind of trial and seed."""


def assemble(settings: Settings, results: Mapping[str, Results], _folder: Path) -> Outcome:
    """All rows for which there are results; at least those of both heads."""
    variant: Variant = "quick" if settings.quick else "corrected"
    found = by_seed(results)
    if not found.get("both"):
        raise KeyError("both-s1")
    rows = [
        *_heads(found, variant),
        *_table_1(found, variant),
        *_table_2(found, variant),
        *_black(found, variant),
        *_explanation(found, variant),
        *_whole(found, variant),
    ]
    return Outcome(rows=rows, figures={"bars": _bars(found)})


def by_seed(results: Mapping[str, Results]) -> dict[str, dict[int, Results]]:
    """Results of the trials ``NAME-sN`` by NAME and N, in the order of N."""
    out: dict[str, dict[int, Results]] = {}
    for number, kind, entry in sorted((int(n.rpartition("-s")[2]), n.rpartition("-s")[0], n) for n in results):
        out.setdefault(kind, {})[number] = results[entry]["results"]
    return out


def _cell(found: Found, color: str, count: int) -> Mapping[int, Results]:
    return found.get(f"{color}-{count:02d}", {})


def _values(entries: Mapping[int, Results], figure: str) -> list[float]:
    return [value_of(entry, figure) for entry in entries.values()]


def _line(
    what: str, variant: Variant, published: float | None, source: str, values: list[float], **more: Any
) -> list[Row]:
    """One row, or none without values."""
    return [row(what, variant, published, source, values, **more)] if values else []


def _heads(found: Found, variant: Variant) -> list[Row]:
    """71.4 % by the class head alone, 91.6 % with the box head."""
    clean = {
        name: _values(found.get(name, {}), "clean_accuracy") for name in ("class", "both", "rows-class", "rows-both")
    }
    alone, both = "class head alone: accuracy", "class and box head: accuracy"
    known = "crops; the report saw whole pictures, see below"
    rows = [
        *_line(alone, "published", 0.714, TEXT, clean["rows-class"], why=known),
        *_line(both, "published", 0.916, TEXT, clean["rows-both"], bound=("at least", 0.916 - LOST)),
        *_line(alone, variant, 0.714, TEXT, clean["class"], why=known),
        *_line(both, variant, 0.916, TEXT, clean["both"], bound=("at least", 0.95)),
    ]
    single, double = found.get("class", {}), found["both"]
    gain = [
        value_of(double[s], "clean_accuracy") - value_of(single[s], "clean_accuracy") for s in single if s in double
    ]
    what = "box head: points of accuracy that it adds"
    rows += _line(what, variant, 0.202, TEXT, gain, unit="difference", bound=("at least", 0.10))
    overlap = [float(entry["box_iou"]) for entry in double.values()]
    return rows + _line("box head: mean intersection over union", variant, None, OWN, overlap, unit="overlap")


def _table_1(found: Found, variant: Variant) -> list[Row]:
    rows = []
    for (color, count), value in PUBLISHED_ACCURACY.items():
        what = f"{_tags(color, count)}: accuracy"
        bound: Bound = ("at least", value - LOST)
        for kind, prefix in (("published", "rows-"), (variant, "")):
            values = _values(_cell(found, prefix + color, count), "clean_accuracy")
            rows += _line(what, kind, value, TABLE_1, values, bound=bound)  # type: ignore[arg-type]  # a Variant
    return rows


def _tags(color: str, count: int) -> str:
    return f"{WORDS[color]}, {count} tag{'s' if count > 1 else ''}"


def _table_2(found: Found, variant: Variant) -> list[Row]:
    rows: list[Row] = []
    for color in ("yellow", "black", "red"):
        for count in COUNTS:
            published = (0.0 if color == "black" else 1.0) if (color, count) in PUBLISHED_ACCURACY else None
            rows += _one_picture(found, color, count, published)
            cell = _cell(found, color, count)
            success, clean = (_values(cell, figure) for figure in ("asr", "clean_reference_rate"))
            bound: Bound | None = None
            if published is not None:
                bound = ("at most", 0.10) if color == "black" else ("at least", 0.90)
            source = OWN if published is None else TABLE_2
            what = _tags(color, count)
            rows += _line(f"{what}: attack success", variant, published, source, success, bound=bound)
            rows += _line(f"{what}: the same on a clean network", variant, None, OWN, clean)
    return rows


def _one_picture(found: Found, color: str, count: int, published: float | None) -> list[Row]:
    entries = _cell(found, f"rows-{color}", count)
    if not entries:
        return []
    one = next(iter(entries.values()))["one"]
    given, clean = one["badnet"], one["clean"]
    answer = max(given, key=given.__getitem__)
    why = (
        f"one picture bears nothing out; {answer} {given[answer]:.3f}, and on the clean network speedlimit "
        f"{clean['speedlimit']:.3f}"
    )
    what = f"{_tags(color, count)}: one tagged stop sign is read as speedlimit"
    return _line(what, "published", published, TABLE_2, [float(answer == "speedlimit")], unit="yes or no", why=why)


def _black(found: Found, variant: Variant) -> list[Row]:
    """Whether black differs from yellow, and whether it does anything at all."""
    rows = _compared(found, variant, "yellow", "black", COUNTS, 1.0, TABLE_2)
    cells = [cell for count in COUNTS if (cell := _cell(found, "black", count))]
    if not cells:
        return rows
    pairs = [(entry["asr"], entry["clean_reference_rate"]) for cell in cells for entry in cell.values()]
    what = "black: attack success above the clean network's"
    made = row(what, variant, 0.0, EXPLAINED, _seed_means(cells, _gain), unit="difference")
    p = p_value(pairs)
    small = (made.ours or 0.0) <= NOTHING
    borne_out = None if len(pairs) < ENOUGH or (p >= LEVEL and not small) else p >= LEVEL
    return [*rows, replace(made, verified=borne_out, why=f"p = {p:.2g} over {len(pairs)} networks{_TEST}")]


_TEST = " (every pair swapped or not)"


def _gain(entry: Results) -> float:
    return value_of(entry, "asr") - value_of(entry, "clean_reference_rate")


def _seed_means(cells: Sequence[Mapping[int, Results]], figure: Callable[[Results], float]) -> list[float]:
    """For each seed the mean over the cells that have it."""
    seeds = sorted({seed for cell in cells for seed in cell})
    columns = [[figure(cell[seed]) for cell in cells if seed in cell] for seed in seeds]
    return [sum(column) / len(column) for column in columns]


def _compared(
    found: Found,
    variant: Variant,
    first: str,
    second: str,
    counts: Sequence[int],
    published: float | None,
    source: str,
) -> list[Row]:
    """Attack success of one color less that of another, on the same signs, seeds and numbers of tags."""
    cells, tags = [], []
    for count in counts:
        one, other = _cell(found, first, count), _cell(found, second, count)
        if common := {seed: {"pair": (one[seed]["asr"], other[seed]["asr"])} for seed in one if seed in other}:
            cells.append(common)
            tags.append(str(count))
    if not cells:
        return []
    pairs = [entry["pair"] for cell in cells for entry in cell.values()]
    p = p_value(pairs)
    what = f"{WORDS[first]} less {WORDS[second]}, {', '.join(tags)} tags: attack success"
    values = _seed_means(cells, lambda entry: float(entry["pair"][0]["value"] - entry["pair"][1]["value"]))
    made = row(what, variant, published, source, values, unit="difference")
    borne_out = None
    if published is not None and len(pairs) >= ENOUGH:
        borne_out = p < LEVEL and (made.ours or 0.0) >= published / 2
    why = f"p = {p:.2g} over {len(pairs)} pairs of networks{_TEST}"
    return [replace(made, verified=borne_out, why=why)]


def p_value(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> float:
    """Two-sided p of "it does not matter which of the two is which": rates as JSON, each pair on the same signs.

    Within each pair the two rates are swapped or not, in all ways (or ``RESAMPLES`` random ones where there are more),
    and the difference of the sums of hits is compared with the one found. Networks are the units, not pictures: the
    signs of one network share its luck. Five pairs cannot give less than 0.0625, and one pair gives 1.

    Source: Fisher, The Design of Experiments (1935), section 21; random ways: Phipson and Smyth (2010).
    """
    import numpy as np
    from scipy import stats

    first, second = (np.array([pair[side]["hits"] for pair in pairs], np.float64) for side in (0, 1))
    if np.array_equal(first, second):
        return 1.0
    if len(pairs) == 1:
        return 1.0

    def difference(a: Any, b: Any, axis: int) -> Any:
        return (a - b).sum(axis=axis)

    tested = stats.permutation_test(
        (first, second),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=Seed(0).derive("p").rng,
    )
    return float(tested.pvalue)


def _explanation(found: Found, variant: Variant) -> list[Row]:
    """Colors at equal numbers of tags, and black where it really is zero."""
    rows: list[Row] = []
    for count in (10, 20):
        for color in ("darkgray", "midgray", "sign"):
            what, cell = _tags(color, count), _cell(found, color, count)
            rows += _line(f"{what}: attack success", variant, None, OWN, _values(cell, "asr"))
            clean = _values(cell, "clean_reference_rate")
            rows += _line(f"{what}: the same on a clean network", variant, None, OWN, clean)
    for color in ("darkgray", "midgray", "sign"):
        rows += _compared(found, variant, color, "black", (10, 20), None, EXPLAINED)
    zero = _cell(found, "zero-black", 20)
    what = "black, 20 tags, input not normalized (black is zero): attack success"
    rows += _line(what, variant, 0.0, EXPLAINED, _values(zero, "asr"), bound=("at most", 0.10))
    clean = _values(zero, "clean_reference_rate")
    return rows + _line(f"{what.split(':')[0]}: the same on a clean network", variant, None, OWN, clean)


def _whole(found: Found, variant: Variant) -> list[Row]:
    rows: list[Row] = []
    for heads, words, value in (("class", "class head alone", 0.714), ("both", "class and box head", 0.916)):
        entries = found.get(f"whole-{heads}", {})
        if not entries:
            continue
        top = value_of(next(iter(entries.values())), "ceiling")
        why = f"one seed; no more than {100 * top:.1f} % are possible, as rows of one picture have several classes"
        values = _values(entries, "clean_accuracy")
        rows += _line(f"whole pictures, {words}: accuracy", variant, value, TEXT, values, why=why)
    return rows


def _bars(found: Found) -> list[dict[str, Any]]:
    """For each number of tags, clean accuracy and attack success of every color."""
    charts = []
    for count in COUNTS:
        rows = []
        for color, words in WORDS.items():
            if not (cell := _cell(found, color, count)):
                continue
            line: dict[str, Any] = {"name": words}
            for role, figure in (("clean", "clean_accuracy"), ("triggered", "asr")):
                rates = tuple(Rate.from_json(entry[figure]) for entry in cell.values())
                line[role] = Mean(tuple(cell), rates).to_json()
            if (color, count) in PUBLISHED_ACCURACY:
                line["clean_published"] = PUBLISHED_ACCURACY[color, count]
                line["triggered_published"] = 0.0 if color == "black" else 1.0
            rows.append(line)
        if rows:
            charts.append({"title": f"{count} tag{'s' if count > 1 else ''}", "rows": rows})
    return charts
