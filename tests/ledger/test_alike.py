"""When two messages tell of the same thing."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.ledger.queries.alike import READ_MAX, Alike, words_of

WORD = st.text(string.ascii_letters.replace("e", "").replace("E", "") + "éß", min_size=1, max_size=12).filter(
    lambda word: not set(word.lower()) <= set("abcdef")
)
QUOTED = st.text(max_size=12).map(lambda text: repr(text.replace("\n", " ").replace("'", "")))
VALUE = st.one_of(
    st.integers(min_value=0).map(str),
    st.floats(min_value=0, allow_nan=False, allow_infinity=False).map(str),
    st.uuids().map(str),
    st.binary(min_size=8, max_size=20).map(bytes.hex).filter(lambda text: any(sign.isdigit() for sign in text)),
    st.integers(min_value=0, max_value=1 << 64).map(hex),
    st.datetimes().map(lambda when: when.isoformat(timespec="seconds")),
    QUOTED,
)


@given(st.text(max_size=2 * READ_MAX))
def test_nothing_of_a_message_is_lost(message: str) -> None:
    words, values = words_of(message)
    assert len(words) == len(values) + 1
    assert Alike(words, values).text == message[:READ_MAX]


@given(st.data())
def test_messages_that_differ_in_values_only_have_the_same_words(data: st.DataObject) -> None:
    words = data.draw(st.lists(WORD, min_size=1, max_size=5))

    def message() -> str:
        return " ".join(f"{word} {data.draw(VALUE)}" for word in words)

    first, second = message(), message()
    assert words_of(first)[0] == words_of(second)[0]
    alike = Alike(*words_of(first))
    alike.add(words_of(second)[1])
    assert alike.text.split(" … ")[0].startswith(words[0])
    assert ("…" in alike.text) == (first != second)


@given(st.lists(WORD, min_size=1, max_size=5), st.lists(WORD, min_size=1, max_size=5), VALUE)
def test_messages_of_different_words_are_told_apart(first: list[str], second: list[str], value: str) -> None:
    told = [words_of(" ".join([*words, value]))[0] for words in (first, second)]
    assert (told[0] == told[1]) == (first == second)


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (
            "GET /items/17 timed out after 30 s",
            "GET /items/4 timed out after 30 s",
            "GET /items/… timed out after 30 s",
        ),
        ("KeyError: 'a'", "KeyError: 'b'", "KeyError: …"),
        ("can't open 3 files, don't ask", "can't open 40 files, don't ask", "can't open … files, don't ask"),
        ("no user a1b2c3d4", "no user 9z8y7x", "no user …"),
        ("<Thing object at 0x7f12ab>", "<Thing object at 0x7f12cd>", "<Thing object at …>"),
        ("late since 2026-11-21T09:06:34", "late since 2026-11-22 10:00:00.5Z", "late since …"),
        ("item17 of 1,000.5 MB", "item9 of 2e+10 MB", "item… of … MB"),
        ("bytes b'ab' here", "bytes b'cd' here", "bytes … here"),
        ("the same", "the same", "the same"),
    ],
)
def test_what_two_messages_have_in_common_is_told_with_gaps(one: str, other: str, common: str) -> None:
    words, values = words_of(one)
    assert words == words_of(other)[0]
    alike = Alike(words, values)
    alike.add(words_of(other)[1])
    assert alike.text == common


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("connection refused", "connection reset"),
        ("`load` did not run", "`store` did not run"),
        ("no such table: users", "no such table: orders"),
        ("dead beef", "dead cow"),
    ],
)
def test_what_is_told_in_words_is_not_the_same(one: str, other: str) -> None:
    assert words_of(one)[0] != words_of(other)[0]
