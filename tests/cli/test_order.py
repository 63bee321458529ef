from __future__ import annotations

from pathlib import Path

import pytest

from badnets.cli.defend import read_order
from badnets.core.errors import BadInput


def test_a_column_of_a_table_and_plain_numbers(tmp_path: Path) -> None:
    table = tmp_path / "curve.csv"
    table.write_text("\ufeffstep,Channel,accuracy\n1,7,98.5\n\n2,0,97.0\n3,12,90\n", encoding="utf-8")
    assert read_order(table) == (7, 0, 12)
    plain = tmp_path / "order.txt"
    plain.write_text("7\n0\n12\n")
    assert read_order(plain) == (7, 0, 12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty file"),
        ("step,layer\n1,2\n", "line 1: expected a column 'channel', got step, layer"),
        ("channel\n3\nx\n", "line 3: expected a channel's number from 0, got 'x'"),
        ("channel\n3\n-1\n", "line 3"),
        ("1.5\n", "line 1"),
        ("3\n4\n3\n", "line 3: expected each channel once, got 3 as in line 1"),
        ("step,channel\n1,3\n2\n", "line 3: expected a channel's number from 0, got ''"),
        ("1,3\n2,4\n", "line 1: expected one number, got 2; add a header line"),
    ],
)
def test_the_line_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "order.csv"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_order(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\x81")
    for path, words in (("nix", "got nothing"), ("bytes", "got something else"), (".", "got something else")):
        with pytest.raises(BadInput, match=words):
            read_order(tmp_path / path)
