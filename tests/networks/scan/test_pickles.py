"""The walk against Python's own unpickler: the same globals, the same end."""

from __future__ import annotations

import collections
import copyreg
import datetime as dt
import io
import pickle
import pickletools
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.networks.scan import pickles
from badnets.networks.scan.pickles import Steps, walk

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=300), st.dates(), st.decimals(),
    st.complex_numbers(), st.just(collections.OrderedDict), st.just(len), st.uuids(), st.timedeltas(),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=4), inner, max_size=4),
        st.tuples(inner, inner),
        st.lists(inner, max_size=3).map(collections.deque),
        st.dictionaries(st.text(max_size=4), inner, max_size=3).map(collections.OrderedDict),
        st.frozensets(st.integers()),
        st.sets(st.text()),
        st.dictionaries(st.from_regex("[a-z]{1,4}", fullmatch=True), inner, max_size=3).map(
            lambda fields: types.SimpleNamespace(**fields)
        ),
    ),
    max_leaves=20,
)


class _Recording(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.asked = set[str]()

    def find_class(self, module: str, name: str) -> Any:
        self.asked.add(f"{module}.{name}")
        return super().find_class(module, name)


@given(value=VALUES, protocol=st.integers(0, 5), before=st.binary(max_size=5), behind=st.binary(max_size=5))
def test_what_python_writes(value: object, protocol: int, before: bytes, behind: bytes) -> None:
    content = pickle.dumps(value, protocol)
    reader = _Recording(content)
    reader.load()
    found = walk(before + content + behind, len(before), len(before + content + behind), Steps("x"))
    assert not found.problem
    assert found.end == len(before) + len(content)
    # The C unpickler asks by the older names.
    assert set(found.globals) == {pickles.modern(*name.rsplit(".", 1)) for name in reader.asked}
    assert not found.hidden
    assert not found.strange


def test_every_step_is_known() -> None:
    assert {ord(op.code) for op in pickletools.opcodes} == {*pickles._DO, ord(".")}


@given(
    content=st.binary(max_size=400), start=st.sampled_from([b"", b"\x80\x02", b"\x80\x04\x95", b"(", b"cos\nsystem\n"])
)
def test_any_bytes(content: bytes, start: bytes) -> None:
    found = walk(start + content, 0, len(start + content), Steps("x"))
    assert 0 <= found.end <= len(start + content)


def test_what_stands_before_damage_is_found() -> None:
    content = b"\x80\x02cos\nsystem\nX\1\0\0\0:\x85R\xff"
    found = walk(content, 0, len(content), Steps("x"))
    assert found.problem
    assert found.called == {"os.system"}


def test_a_tuple_of_tuples_is_refused() -> None:
    value: tuple[Any, ...] = ()
    for _ in range(40):
        value = (value, value)
    content = pickle.dumps(value, 2)
    with pytest.raises(BadInput, match="1,000,000 steps"):
        walk(content, 0, len(content), Steps("x"))


def test_the_registry_is_a_number_in_place_of_a_name() -> None:
    copyreg.add_extension("datetime", "date", 240)
    try:
        content = pickle.dumps(dt.date(2020, 1, 1), 2)
    finally:
        copyreg.remove_extension("datetime", "date", 240)
    found = walk(content, 0, len(content), Steps("x"))
    assert [what for _, what in found.hidden] == [
        "extension 240, a number in place of a name",
        "a call of what another step made",
    ]
