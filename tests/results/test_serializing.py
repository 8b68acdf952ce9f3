"""Serializers: what they give back, how they are found by name, and what is refused."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.results import serializing
from surefoot.results.serializing import (
    CompressedJSONSerializer,
    CompressedPickleSerializer,
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
    SerializerError,
    description_of,
    resolve_serializer,
    serializer_from,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
RICH = st.one_of(
    JSON,
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.binary(),
    st.binary().map(bytearray),
    st.frozensets(st.integers()),
    st.sets(st.text()),
    st.complex_numbers(allow_nan=False),
)
NAMES = ["pickle", "json", "compressed", "compressed/json", "compressed/pickle", "compressed/compressed/json"]


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


@dataclass
class Point:
    x: int
    y: int = 2
    size: int = field(default=0, init=False)


class Row(msgspec.Struct):
    name: str
    when: dt.date


class Model(pydantic.BaseModel):
    name: str
    when: dt.date


@given(st.lists(RICH, max_size=3), st.sampled_from(NAMES))
def test_values_come_back_equal(value: list[Any], name: str) -> None:
    serializer = resolve_serializer(name)
    blob = serializer.dumps(value)
    assert type(blob) is bytes
    again = serializer_from(description_of(serializer))
    assert again == serializer
    assert again.loads(blob) == value


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Point(1),
        Row("a", dt.date(2026, 1, 2)),
        Model(name="a", when=dt.date(2026, 1, 2)),
        {"nested": [Point(3, 4), Colour.BLUE]},
        PurePosixPath("/a/b"),
        Path("a"),
        range(3, 9, 2),
    ],
    ids=repr,
)
def test_json_holds_what_has_a_class(value: Any) -> None:
    serializer = JSONSerializer()
    assert serializer.loads(serializer.dumps(value)) == value


def test_json_is_json_for_everybody_else() -> None:
    import json

    blob = JSONSerializer(dumps_kwargs={"indent": 1, "sort_keys": True}).dumps({"b": (1, 2), "a": dt.date(2026, 1, 2)})
    assert json.loads(blob) == {"a": {"__class__": "datetime.date", "data": "2026-01-02"}, "b": [1, 2]}
    assert math.isnan(JSONSerializer().loads(JSONSerializer().dumps(math.nan)))
    error = JSONSerializer().loads(JSONSerializer().dumps(ValueError("no", 3)))
    assert (type(error), error.args) == (ValueError, ("no", 3))


@pytest.mark.parametrize(
    "value", [object(), lambda: 1, {1: object()}, Serializer], ids=["object", "lambda", "in", "class"]
)
def test_json_refuses_what_it_would_lose(value: Any) -> None:
    with pytest.raises(TypeError, match=r"JSON cannot hold a .*result_serializer='pickle' can"):
        JSONSerializer().dumps(value)


def test_a_dict_that_only_looks_like_one_of_ours_stays_a_dict() -> None:
    for value in ({"__class__": "x"}, {"__class__": "no colon", "data": 1}, {"__class__": 3, "data": 1, "more": 2}):
        assert JSONSerializer().loads(JSONSerializer().dumps(value)) == value


def test_encoders_of_ones_own_are_named_by_their_paths() -> None:
    serializer = JSONSerializer(object_encoder="builtins.repr", object_decoder="builtins.sorted")
    assert serializer.dumps(Point(1)) == b'"Point(x=1, y=2, size=0)"'
    assert serializer_from(description_of(serializer)).loads(b'{"b": 1, "a": 2}') == ["a", "b"]


def test_other_libraries_can_do_the_work() -> None:
    pickle = PickleSerializer("cloudpickle")
    assert pickle.loads(pickle.dumps(lambda: 7))() == 7
    for library in ("zlib", "bz2", "gzip", "lzma"):
        packed = CompressedSerializer("json", compressionlib=library)
        blob = packed.dumps(["x"] * 1000)
        assert len(blob) < 200
        assert serializer_from(description_of(packed)).loads(blob) == ["x"] * 1000
    assert CompressedJSONSerializer().loads(CompressedJSONSerializer().dumps(1)) == 1
    assert CompressedPickleSerializer("zlib").loads(CompressedPickleSerializer("zlib").dumps({1})) == {1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resolve_serializer("jsno"), "There is no serializer 'jsno'. Did you mean 'json'?"),
        (lambda: resolve_serializer("zzz"), "There is no serializer 'zzz'. There are "),
        (lambda: resolve_serializer("compressed/pikle"), "Did you mean 'pickle'"),
        (lambda: resolve_serializer(3), "3 is no serializer. Pass a name"),  # type: ignore[arg-type]
        (lambda: PickleSerializer("dil"), "picklelib 'dil' cannot be imported"),
        (lambda: PickleSerializer("math"), "picklelib 'math' has no function 'dumps'"),
        (lambda: CompressedSerializer("json", "math"), "compressionlib 'math' has no function 'compress'"),
        (lambda: JSONSerializer(dumps_kwargs={"default": 1}), "Pass object_encoder instead"),
        (lambda: JSONSerializer(loads_kwargs={"object_hook": 1}), "Pass object_decoder instead"),
        (lambda: JSONSerializer(object_encoder="nowhere"), "object_encoder 'nowhere' cannot be found"),
        (lambda: serializer_from({"type": "json", "odd": 1}), "JSONSerializer cannot be made with odd"),
        (
            lambda: serializer_from({"type": "x", "class": "no.where:X"}),
            "no serializer 'x' here. Import no.where:X first",
        ),
        (lambda: serializer_from({}), "There is no serializer ''"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(make: Any, message: str) -> None:
    with pytest.raises(SerializerError) as caught:
        make()
    assert message in str(caught.value)
    assert caught.value.do


@pytest.fixture
def upper() -> Iterator[type[Serializer]]:
    class Upper(Serializer):
        type = "test-upper"

        def __init__(self, encoding: str = "ascii") -> None:
            self.encoding = encoding

        def dumps(self, obj: Any) -> bytes:
            return str(obj).upper().encode(self.encoding)

        def loads(self, blob: bytes) -> Any:
            return blob.decode(self.encoding)

    yield Upper
    del vars(serializing)["_known"]["test-upper"]


def test_one_of_ones_own_is_found_by_its_type_and_keeps_its_options(upper: type[Serializer]) -> None:
    assert resolve_serializer("test-upper").dumps("a") == b"A"
    assert resolve_serializer(upper).loads(b"A") == "A"
    wide = upper("utf-16")  # type: ignore[call-arg]
    described = description_of(wide)
    assert described["type"] == "test-upper"
    assert described["encoding"] == "utf-16"
    assert serializer_from(described).loads(wide.dumps("abc")) == "ABC"
    assert (
        resolve_serializer("compressed/test-upper").loads(resolve_serializer("compressed/test-upper").dumps("a")) == "A"
    )


def test_pickle_falls_back_for_what_has_no_name() -> None:
    serializer = PickleSerializer()
    assert serializer.loads(serializer.dumps({"f": lambda x: x * 2, "id": uuid.UUID(int=3)}))["f"](4) == 8
    assert serializer.loads(serializer.dumps(Decimal("1.5"))) == Decimal("1.5")
