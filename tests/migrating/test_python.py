"""Rewriting scripts: what is changed, what stays, and what a person is told to look at."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.migrating.python import rewrite_python

CASES = [
    ("from prefect import flow, task", "from surefoot import flow, task"),
    ("import prefect", "import surefoot"),
    (
        "from prefect.artifacts import Artifact, create_table_artifact\ncreate_table_artifact([], key='rows')",
        "from surefoot.artifacts import Artifact, create_table_artifact\ncreate_table_artifact([], key='rows')",
    ),
    ("import prefect as p\np.flow", "import surefoot as p\np.flow"),
    ("import os, prefect\nprefect.flow", "import os, surefoot\nsurefoot.flow"),
    ("import prefect.runtime\nprefect.runtime.flow_run.id", "import surefoot.runtime\nsurefoot.runtime.flow_run.id"),
    (
        "from prefect.states import (\n    Completed,  # prefect\n)",
        "from surefoot.states import (\n    Completed,  # prefect\n)",
    ),
    ("from \\\n  prefect import flow", "from \\\n  surefoot import flow"),
    ("if 1:\n\tfrom prefect import flow as f", "if 1:\n\tfrom surefoot import flow as f"),
    ("é = 1; from prefect import flow", "é = 1; from surefoot import flow"),
    (
        "from prefect.testing.utilities import prefect_test_harness\nwith prefect_test_harness(): pass",
        "from surefoot.testing.utilities import surefoot_test_harness\nwith surefoot_test_harness(): pass",
    ),
    (
        "from prefect.testing.utilities import prefect_test_harness as harness\nharness()",
        "from surefoot.testing.utilities import surefoot_test_harness as harness\nharness()",
    ),
    (
        "from prefect.testing.utilities import prefect_test_harness\nprefect_test_harness = 1",
        "from surefoot.testing.utilities import surefoot_test_harness as prefect_test_harness\nprefect_test_harness = 1",  # noqa: E501
    ),
    (
        "import prefect.testing.utilities as u\nu.prefect_test_harness()",
        "import surefoot.testing.utilities as u\nu.surefoot_test_harness()",
    ),
    (
        "from prefect.futures import PrefectFuture, wait\ndef f(x: PrefectFuture[int]) -> None: ...",
        "from surefoot.futures import Future, wait\ndef f(x: Future[int]) -> None: ...",
    ),
    (
        "from prefect.client.orchestration import PrefectClient, get_client\nc: PrefectClient",
        "from surefoot.client.orchestration import SurefootClient, get_client\nc: SurefootClient",
    ),
    (
        "from prefect.exceptions import ObjectNotFound\nraise ObjectNotFound",
        "from surefoot.exceptions import NotFound\nraise NotFound",
    ),
    ("from prefect.logging.loggers import get_logger", "from surefoot.logging.loggers import get_logger"),
    ("import prefect\nsurefoot = 1\nprefect.flow", "import surefoot as prefect\nsurefoot = 1\nprefect.flow"),
    ("import os\nos.environ['PREFECT_HOME']", "import os\nos.environ['SUREFOOT_HOME']"),
    ("run(env={r'PREFECT_CLI_COLORS': '0'})", "run(env={r'SUREFOOT_CLI_COLORS': '0'})"),
    (
        'monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__NAME", "x")',
        'monkeypatch.setenv("SUREFOOT__RUNTIME__FLOW_RUN__NAME", "x")',
    ),
    (
        "os.getenv('PREFECT_LOGGING_TO_API_MAX_LOG_SIZE')",
        "os.getenv('SUREFOOT_LOGGING_MAX_LOG_SIZE')",
    ),
    (
        "import prefect\ndef hook(state: 'prefect.State | None', n: int) -> list['prefect.Flow']: ...",
        "import surefoot\ndef hook(state: 'surefoot.State | None', n: int) -> list['surefoot.Flow']: ...",
    ),
    ("mock.patch('prefect.flows.Flow')", "mock.patch('surefoot.flows.Flow')"),
    ("logging.getLogger('prefect.flow_runs')", "logging.getLogger('surefoot.flow_runs')"),
    ("import prefect\r\nprefect.flow\r\n", "import surefoot\r\nsurefoot.flow\r\n"),
    (
        "from prefect.variables import Variable as V\nasync def f(): return await V.get('x'), V.get('y')",
        "from surefoot.variables import Variable as V\nasync def f(): return await V.aget('x'), V.get('y')",
    ),
    (
        "import prefect.variables\nasync def f(): await prefect.variables.Variable.set('x', 1); await V.get('x')",
        "import surefoot.variables\nasync def f(): await surefoot.variables.Variable.aset('x', 1); await V.get('x')",
    ),
    (
        "from prefect.exceptions import ObjectAlreadyExists\nObjectAlreadyExists",
        "from surefoot.exceptions import AlreadyExists\nAlreadyExists",
    ),
    (
        "['{{ prefect.variables.a }}/{{prefect.variables.b}} prefect.c', f'{{{{ prefect.variables.d }}}}']",
        "['{{ surefoot.variables.a }}/{{surefoot.variables.b}} prefect.c', f'{{{{ surefoot.variables.d }}}}']",
    ),
]


@pytest.mark.parametrize(("before", "after"), CASES, ids=[before for before, _ in CASES])
def test_what_names_prefect_names_surefoot_after(before: str, after: str) -> None:
    assert rewrite_python(before).text == after
    assert rewrite_python(after).text == after


@pytest.mark.parametrize(
    "text",
    [
        '"""About prefect, and from prefect import flow."""\n# import prefect',
        "from prefect_aws import S3Bucket",
        "from .prefect import flow",
        "from mine.prefect import flow",
        "import prefectural\nprefectural.x",
        "prefect = 1\nprefect.x",
        "x = 'PREFECT_HOME'",
        "print('prefect.flows')",
        "os.environ['PREFECT_SERVER_API_PORT']",
        "from prefect import (",
        "import prefect.states\nprefect = 1",
        "x = '{{ prefect.blocks.secret.x }} {{ x.prefect.variables.y }}'",
        "x: Literal['prefect.flow'] = 'my prefect.flow'",
    ],
)
def test_what_is_not_surely_meant_stays(text: str) -> None:
    assert rewrite_python(text).text == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "from prefect.blocks.system import Secret",
            "1: Surefoot has no `surefoot.blocks.system.Secret`: blocks are not",
        ),
        (
            "from prefect.task_runners import PrefectTaskRunner",
            "1: Surefoot has no `surefoot.task_runners.PrefectTaskRunner`: background tasks are not in this version",
        ),
        (
            "from prefect.logging.handlers import APILogHandler",
            "1: Surefoot has no `surefoot.logging.handlers.APILogHandler`: lines of runs are kept without a handler",
        ),
        ("\nfrom prefect import pause_flow_run", "2: Surefoot has no `surefoot.pause_flow_run`: runs cannot be paused"),
        (
            "from prefect.deployments import run_deployment",
            "1: Surefoot has no `surefoot.deployments.run_deployment`: depl",
        ),
        ("from prefect import Parameter", "1: Surefoot has no `surefoot.Parameter`: the parameters of a flow are"),
        ("import prefect\nprefect.serve()", "2: Surefoot has no `surefoot.serve`: deployments"),
        ("import prefect.blocks", "1: Surefoot has no module `surefoot.blocks`: blocks are not"),
        (
            "from prefect.settings import PREFECT_HOME",
            "1: Surefoot has no `surefoot.settings.PREFECT_HOME`: read it with",
        ),
        ("from prefect_aws import S3", "1: Surefoot has no counterpart of `prefect_aws`"),
        ("os.environ['PREFECT_SERVER_API_PORT']", "1: PREFECT_SERVER_API_PORT is not needed here: there is no server"),
        ("os.environ['PREFECT_API_URL']", "1: SUREFOOT_API_URL names a server of Prefect's"),
        ("x = 'PREFECT_HOME'", "1: If this text is the name of a variable, write SUREFOOT_HOME."),
        ("print('prefect.flows')", "1: If this text names a part of Prefect, write 'surefoot.flows'."),
        (
            "from prefect import flow\n@flow(on_click=1)\ndef f(): ...",
            "2: `flow` has no option 'on_click', and refuses it.",
        ),
        (
            "from prefect import flow\ndef hook(flow): flow.serve()\n@flow\ndef f(): ...\nf.serve()",
            "5: Surefoot has no `f.serve`: deployments",
        ),
        (
            "from prefect import task\n@task\ndef t(): ...\nt.with_options(viz=1)",
            "4: `t.with_options` has no option 'viz', and refuses it.",
        ),
        (
            "from prefect import variables\nvariables.get('x')",
            "2: Surefoot has no `variables.get`: `Variable.get(name, default)` does the same.",
        ),
        ("from prefect import (", "1: This is not valid Python, and was left alone: '(' was never closed."),
        (
            "from prefect import flow\n@flow(\n  result_storage='s3-bucket/prod')\ndef f(): ...",
            "3: result_storage='s3-bucket/prod' names a block, and there are none here: name what it stores in",
        ),
        (
            "from prefect import task\n@task\ndef t(): ...\nt.with_options(result_storage='gcs-bucket/x')",
            "4: result_storage='gcs-bucket/x' names a block",
        ),
        ("import prefect.states\nprefect = 1", "1: Left alone, since the script has another variable"),
    ],
)
def test_what_needs_a_look_is_told_with_its_line(text: str, told: str) -> None:
    looks = rewrite_python(text).looks
    assert [f"{look.line}: {look.what}".startswith(told) for look in looks] == [True], looks
    assert all(look.what.endswith(".") for look in looks)


def test_a_script_of_what_surefoot_has_needs_no_look() -> None:
    text = """
import prefect
from prefect import Flow, State, Task, allow_failure, flow, get_run_logger, tags, task, unmapped
from prefect.cache_policies import DEFAULT, INPUTS
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import get_run_context
from prefect.exceptions import CancelledRun, PrefectException
from prefect.futures import as_completed, wait
from prefect.runtime import flow_run
from prefect.settings import temporary_settings
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

@task(retries=3, retry_delay_seconds=[1, 2], cache_policy=INPUTS, tags=["prefect"])
def load(x): ...

@flow(name="x", log_prints=True, task_runner=ThreadPoolTaskRunner(max_workers=2))
def main():
    print(flow_run.name, prefect.runtime.task_run.name, main.name)
    print(load.fn, load.with_options(retries=1).submit(1).result())
"""
    new = rewrite_python(text)
    assert new.looks == []
    assert new.text == text.replace("import prefect\n", "import surefoot\n").replace(
        "from prefect", "from surefoot"
    ).replace("PrefectException", "SurefootError").replace("prefect.runtime.task_run", "surefoot.runtime.task_run")


LINES = st.sampled_from(
    [
        "import prefect",
        "import prefect as p, os",
        "import prefect.runtime",
        "from prefect import flow, task as t",
        "from prefect.blocks.system import Secret",
        "from prefect.testing.utilities import prefect_test_harness",
        "import surefoot",
        "prefect = 3",
        "surefoot = os",
        "prefect_test_harness()",
        "surefoot_test_harness = 1",
        "prefect.runtime.flow_run.name; p.states",
        "f'''{prefect.flow!r} é prefect {\n  1}'''",
        "def g(prefect, flow): return prefect.flow, flow.serve",
        "@flow(on=1)\ndef h(): h.serve(); prefect.states.Completed()",
        "os.environ['PREFECT_HOME'] = 'PREFECT_HOME'",
        "{'PREFECT_API_URL': 'prefect.flows', 'x': 'prefect'}",
        "mock.patch('prefect.flows')  # prefect.flows é",
        '"""é prefect."""',
        "def k(a: 'list[prefect.Flow]', b: Literal['prefect.x']) -> 'prefect.State': ...",
        "\f\n# \u2028 prefect",
        "x = 1",
        "from prefect.variables import Variable",
        "async def l(): return await Variable.get(f'{{{{ prefect.variables.é }}}}{Variable}'), '{{prefect.variables}}'",
    ]
)


@given(st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_rewriting_twice_is_rewriting_once_and_gives_a_script(lines: list[str], newline: str) -> None:
    once = rewrite_python(newline.join(lines)).text
    ast.parse(once)
    assert rewrite_python(once).text == once


@given(st.text().filter(lambda text: "prefect" not in text.lower()))
def test_a_file_without_prefect_stays_as_it_is(text: str) -> None:
    assert rewrite_python(text).text == text
