"""Every row of the reference in the chapters that are built, and every line of its Appendix A: a test, or a reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reference.coverage import APPENDIX, ELSEWHERE, rows

TESTS = Path(__file__).resolve().parent.parent
NUMBER = re.compile(r"(?:[1-8]|13|14|17)\.\d\d")


def numbers_in(tree: ast.Module) -> Iterator[str]:
    """What `row(...)` and `at(...)` are called with; in a comprehension, the numbers that it is made of."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        given = node.args if node.func.id == "row" else node.args[:1] if node.func.id == "at" else []
        yield from (it.value for it in given if isinstance(it, ast.Constant) and isinstance(it.value, str))
    for node in ast.walk(tree):
        if isinstance(node, ast.ListComp | ast.GeneratorExp) and _calls_at(node.elt):
            inner = (it.value for each in node.generators for it in ast.walk(each) if isinstance(it, ast.Constant))
            yield from (it for it in inner if isinstance(it, str) and NUMBER.fullmatch(it))


def _calls_at(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "at"


@pytest.fixture(scope="module")
def tested() -> dict[str, set[str]]:
    """The files that test each row."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        source = path.read_text(encoding="utf-8")
        if "tests.reference.rows" in source:
            for number in numbers_in(ast.parse(source)):
                found.setdefault(number, set()).add(str(path.relative_to(TESTS)))
    return found


def test_every_row_has_a_test_or_a_reason(tested: dict[str, set[str]]) -> None:
    missing = [number for number in rows() if number not in tested and number not in ELSEWHERE]
    assert not missing, f"rows without a test and without a reason: {', '.join(missing)}"


def test_no_row_has_both_and_none_is_made_up(tested: dict[str, set[str]]) -> None:
    known = {*rows()}
    both = {number: tested[number] for number in ELSEWHERE if number in tested}
    assert not both, f"rows with a test, and a reason why there is none: {both}"
    unknown = {number: files for number, files in tested.items() if NUMBER.fullmatch(number) and number not in known}
    assert not unknown, f"numbers that no row has: {unknown}"
    assert ELSEWHERE.keys() <= known


def test_every_line_of_the_appendix_has_its_tests_or_a_reason(tested: dict[str, set[str]]) -> None:
    matrix = ast.parse((TESTS / "test_appendix_a.py").read_text(encoding="utf-8"))
    (lines,) = [
        node.value
        for node in matrix.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "MATRIX"
    ]
    assert isinstance(lines, ast.Dict)
    ids = {key.value for key in lines.keys if isinstance(key, ast.Constant)} | tested.keys()
    assert len(APPENDIX) == 48
    named = [name for names in APPENDIX if not isinstance(names, str) for name in names]
    missing = [name for name in named if name not in ids]
    assert not missing, f"lines of Appendix A whose tests are not there: {missing}"
    unlisted = [name for name in ids if isinstance(name, str) and name.startswith("A:") and name not in named]
    assert not unlisted, f"tests of lines that Appendix A does not have: {unlisted}"


def test_what_is_read_of_a_file_is_what_pytest_would_name() -> None:
    source = """
@row("1.01", "1.02")
def test_a(row): ...
@pytest.mark.parametrize("x", [at("2.03", 1), *(at(n, 1) for n in ("2.04", "2.05")), at("A:words", "3.33")])
def test_b(x): ...
other("9.99", "1.99")
"""
    assert sorted(numbers_in(ast.parse(source))) == ["1.01", "1.02", "2.03", "2.04", "2.05", "A:words"]
