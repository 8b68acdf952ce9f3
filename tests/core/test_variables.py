"""Which names, values and tags variables may have, and how templates are filled: pure, without a ledger."""

from __future__ import annotations

import datetime
import enum
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import BadInput, TemplateError
from surefoot.core.templates import fill_in, names_in
from surefoot.core.variables import BYTES_MAX, checked_name, checked_tags, json_of, value_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


class Colour(enum.Enum):
    RED = 1


class Pair(NamedTuple):
    left: Any
    right: Any


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # also 1, 1.0 and True, and the order of keys


@given(JSON)
def test_a_value_comes_back_as_what_it_was(value: Any) -> None:
    assert same(value_of(json_of("x", value)), value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((1, 2), "its value is of type tuple, which JSON does not have. Make it a list."),
        ({"a": [0, {1, 2}]}, r"\['a'\]\[1\] is of type set, which JSON does not have. Make it a list."),
        (b"x", "is of type bytes, .* Make it a text."),
        (datetime.date(2026, 1, 1), r"is of type date, .* value.isoformat\(\)"),
        (Decimal("1.5"), "is of type Decimal, .* Make it a text, a number"),
        (Colour.RED, "is of type Colour"),
        ([float("nan")], r"\[0\] is nan, which JSON does not have"),
        (float("-inf"), "is -inf"),
        ({1: "x"}, "has the key 1, and keys of JSON are texts"),
        (2**64, "is a number of more than 64 bits"),
        ("\ud800", "has a surrogate in it"),
        ({"\ud800": 1}, "has a surrogate in it"),
        ("x" * BYTES_MAX, "would take 65,538 bytes or more, and 65,536 are possible"),
        ("é" * (BYTES_MAX // 2), "would take 65,538 bytes"),
        ([0] * (BYTES_MAX + 1), "would take"),
        (object(), "is of type object"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_json_would_not_give_back_is_refused_with_its_place(value: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        json_of("x", value)
    assert isinstance(caught.value, ValueError)
    assert "'x'" in str(caught.value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append({"again": value})
    with pytest.raises(BadInput, match="nested more than 100 deep, or holds itself"):
        json_of("x", value)


def test_values_up_to_the_limit_are_taken() -> None:
    assert len(json_of("x", "x" * (BYTES_MAX - 2))) == BYTES_MAX


@pytest.mark.parametrize("name", ["a", "0", "page-size", "a_b-c9", "_", "x" * 255])
def test_a_name_has_letters_digits_and_two_signs(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Page Size", "'Page Size'. Call it 'page-size'."),
        ("a.b", "Call it 'a-b'."),
        ("", "Use lower-case letters of English"),
        ("ü", "Use lower-case letters of English"),
        ("a\n", "Call it 'a'."),
        (None, "is None"),
        (3, "is 3"),
        ("x" * 256, "has 256 characters. At most 255"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest_that_is(name: Any, told: str) -> None:
    with pytest.raises(BadInput, match="The name of a variable") as caught:
        checked_name(name)
    assert told in str(caught.value)


@pytest.mark.parametrize("tags", ["nightly", 3, [3], [""], ["x" * 201], ["a\nb"], [str(n) for n in range(101)]])
def test_tags_that_cannot_be_are_refused(tags: Any) -> None:
    with pytest.raises(BadInput, match=r"tags? of a variable|tags"):
        checked_tags(tags)
    assert checked_tags(("b", "a", "b")) == ["b", "a"]


VALUES = {"region": "eu", "n": 3, "on": True, "none": None, "hosts": ["a", "b"], "db": {"host": "h", "deep": {"x": 1}}}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{{ surefoot.variables.region }}", "eu"),
        ("{{surefoot.variables.n}}", 3),
        ("{{ surefoot.variables.on }}", True),
        ("{{ surefoot.variables.none }}", None),
        ("{{ surefoot.variables.hosts }}", ["a", "b"]),
        ("{{ surefoot.variables.db.deep.x }}", 1),
        ("s3://{{ surefoot.variables.region }}-{{ surefoot.variables.n }}/{{ surefoot.variables.on }}", "s3://eu-3/true"),
        (" {{ surefoot.variables.n }}", " 3"),
        ({"a": ["{{ surefoot.variables.n }}", 1], "b": {"c": 2}}, {"a": [3, 1], "b": {"c": 2}}),
        ({"{{ surefoot.variables.n }}": 1}, {"{{ surefoot.variables.n }}": 1}),
        (("{{ surefoot.variables.n }}",), (3,)),
        (Pair("{{ surefoot.variables.n }}", None), Pair(3, None)),
        ("{{ ctx.flow.name }} {{ $HOME }} {{surefoot}}", "{{ ctx.flow.name }} {{ $HOME }} {{surefoot}}"),
        ("nothing", "nothing"),
        (b"{{ surefoot.variables.n }}", b"{{ surefoot.variables.n }}"),
    ],
)  # fmt: skip
def test_places_are_filled_and_all_else_stays(template: Any, filled: Any) -> None:
    assert same(fill_in(template, VALUES), filled)
    assert set(names_in(template)) <= VALUES.keys()


def test_a_value_is_not_filled_again() -> None:
    assert fill_in("{{ surefoot.variables.a }}", {"a": "{{ surefoot.variables.b }}"}) == "{{ surefoot.variables.b }}"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ surefoot.variables.Region }}", "names no variable"),
        ("{{ surefoot.variables. }}", "names no variable"),
        ("{{ surefoot.variables.a b }}", "names no variable"),
        ("{{ surefoot.variables.hosts }}!", "is of type list, and stands within a text"),
        ("{{ surefoot.variables.db }}!", "is of type dict, and stands within a text"),
        ("{{ surefoot.variables.db.hots }}", "which has no such key. Did you mean 'host'?"),
        ("{{ surefoot.variables.region.x }}", "which is no dict. See what it is: surefoot variable inspect region"),
        ("{{ prefect.variables.region }}", "Write {{ surefoot.variables.region }}, or run: surefoot migrate prefect ."),
    ],
)
def test_places_that_cannot_be_filled_are_named(template: str, told: str) -> None:
    with pytest.raises(TemplateError) as caught:
        fill_in({"x": template}, VALUES)
    assert told in str(caught.value)


def test_a_template_that_holds_itself_is_refused() -> None:
    template: list[Any] = []
    template.append(template)
    with pytest.raises(TemplateError, match="holds itself"):
        names_in(template)


@given(JSON)
def test_what_has_no_place_comes_back_as_it_was(value: Any) -> None:
    assert same(fill_in(value, {}), value)
