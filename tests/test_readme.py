"""The README's first screen: what it shows is what happens."""

from tools.readme import EXAMPLE, LISTED, README, SHOWN, normalized, run_example


def test_the_list_in_the_readme_is_what_the_example_gives() -> None:
    found = LISTED.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert normalized(found.group()) == normalized(run_example())


def test_the_code_in_the_readme_is_the_example() -> None:
    found = SHOWN.search(README.read_text(encoding="utf-8"))
    assert found is not None
    assert found.group() == EXAMPLE.read_text(encoding="utf-8")
