"""The names of a network's classes, typed or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from badnets.core.errors import BadInput
from badnets.networks.files.class_names import read_class_names


@pytest.mark.parametrize(
    "content",
    [
        "cat\ndog\nowl\n",
        '["cat", "dog", "owl"]',
        '{"2": "owl", "0": "cat", "1": "dog"}',
        '{"dog": 1, "cat": 0, "owl": 2}',
    ],
)
def test_every_form_of_a_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "names.txt").write_text(content)
    assert read_class_names(str(tmp_path / "names.txt")) == ("cat", "dog", "owl")
    assert read_class_names("cat,dog,owl") == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("cat\ncat\n", "twice"),
        ("cat\n\ndog\n", "an empty one"),
        ('{"0": "cat", "2": "owl"}', "none for number 1"),
        ('{"cat": 0, "dog": 0}', "number once"),
        ('{"cat": [0]}', "by their numbers"),
        ('{"0": "cat", "1": 5}', "by their numbers"),
        ('{"cat": 1e400}', "by their numbers"),
        ("", "got none"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "names.txt").write_text(content)
    with pytest.raises(BadInput, match=message):
        read_class_names(str(tmp_path / "names.txt"))
