"""The published tables of study G3, and the rows and drawings that set ours beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from badnets.core.old import mean_difference
from badnets.core.rate import PairedDifference
from badnets.studies.old_study import Bound, Results, Row, Variant, over, row

PAPER = "G3: the Swedish network, as told by M1"
MAIN = 20
"""The strength that is judged; fixed beforehand, or the best of several would be chosen on the test set."""
BASELINE = {
    "information": (0.695, 0.719), "mandatory": (0.553, 0.505), "prohibitory": (0.897, 0.854),
    "warning": (0.681, 0.508), "other": (0.593, 0.569), "average": (0.727, 0.702),
}  # fmt: skip
BADNET = {
    "information": (0.740, 0.624), "mandatory": (0.690, 0.467), "prohibitory": (0.858, 0.775),
    "warning": (0.635, 0.409), "other": (0.614, 0.442), "average": (0.749, 0.616),
}  # fmt: skip
"""The first published table: accuracy on clean and on triggered signs."""
STRENGTHENED = {
    1: (0.749, 0.616), 10: (0.713, 0.497), 20: (0.683, 0.451), 30: (0.653, 0.405), 50: (0.624, 0.343),
    70: (0.608, 0.328), 100: (0.594, 0.308),
}  # fmt: skip
"""The second: the average for each strength k."""


class Table:
    """Makes the rows of one setting."""

    def __init__(self, title: str, seeds: Sequence[int], variant: Variant) -> None:
        self.title, self.seeds, self.variant = title, seeds, variant

    def rate(self, what: str, published: float | None, rates: Sequence[Mapping[str, Any]], why: str = "") -> Row:
        """A share, with the interval over seeds or its own."""
        base = row(self._named(what), self.variant, published, PAPER, [r["value"] for r in rates], why=why)
        ends = over(rates)
        return Row(**{**base.__dict__, "low": ends["low"], "high": ends["high"]})

    def lost(self, what: str, published: float | None, entries: Sequence[Mapping[str, Any]], bound: Bound) -> Row:
        """Clean accuracy minus accuracy with the trigger, on the same pictures."""
        counts = ("both", "first_only", "second_only", "neither")
        pairs = [PairedDifference(*(entry["lost"][name] for name in counts)) for entry in entries]
        base = self.points(what, published, [float(entry["lost"]["value"]) for entry in entries], bound)
        ends = mean_difference(self.seeds, pairs)
        return Row(**{**base.__dict__, "low": ends["low"], "high": ends["high"]})

    def points(self, what: str, published: float | None, values: Sequence[float], bound: Bound | None) -> Row:
        """A difference of shares, one for each seed."""
        return row(self._named(what), self.variant, published, PAPER, values, unit="difference", bound=bound)

    def nothing(self, what: str, published: float, why: str) -> Row:
        """A published figure to which there is none of ours."""
        base = row(self._named(what), self.variant, published, PAPER, [0.0], why=why)
        return Row(**{**base.__dict__, "ours": None, "low": None, "high": None, "n_seeds": 0})

    def _named(self, what: str) -> str:
        return f"{self.title}, {what}"


def _average(entry: Mapping[str, Any], which: str = "clean") -> float:
    return float(entry["classes"]["average"][which]["value"])


def _drop(table: Mapping[Any, tuple[float, float]], key: Any) -> float:
    clean, triggered = table[key]
    return clean - triggered


def judged(table: Table, found: Sequence[Results]) -> list[Row]:
    """What the square takes away: from the baseline, from the BadNet for each k, and beyond the baseline."""
    baseline = [r["baseline"] for r in found]
    base = _drop(BASELINE, "average")
    rows = [table.lost("points lost to the square: clean home network", base, baseline, ("at most", base))]
    for k in _ks(found):
        published = _drop(STRENGTHENED, k) if k in STRENGTHENED else None
        bound: Bound = ("at least", 0.25 if k == MAIN else published or _drop(STRENGTHENED, 1))
        entries = [r["badnet"][str(k)] for r in found]
        rows.append(table.lost(f"points lost to the square: BadNet, k = {k}", published, entries, bound))
    for k in (1, MAIN):
        pairs = [(r["badnet"][str(k)], r["baseline"]) for r in found]
        more = [float(own["lost"]["value"]) - float(other["lost"]["value"]) for own, other in pairs]
        excess = _drop(STRENGTHENED, k) - base
        what = f"points lost beyond the clean home network's: BadNet, k = {k}"
        rows.append(table.points(what, excess, more, ("at least", excess)))
        gained = [_average(own) - _average(other) for own, other in pairs]
        published = STRENGTHENED[k][0] - BASELINE["average"][0]
        what = f"clean accuracy minus the clean home network's: BadNet, k = {k}"
        rows.append(table.points(what, published, gained, ("at least", -0.03)))
    return rows


def _ks(found: Sequence[Results]) -> list[int]:
    return sorted(int(k) for k in found[0]["badnet"])


_OTHER = "other signs and another network: what the square takes away is compared"


def classes(table: Table, found: Sequence[Results]) -> list[Row]:
    """The first published table."""
    networks: dict[str, tuple[Any, Callable[[Results], Any]]] = {
        "clean home network": (BASELINE, lambda r: r["baseline"]),
        "BadNet, k = 1": (BADNET, lambda r: r["badnet"]["1"]),
    }
    rows = []
    for words, (published, entry_of) in networks.items():
        for name in BASELINE:
            for i, which in enumerate(("clean", "triggered")):
                what = f"accuracy, {words}: {name}, {which}"
                if name not in entry_of(found[0])["classes"]:
                    rows.append(table.nothing(what, published[name][i], f"these data have no {name} signs"))
                    continue
                rates = [entry_of(r)["classes"][name][which] for r in found]
                rows.append(table.rate(what, published[name][i], rates, _OTHER))
    return rows


def strengths(table: Table, found: Sequence[Results]) -> list[Row]:
    """The second published table; k = 1 stands in the first."""
    rows = []
    for k in _ks(found)[1:]:
        published = STRENGTHENED.get(k, (None, None))
        for i, which in enumerate(("clean", "triggered")):
            rates = [r["badnet"][str(k)]["classes"]["average"][which] for r in found]
            rows.append(table.rate(f"accuracy, BadNet, k = {k}: average, {which}", published[i], rates, _OTHER))
    return rows


def at_home(table: Table, found: Sequence[Results]) -> list[Row]:
    """Both networks before they are handed over."""
    return [
        table.rate(
            f"at home, {words}: accuracy, {which}", None, [r["home"][kind]["classes"]["average"][which] for r in found]
        )
        for kind, words in (("clean", "clean network"), ("badnet", "BadNet"))
        for which in ("clean", "triggered")
    ]


def users(table: Table, found: Sequence[Results]) -> list[Row]:
    """Users who do otherwise, with the clean home network and with the BadNet of the main strength."""
    rows = []
    for name in found[0]["users"]:
        for kind, words in (("baseline", "clean home network"), ("badnet", f"BadNet, k = {MAIN}")):
            for which in ("clean", "triggered"):
                rates = [r["users"][name][kind]["classes"]["average"][which] for r in found]
                rows.append(table.rate(f"a user {name}, {words}: accuracy, {which}", None, rates))
    return rows


def bars_of(title: str, found: Sequence[Results]) -> list[dict[str, Any]]:
    """Both tables as drawings."""

    def line(name: str, entries: Sequence[Mapping[str, Any]], key: str, published: Any) -> dict[str, Any]:
        own = {which: _pooled([e["classes"][key][which] for e in entries]) for which in ("clean", "triggered")}
        beside = dict(zip(("clean_published", "triggered_published"), published, strict=True)) if published else {}
        return {"name": name, **own, **beside}

    baseline, badnet = [r["baseline"] for r in found], [r["badnet"]["1"] for r in found]
    names = [name for name in BASELINE if name in baseline[0]["classes"]]
    strengths = [
        line(f"k = {k}", [r["badnet"][str(k)] for r in found], "average", STRENGTHENED.get(k)) for k in _ks(found)
    ]
    charts = {
        "the clean home network's user": [line(n, baseline, n, BASELINE[n]) for n in names],
        "the BadNet's user, k = 1": [line(n, badnet, n, BADNET[n]) for n in names],
        "the BadNet's user, average for each strength": strengths,
    }
    measure = "accuracy on signs with the square"
    return [{"title": f"{title}: {words}", "measure": measure, "rows": rows} for words, rows in charts.items()]


def _pooled(rates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A rate for a drawing: counts over all seeds, the mean and its interval."""
    return {"hits": sum(r["hits"] for r in rates), "total": sum(r["total"] for r in rates), **over(rates)}
