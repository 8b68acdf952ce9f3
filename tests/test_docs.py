"""The docs are outputs of the program: pages that are written by a tool are what the tool would write now."""

import re
from pathlib import Path

import pytest

from surefoot import Flow, Task
from tools import docs_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_page_of_settings_is_the_table_of_settings() -> None:
    assert docs_settings.PAGE.read_text(encoding="utf-8") == docs_settings.page()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_docs_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_of_options_names_no_option_that_there_is_not() -> None:
    text = (ROOT / "docs" / "flows-and-tasks.md").read_text(encoding="utf-8")
    table = text.partition("## Options")[2].partition("**Hooks**")[0]
    known = {*(Flow.__init__.__kwdefaults__ or {}), *(Task.__init__.__kwdefaults__ or {})}
    for line in table.splitlines():
        if line.startswith("| `"):
            named = set(re.findall(r"`(\w+)`", line.split("|")[1]))
            assert named <= known, named - known
