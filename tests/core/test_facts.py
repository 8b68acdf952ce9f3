"""Facts: written, read again, by this version and by those before and after it."""

import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core import facts
from surefoot.core.facts import (
    CheckTold,
    Fact,
    LogWritten,
    ResultAt,
    RunStart,
    StateEntered,
    TaskRunCreated,
    Unknown,
    WriterEnded,
    decode,
    encode,
)
from surefoot.core.ids import new_id
from surefoot.core.states import StateType

KINDS: tuple[type[Any], ...] = typing.get_args(Fact)
PARTS = (RunStart, ResultAt, CheckTold)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bytes: st.binary(max_size=16),
    str: st.text(max_size=30),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    type(None): st.none(),
    StateType: st.sampled_from(StateType),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return st.one_of([values_of(part) for part in inner])
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, inner))
    return structs(hint) if hint in PARTS else PLAIN[hint]


def structs(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: values_of(hint) for name, hint in typing.get_type_hints(kind).items()})


some_fact: st.SearchStrategy[Any] = st.one_of([structs(kind) for kind in KINDS])


@given(some_fact)
def test_what_was_written_is_read(fact: Any) -> None:
    assert decode(encode(fact)) == fact


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_texts_that_utf_8_cannot_hold_are_written_with_escapes(kind: type[Any]) -> None:
    class Text(str):
        __slots__ = ()

    def damaged(hint: Any) -> Any:
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin is types.UnionType:
            return damaged(inner[0])
        if origin is tuple:
            return (damaged(inner[0]),) if inner[-1] is Ellipsis else tuple(map(damaged, inner))
        if hint in PARTS:
            return hint(*map(damaged, typing.get_type_hints(hint).values()))
        return {str: Text("caf\udce9"), bytes: b"1", int: 1, bool: True, StateType: StateType.FAILED}[hint]

    fact = kind(*map(damaged, typing.get_type_hints(kind).values()))
    read = decode(encode(fact))
    assert type(read) is kind
    has_text = str in typing.get_type_hints(kind).values()
    assert (r"caf\\udce9" in repr(read)) is has_text  # the backslash that is written, itself escaped by repr


@given(some_fact, st.lists(st.none() | st.integers(0, 9) | st.text(max_size=5), min_size=1, max_size=3))
def test_fields_that_a_newer_version_appended_are_passed_over(fact: Any, appended: list[Any]) -> None:
    written: list[Any] = msgspec.msgpack.decode(encode(fact))
    assert decode(msgspec.msgpack.encode([*written, *appended])) == fact


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_fact_of_the_first_version_is_read_with_defaults_for_what_came_later(kind: type[Any]) -> None:
    fields = msgspec.structs.fields(kind)
    required = [field for field in fields if field.required]
    example: dict[Any, Any] = {bytes: b"1", str: "one", int: 1, bool: True, StateType: StateType.PENDING}
    hints = typing.get_type_hints(kind)
    values = [example.get(hints[field.name]) for field in required]
    raw = msgspec.msgpack.encode([kind.__struct_config__.tag, *values])
    assert decode(raw) == kind(*values)
    # Appended fields have defaults: one without would make every older fact unreadable.
    assert fields[: len(required)] == tuple(required)


def test_an_older_reader_takes_what_it_knows_of_a_newer_fact() -> None:
    class Older(msgspec.Struct, array_like=True, frozen=True, tag_field="kind", tag=4):
        run_id: bytes
        is_task: bool
        epoch: int
        n: int

    fact = StateEntered(new_id(), True, 0, 3, 1, 2, StateType.RUNNING, "Running", run_count=1)
    read = msgspec.msgpack.decode(encode(fact), type=Older)
    assert (read.run_id, read.is_task, read.epoch, read.n) == (fact.run_id, True, 0, 3)


@given(st.integers(10, 2**31), st.lists(st.integers(0, 9) | st.text(max_size=9) | st.binary(max_size=9), max_size=5))
def test_a_kind_that_is_not_known_yet_is_kept_as_it_is(tag: int, fields: list[Any]) -> None:
    raw = msgspec.msgpack.encode([tag, *fields])
    assert decode(raw) == Unknown(raw)


@pytest.mark.parametrize("raw", [b"", b"\xc1", encode(WriterEnded(1, 2))[:-1]], ids=["nothing", "no msgpack", "torn"])
def test_bytes_that_are_no_fact_are_an_error(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(raw)


def test_a_known_kind_with_a_value_of_the_wrong_type_is_an_error() -> None:
    raw = msgspec.msgpack.encode([6, "yesterday", 2])
    with pytest.raises(msgspec.ValidationError):
        decode(raw)


def test_no_two_kinds_share_a_tag_and_all_are_known() -> None:
    tags = [kind.__struct_config__.tag for kind in KINDS]
    assert sorted(tags) == list(range(1, len(KINDS) + 1))
    here = [value for value in vars(facts).values() if isinstance(value, type)]
    structs_here = {value.__name__ for value in here if issubclass(value, msgspec.Struct)}
    assert structs_here == {kind.__name__ for kind in KINDS} | {"CheckTold", "RunStart", "ResultAt", "Unknown"}


def test_facts_are_small() -> None:
    started = StateEntered(new_id(), True, 0, 1, 1_700_000_000_000_000, 5_000_000, StateType.RUNNING, "Running")
    created = TaskRunCreated(new_id(), new_id(), "jobs:add", "add", "add-123", 1, 1, StateType.PENDING, "Pending")
    assert len(encode(started)) < 100
    assert len(encode(created)) < 120
    assert len(encode(LogWritten(1_700_000_000_000_000, 20, "surefoot.flow_runs", "hello", new_id()))) < 80
