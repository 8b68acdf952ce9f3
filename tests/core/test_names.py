"""Names of flows and tasks, templates for the names of runs, and the two words of a run without one."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import BadInput, InvalidNameError, TemplateError
from surefoot.core.names import check_name, fill_template, two_words


@given(st.text(min_size=1).filter(lambda name: name.strip() and not set(name) & set("/%&><")))
def test_any_other_text_is_a_name(name: str) -> None:
    assert check_name(name, "Flow") == name


@pytest.mark.parametrize("char", "/%&><")
def test_a_character_that_names_may_not_have_is_named(char: str) -> None:
    with pytest.raises(InvalidNameError, match=re.escape(f"'a{char}b' contains {char}")) as caught:
        check_name(f"a{char}b", "Task")
    assert "/ % & > <" in caught.value.do


@pytest.mark.parametrize("name", ["", " ", "\n\t"])
def test_an_empty_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError, match="is empty"):
        check_name(name, "Flow")


@pytest.mark.parametrize("name", [3, None, b"x", ["a"]])
def test_a_name_that_is_no_text_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="Flow name is") as caught:
        check_name(name, "Flow")
    assert isinstance(caught.value, BadInput)


def test_a_function_as_a_name_recalls_the_forgotten_parentheses() -> None:
    with pytest.raises(TypeError, match=r"@flow\(\)"):
        check_name(len, "Flow")


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.integers() | st.text(), min_size=1))
def test_a_template_takes_any_parameter_by_its_name(parameters: dict[str, Any]) -> None:
    template = "-".join(f"{{{name}}}" for name in parameters)
    assert fill_template(template, parameters, "flow 'f'") == "-".join(map(str, parameters.values()))


def test_a_template_may_format_index_and_look_inside() -> None:
    parameters = {"n": 7, "row": {"id": 4}, "place": 1 + 2j}
    assert fill_template("{n:03d} {row[id]} {place.imag:.0f} {{n}}", parameters, "task 't'") == "007 4 2 {n}"


@pytest.mark.parametrize("template", ["{absent}", "{}", "{0}", "{n.absent}", "{n[0]}", "{n:%%%}", "{n", "n}", "{n!x}"])
def test_a_template_that_cannot_be_filled_in_tells_which_parameters_there_are(template: str) -> None:
    with pytest.raises(TemplateError, match="of flow 'load' cannot be filled in") as caught:
        fill_template(template, {"n": 3, "day": "mon"}, "flow 'load'")
    assert repr(template) in caught.value.what
    assert "{n}, {day}" in caught.value.do


def test_a_parameter_whose_own_formatting_fails_is_told_with_its_reason() -> None:
    class Broken:
        def __format__(self, spec: str) -> str:
            raise RuntimeError("no text today")

    with pytest.raises(TemplateError, match="RuntimeError: no text today"):
        fill_template("{x}", {"x": Broken()}, "flow 'load'")


@given(st.integers(0, 2**62))
def test_two_words_are_two_words_for_any_number(number: int) -> None:
    assert re.fullmatch(r"[a-z]+-[a-z]+", two_words(number))


def test_numbers_near_each_other_have_different_words() -> None:
    assert len({two_words(number) for number in range(5000)}) == 5000
