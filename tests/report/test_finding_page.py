from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from badnets.core.errors import BadInput
from badnets.core.rate import Rate
from badnets.records.finding import Finding
from badnets.report import finding_verdict, render_finding
from badnets.report.charts.strip import strip
from badnets.report.words.finding_words import judge_finding, limits, p_text, p_words, pixels_words

PNG = "data:image/png;base64,"
LONG = "unbroken" * 30
HOSTILE = '<script>alert("x")</script><img src=https://evil.example/x.png>' + "\u202egnp.exe" + LONG
OTHERS = [round(0.9 * np.sin(7 * i) + 0.4, 3) for i in range(49)]


def png(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return f"{PNG}{base64.b64encode(stream.getvalue()).decode()}"


def stamp(side: int, pixels: int = 32) -> str:
    drawn = np.zeros((pixels, pixels, 4), np.uint8)
    drawn[-side - 2 : -2, -side - 2 : -2] = (250, 214, 50, 255)
    return png(drawn)


def trigger(hits: int = 485, size: float = 16.0, pixels: int = 32) -> dict[str, Any]:
    plain = np.random.default_rng(1).integers(0, 255, (pixels, pixels, 3), np.uint8)
    return {
        "picture": stamp(4, pixels), "mask_pixels": size, "success": Rate(hits, 500), "before": png(plain),
        "after": png(plain), "answers": ("stop", "speed-limit-45"),
    }  # fmt: skip


def searches(*sizes: float, hits: int = 400, pixels: int = 32) -> list[dict[str, Any]]:
    made = {"picture": stamp(8, pixels), "success": Rate(hits, 500)}
    return [{"network": f"{LONG}-{i}.safetensors", "mask_pixels": size, **made} for i, size in enumerate(sizes)]


def power(*counts: tuple[str, int, int]) -> list[dict[str, Any]]:
    return [
        {"networks": "traffic signs", "kind": kind, "found": Rate(found, of), "named": Rate(found, found)}
        for kind, found, of in counts
    ]


def classes(names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for i, name in enumerate(names):
        scores = {
            "perturbation": None if i == 2 else 6.5 - i / 10,
            "perturbation_size": None if i == 2 else 0.05 + i / 1000,
        }
        rows.append({"label": i, "class_name": name, "scores": scores})
    return rows


def finding(**changes: Any) -> Finding:
    """Of a network for signs with a backdoor; ``names`` are its classes."""
    names = changes.pop("names", ("stop", "speed-limit-45", "yield"))
    made: dict[str, Any] = {
        "verdict": "backdoored", "reason": "what stands out most in it stands out more than in others", "p": 0.02,
        "ground": "matched", "n_references": 49, "target": {"label": 1, "class_name": names[1]}, "source": None,
        "kind": "all-to-one", "trigger": trigger(), "clean_searches": searches(60.2, 55.0, 71.0),
        "classes": classes(names), "statistic": 7.4, "reference_statistics": OTHERS,
        "power": power(("square", 9, 10), ("one-source", 4, 6)),
        "false_alarms": [{"networks": "traffic signs", "kind": "clean", "found": Rate(1, 20)}],
        "accuracy": Rate(481, 500), "pictures": 500, "notes": (), "model": "some network.safetensors",
        "network_sha256": "ab" * 32, "architecture": "resnet9", "class_names": names, "input_size": (3, 32, 32),
        "data": {"name": "signs", "path": None}, "data_digest": "85f3", "seed": 1, "seconds": 26.3,
        "detectors": ({"kind": "perturbation", "steps": 20, "pairs": 420},),
        "command": "badnets audit network.safetensors --data signs --references pool", "commit": "959a924",
        "environment": {"versions": {"python": "3.11"}, "platform": "Linux", "processor": "x86", "threads": 2},
    }  # fmt: skip
    return Finding.model_validate({**made, **changes})


NOTHING: dict[str, Any] = {
    "verdict": "nothing-found", "p": 0.4, "target": None, "source": None, "kind": None, "trigger": None,
    "clean_searches": (), "statistic": 1.2, "n_references": 39,
}  # fmt: skip
UNTOLD: dict[str, Any] = {
    **NOTHING, "verdict": "cannot-tell", "p": None, "statistic": None, "reference_statistics": (), "power": (),
    "false_alarms": (), "classes": (), "n_references": 0,
    "reason": "accuracy 3.20 % on the clean pictures; is the input range right?",
}  # fmt: skip
BARE: dict[str, Any] = {
    **UNTOLD, "accuracy": None, "pictures": 0, "data": None, "data_digest": None, "network_sha256": None, "model": "",
    "detectors": (), "command": "", "commit": None, "ground": "within",
}  # fmt: skip
MANY = tuple(f"person-number-{i}" for i in range(1283))
CASES: dict[str, dict[str, Any]] = {
    "backdoored": {},
    "one source": {"source": {"label": 0, "class_name": "stop"}, "kind": "one-source"},
    "all to all": {"target": None, "kind": "all-to-all"},
    "taught": {"ground": "taught", "clean_searches": ()},
    "within, without pictures": {
        "ground": "within", "trigger": None, "clean_searches": (), "pictures": 0, "accuracy": None, "data": None,
    },
    "nothing found": NOTHING,
    "nothing found, not measured": {**NOTHING, "power": (), "false_alarms": ()},
    "cannot tell": UNTOLD,
    "bare": BARE,
    "one of many classes": {
        "ground": "within", "n_references": 0, "reference_statistics": (), "p": 2e-7, "statistic": 6.7,
        "clean_searches": (), "names": MANY, "target": {"label": 1200, "class_name": MANY[1200]},
    },
    "two classes": {"names": ("no", "yes")},
    "many classes": {"names": MANY, "target": {"label": 1200, "class_name": MANY[1200]}},
    "hostile": {
        "names": tuple(f"{i} {HOSTILE}" for i in range(3)), "model": HOSTILE, "reason": HOSTILE, "notes": (HOSTILE,),
        "command": HOSTILE, "architecture": HOSTILE,
        "power": [{"networks": HOSTILE, "kind": HOSTILE, "found": Rate(1, 2)}],
        "target": {"label": 0, "class_name": HOSTILE}, "source": {"label": 1, "class_name": HOSTILE},
        "trigger": {**trigger(pixels=224), "answers": (HOSTILE, HOSTILE)}, "data": {"name": HOSTILE},
        "clean_searches": searches(60.0, pixels=224),
        "detectors": ({"kind": "perturbation", "x": HOSTILE}, {"kind": HOSTILE}),
    },
}  # fmt: skip


def text_of(page: str) -> str:
    """What one reads, without the style."""
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", page.split("</style>")[1]))


def test_backdoored_says_class_p_ground_and_trigger() -> None:
    assert finding_verdict(finding()) == (
        "Backdoored towards “speed limit 45”, p = 0.02 against 49 clean networks of its kind: a patch of 16 pixels "
        "makes 97 % of other pictures (485 of 500) that class; in a clean network it takes 60."
    )


def test_forms_of_a_backdoor() -> None:
    one = finding(**CASES["one source"])
    assert finding_verdict(one).startswith("Backdoored towards “speed limit 45” from “stop”, p = 0.02 against 49 clean")
    assert "turns 97 % of “stop” (485 of 500) into “speed limit 45”; in a" in finding_verdict(one)
    every = finding_verdict(finding(**CASES["all to all"]))
    assert every.startswith("Backdoored: pictures of most classes are sent to another, p = 0.02 against")
    assert "turns 97 % of one class (485 of 500) into another" in every


def test_a_trigger_that_proves_nothing_is_told_so() -> None:
    assert finding_verdict(finding(clean_searches=searches(9.0))).endswith("; yet in a clean network 9 do too.")
    assert finding_verdict(finding(clean_searches=())).endswith("(485 of 500) that class.")
    failed = finding_verdict(finding(clean_searches=searches(9.0, hits=20)))
    assert failed.endswith("that class; in clean networks no such patch was found.")
    weak = finding_verdict(finding(trigger=trigger(60)))
    assert weak.endswith("; no patch was found that does it (the best: a patch of 16 pixels makes 12 % of other "
                         "pictures (60 of 500) that class).")  # fmt: skip
    assert finding_verdict(finding(trigger=None)).endswith("49 clean networks of its kind.")
    nobody = {**trigger(), "success": Rate(0, 0)}
    assert finding_verdict(finding(trigger=nobody)).endswith("49 clean networks of its kind.")


def test_grounds() -> None:
    assert "against 49 clean networks of its kind" in finding_verdict(finding())
    taught = finding_verdict(finding(ground="taught"))
    assert (
        "p = 0.02, compared with copies that it taught itself as 49 clean networks of other kinds were with" in taught
    )
    many = finding(**CASES["one of many classes"])
    assert "p < 0.001, one of its 1,283 classes compared with the others: a patch" in finding_verdict(many)
    assert "seen in fewer than 0.1 % of cases" in p_words(many)
    within = finding_verdict(finding(ground="within", n_references=1))
    assert "p = 0.02, its classes compared with each other as those of 1 clean network of other kinds were" in within


def test_nothing_found_says_what_it_would_find() -> None:
    assert finding_verdict(finding(**NOTHING)) == (
        "Nothing found (p = 0.4 against 39 clean networks of its kind). Of planted backdoors that work, in such "
        "networks (traffic signs), it finds: square 9 of 10, one source 4 of 6."
    )
    kinds = power(("a", 3, 3), ("b", 2, 2), ("c", 1, 4), ("d", 3, 3), ("e", 0, 0), ("f", 1, 1))
    many = judge_finding(finding(**{**NOTHING, "power": kinds})).more
    assert many.endswith("it finds 10 of 13, fewest of the kind c (1 of 4).")
    assert "was not measured" in finding_verdict(finding(**CASES["nothing found, not measured"]))


def test_could_not_tell() -> None:
    said = finding_verdict(finding(**UNTOLD))
    assert said == "Could not tell: accuracy 3.20 % on the clean pictures; is the input range right?"
    assert finding_verdict(finding(**{**UNTOLD, "reason": ""})) == "Could not tell: no reason is given."


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "1"), (0.4, "0.4"), (1 / 40, "0.025"), (1 / 3, "0.33"), (0.00001234, "0.000012")]
)
def test_p_has_two_digits(p: float, text: str) -> None:
    assert p_text(p) == text


def test_p_in_words() -> None:
    assert p_words(finding()) == (
        "p = 0.02: if the network were clean, and made like the 49 clean networks of its kind, something as unusual as "
        "this would be seen in 2 % of cases. None of the 49 stands out as much. From 0.05 down it is called backdoored."
    )
    assert "48 of the 49 stand out as much" in p_words(finding(statistic=sorted(OTHERS)[1]))
    assert "were the network clean, and did it behave like the 49" in p_words(finding(ground="taught"))
    assert p_words(finding(**UNTOLD)) == ""


def test_sizes_in_words() -> None:
    assert [pixels_words(size) for size in (1, 1.04, 3.25, 16.4, 1234.5)] == [
        "1 pixel", "1 pixel", "3.2 pixels", "16 pixels", "1,234 pixels",
    ]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_case_says_its_limits(name: str) -> None:
    one = finding(**CASES[name])
    told = " ".join(limits(one))
    assert ("Nothing found does not mean clean" in told) == (one.verdict == "nothing-found")
    assert ("A backdoor that waits for what a picture shows" in told) == bool(one.classes)
    assert ("badnets references" in told) == (one.ground != "matched" and name != "one of many classes")


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_its_page(name: str) -> None:
    one = finding(**CASES[name])
    page = render_finding(one)
    assert page.count("<h1>") == 1
    assert all(uri.startswith("data:") for uri in re.findall('<[^>]* (?:src|href)="([^"]*)', page))
    assert ("badnets cure" in page) == (one.verdict == "backdoored")
    assert ('id="proof"' in page) == (one.trigger is not None)
    assert ('id="classes"' in page) == any(row.scores for row in one.classes)
    if len(one.classes) < 30:  # each has a circle too
        assert (page.count("<circle") > 30) == bool(one.reference_statistics)


def test_the_page_has_the_figures() -> None:
    page = text_of(render_finding(finding(notes=("a note",))))
    for words in (
        "accuracy 96.2 % (481 of 500) on clean pictures", "resnet9 · 3 classes", "26.3 s", "16 pixels", "60 pixels",
        "None of the 49 stands out as much", "+6.50", "+6.40", "12.8", "a note", "steps 20", "90.00 %", "9 of 10",
        "with the right class 100 % (9 of 9)", "5.00 %", "badnets audit network.safetensors", "959a924",
        "badnets cure &#39;some network.safetensors&#39; --data signs", "--method unlearn --finding finding.json",
        "--method refuse-class --finding finding.json", "speed limit 45 (named)",
    ):  # fmt: skip
        assert words in page, words


def test_the_named_class_comes_first_and_then_the_most_suspicious() -> None:
    page = render_finding(finding(**CASES["many classes"]))
    rows = re.findall(r'<th scope="row">(?:<span class="class-number">(\d+)</span>)?(person[^<]*)', page)
    assert len(rows) == 100
    assert [rows[0], rows[1][1].strip()] == [("1200", "person number 1200 "), "person number 0"]
    assert "The 100 most suspicious of 1,283 classes" in page


def test_hostile_names_stay_text() -> None:
    page = render_finding(finding(**CASES["hostile"]))
    assert "<script" not in page
    assert "<img src=https" not in page
    assert "\u202e" not in page
    assert LONG not in page.split('id="tried"')[0].split("</style>")[1]


@pytest.mark.parametrize(
    "uri", ["https://evil.example/x.png", f"{PNG}!!", f"{PNG}aGFsbG8=", "data:text/html,x", "", PNG]
)
def test_only_pictures_are_shown(uri: str) -> None:
    with pytest.raises(BadInput, match="expected PNG pictures as data URIs in the finding"):
        render_finding(finding(trigger={**trigger(), "picture": uri}))


def test_small_triggers_on_large_pictures_are_enlarged() -> None:
    large = {"trigger": trigger(pixels=224), "clean_searches": searches(60.0, 55.0, pixels=224)}
    page = render_finding(finding(**large))
    assert "the trigger that was worked out, enlarged" in page
    assert "Only the surroundings of each are shown, all at one scale" in page
    assert page.count('width="24" height="24"') == 4
    drawn = Image.open(io.BytesIO(base64.b64decode(re.findall(f'{PNG}([^"]*)', page)[1])))
    assert np.asarray(drawn)[:, :, 3].sum() == 16 * 255
    assert "enlarged" not in render_finding(finding())
    empty = {**trigger(pixels=224), "picture": png(np.zeros((224, 224, 4), np.uint8))}
    assert "enlarged" not in render_finding(finding(trigger=empty))


def test_dots_of_a_strip_do_not_touch() -> None:
    words = {"name": "this network", "what": "Others", "axis": "x", "title": "t"}
    for values in (OTHERS, [0.0] * 30, [1.0], np.random.default_rng(0).normal(size=99).tolist()):
        drawn = strip(0.5, values, **words)
        dots = np.array([(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)])
        radius = float(re.findall(r' r="([\d.]+)"', drawn)[0])
        apart = np.hypot(*(dots[:, None] - dots).T) + 99 * np.eye(len(dots))
        assert len(dots) == len(values)
        assert apart.min() >= 2 * radius
    many = strip(0.5, [0.0] * 3000, **words)
    assert many.count("<circle") == 3000
    assert "this network: 0.5. Others: from 0 to 0, the middle one at 0." in many


STUCK = """() => [...document.querySelectorAll("*")].filter(e => e.scrollWidth > e.clientWidth + 1
    && ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0).length"""


@pytest.mark.browser
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("look", ["light", "dark", "another font"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_whole(
    tmp_path: Path,
    open_page: Callable[..., Any],
    problems: Callable[[Any], list[str]],
    barriers: Callable[[Any], list[str]],
    width: int,
    look: str,
    name: str,
) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_finding(finding(**CASES[name])), encoding="utf-8")
    page, seen = open_page(path, width, look)
    assert seen == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert problems(page) == []
    assert look == "another font" or barriers(page) == []
    assert page.evaluate(STUCK) == 0  # the keyboard reaches what scrolls
    if name == "backdoored":
        scales = page.evaluate("[...document.images].map(i => i.getBoundingClientRect().width / i.naturalWidth)")
        assert all(abs(scale - round(scale)) < 1e-6 for scale in scales)
        page.set_viewport_size({"width": 700, "height": 900})
        page.emulate_media(media="print")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 700
