"""Rewriting files of settings, and what is told of files that are not rewritten."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.settings.layers import Layer, flatten, judge
from surefoot.core.settings.table import TABLE
from surefoot.migrating.edits import Rewritten
from surefoot.migrating.mentions import find_mentions, rewrite_yaml
from surefoot.migrating.settings_files import rewrite_dotenv, rewrite_toml

PROJECT = '''\
[project]
description = """
[tool.prefect]
home = "x"
"""
dependencies = ["prefect"]  # prefect

[tool.prefect]
home = "${PREFECT_HOME}/x"
PREFECT_LOGGING_COLORS = false
[tool.prefect.logging]
level = "DEBUG" # prefect
to_api.max_log_size = 300
to_api.enabled = true
[ tool . prefect . server.api ]
cors = [
  "a", # b
]
[tool.other]
home = "prefect"
'''
MOVED = '''\
[project]
description = """
[tool.prefect]
home = "x"
"""
dependencies = ["prefect"]  # prefect

[tool.surefoot]
home = "${SUREFOOT_HOME}/x"
SUREFOOT_LOGGING_COLORS = false
[tool.surefoot.logging]
level = "DEBUG" # prefect
max_log_size = 300
# to_api.enabled = true
# [ tool . surefoot . server.api ]
# cors = [
#   "a", # b
# ]
[tool.other]
home = "prefect"
'''


def test_a_table_of_pyproject_is_rewritten_and_nothing_beside_it() -> None:
    new = rewrite_toml(PROJECT, "tool.prefect")
    assert new.text == MOVED
    assert rewrite_toml(MOVED, "tool.prefect") == Rewritten(MOVED, [])
    assert [look.line for look in new.looks] == [9, 14, 16]
    assert new.looks[1].what.startswith("logging.to_api.enabled is not needed here: log lines are appended")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.prefect.results]\nPREFECT_HOME = 'x'", "results.PREFECT_HOME is not a setting of Surefoot"),
        ("a = [", "This is not valid TOML, and was left alone"),
        ("[tool]\nprefect.logging.level = 'DEBUG'", "Some of tool.prefect is written in a way that was left alone"),
        ("[tool.prefect]\nlogging = {level = 'INFO', markup = true}", "Take what is not needed out of logging by hand"),
        ("[tool.prefect]\nresults.default_storage_block = 'x'", "Set results.default_storage instead"),
        (
            "[tool.prefect]\nlocal_storage_path = 'x'\ncli.colour = 1",
            "cli.colour is not a setting of Surefoot; the nearest",
        ),
    ],
)
def test_what_cannot_be_rewritten_is_told(text: str, told: str) -> None:
    assert any(told in look.what for look in rewrite_toml(text, "tool.prefect").looks)


KEYS = st.sampled_from(
    [*TABLE, "server.api.port", "logging.to_api.max_log_size", "local_storage_path", "cli.loud", "PREFECT_HOME"]
)


@given(st.lists(KEYS, unique=True, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_what_a_file_becomes_names_settings_of_ours_alone(keys: list[str], newline: str) -> None:
    text = newline.join(f"{key} = '''{newline}{n}'''  # {key}" for n, key in enumerate(keys))
    new = rewrite_toml(text)
    entries = dict(flatten(tomllib.loads(new.text)))
    assert not [p for p in judge(Layer("file", "x", entries)).problems if "is not a setting" in p.what]
    assert rewrite_toml(new.text).text == new.text


def test_variables_of_a_dotenv_are_renamed_where_they_mean_something() -> None:
    text = (
        "# PREFECT_HOME=1\r\nexport PREFECT_HOME = ~/x\nPREFECT_RESULTS_LOCAL_STORAGE_PATH=${PREFECT_HOME}/s\n"
        "PREFECT_UI_URL=x\nA=PREFECT_HOME"
    )
    new = rewrite_dotenv(text)
    assert new.text == (
        "# PREFECT_HOME=1\r\nexport SUREFOOT_HOME = ~/x\nSUREFOOT_RESULTS_LOCAL_STORAGE_PATH=${SUREFOOT_HOME}/s\n"
        "PREFECT_UI_URL=x\nA=PREFECT_HOME"
    )
    assert [look.line for look in new.looks] == [2, 4]
    assert rewrite_dotenv(new.text).text == new.text


@given(st.text().filter(lambda text: "PREFECT" not in text and "prefect" not in text))
def test_files_without_prefect_stay_as_they_are(text: str) -> None:
    assert rewrite_dotenv(text) == Rewritten(text, [])
    assert rewrite_toml(text, "tool.prefect").text == text
    assert rewrite_yaml(text).text == text
    assert find_mentions(text) == []


def test_steps_of_a_yaml_file_are_renamed_and_texts_are_not() -> None:
    text = "prefect-version: 3\npull:\n  - prefect.deployments.steps.git_clone:\n      url: prefect.io\n"
    text += "  - prefect_aws.x.y:\n      to: 's3://{{ prefect.variables.bucket }}'\n"
    new = rewrite_yaml(text)
    assert new.text == text.replace("prefect.deployments", "surefoot.deployments").replace(
        "prefect.variables", "surefoot.variables"
    )
    assert [look.line for look in new.looks] == [1, 1, 5]
    assert rewrite_yaml(new.text).text == new.text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("prefect>=3", "The package is called `surefoot` here."),
        ('    "prefect[aws]==3.1",', "The package is called `surefoot` here."),
        ("RUN pip install -U prefect", "The package is called `surefoot` here."),
        ("prefect-aws", "Surefoot has no counterpart of prefect-aws"),
        ("  image: prefecthq/prefect:3", "The image prefecthq/prefect holds Prefect"),
        ("prefect deploy --all", "`prefect deploy` is a command of Prefect's"),
        ("PREFECT_CLI_COLORS: 0", "PREFECT_CLI_COLORS is called SUREFOOT_CLI_COLORS here."),
        ("to: '{{ prefect.variables.bucket }}'", "The places for variables are"),
        ('CMD ["prefect", "worker", "start"]', "`prefect worker` is a command of Prefect's"),
        ("ENV PREFECT_API_URL=http://x", "SUREFOOT_API_URL names a server of Prefect's"),
        ('dependencies = ["prefect>=3"]', "The package is called `surefoot` here."),
        ('dependencies = ["prefect-aws", "x"]', "Surefoot has no counterpart of prefect-aws"),
        ('    "prefect @ git+https://server/prefect",', "The package is called `surefoot` here."),
        ("    prefect \\", "The package is called `surefoot` here."),
        ("uv add prefect", "The package is called `surefoot` here."),
        ("poetry add prefect-aws", "Surefoot has no counterpart of prefect-aws"),
        ("conda install -c conda-forge prefect", "The package is called `surefoot` here."),
        ("prefect@example.com", ""),
        ("# prefect deploy", ""),
        ("name: prefecture", ""),
    ],
)
def test_what_other_files_say_of_prefect_is_told(line: str, told: str) -> None:
    looks = find_mentions(f"a\n{line}\n")
    assert [look.line for look in looks] == ([2] if told else [])
    assert not told or looks[0].what.startswith(told)
