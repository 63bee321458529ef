"""Tables as text (CSV)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from badnets.core.errors import BadInput
from badnets.core.limits import TABLE
from badnets.core.text import brief


def table_rows(content: bytes, where: str, *, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table with a head, by its columns, numbered from 2; ``where`` names the file in errors."""
    TABLE.check(len(content), where)
    text = io.StringIO(content.decode("utf-8-sig", "replace"))
    reader = csv.DictReader(text, delimiter=delimiter, skipinitialspace=True)
    number = 1
    try:
        for number, row in enumerate(reader, start=2):
            yield number, row
    except csv.Error as error:
        got = brief(error)
        raise BadInput(
            f"expected a table in {where}, got something else behind line {number} ({got}); mend it"
        ) from None
