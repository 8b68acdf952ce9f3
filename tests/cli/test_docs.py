"""What the command line says of itself is what it does: the page, the schemas, the examples."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from surefoot.cli.mistakes import Exit
from surefoot.client import get_client
from surefoot.core.facts import AssetMaterialized, StateEntered
from surefoot.notify.notices import Notice
from surefoot.notify.outbox import Outbox
from surefoot.results.keeping import Keeper
from tests.cli.conftest import Surefoot
from tests.client.builders import a_flow_run, a_line, a_task_run, an_artifact, recorded
from tools.docs_cli import DOCUMENTS, EXITS, ROOT, commands, documents, schema


@pytest.mark.parametrize("path", list(documents()), ids=lambda path: path.name)
def test_the_checked_in_file_is_what_the_tool_writes(path: Path) -> None:
    assert path.is_file(), "run: python tools/docs_cli.py"
    assert path.read_text(encoding="utf-8") == documents()[path], "run: python tools/docs_cli.py"


def test_no_schema_is_left_of_a_command_that_is_no_more() -> None:
    assert {path.stem for path in (ROOT / "docs" / "schemas").glob("*.json")} == DOCUMENTS.keys()


def test_each_exit_code_is_on_the_page() -> None:
    assert set(EXITS) == set(Exit)


def _json_commands() -> set[str]:
    return {
        path.removeprefix("surefoot ").replace(" ", "-")
        for path, command in commands()
        if any(option.name == "output" for option in command.params)
    }


def test_each_command_that_prints_json_has_a_schema() -> None:
    assert _json_commands() == DOCUMENTS.keys()


@pytest.fixture
def seeded(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with all that the examples name, and a folder with the file that they run."""
    run = a_flow_run("brave-otter", state="Failed", why="upload: connection refused")
    task = a_task_run(run, "upload-0", state="Failed", why="connection refused", traceback="Traceback ...")
    done = a_task_run(run, "upload-1", state="Completed")
    keeper = Keeper(str(home), run[0].run_id, bytes(16))
    at = keeper.keep({"rows": 3})
    keeper.close()
    done = [replace(fact, result=at) if isinstance(fact, StateEntered) else fact for fact in done]
    made = [
        an_artifact(run, "report", b"# All went well"),
        an_artifact(done, "report", b"# All went well again"),
        an_artifact(task, "rows", b'[{"region": "eu", "rows": 3}]', type="table"),
    ]
    assets = [
        AssetMaterialized(task[0].run_id, run[0].run_id, key, at_us, at_us, "completed", upstream=upstream)
        for key, at_us, upstream in (
            ("s3://bucket/raw", 1, ()),
            ("s3://bucket/orders", 2, (("s3://bucket/raw", "data"),)),
        )
    ]
    recorded(home, run, task, done, made, assets, a_line(run, "going"), a_line(task, "refused", level=40))
    entry = Outbox(str(home)).put(Notice(id="0", event="failure", flow="backup", at_us=0), ["https://example.com/hook"])
    os.utime(home / "notices" / "outbox" / f"{entry.name}.json", (1 << 32, 1 << 32))  # not to be tried in this test
    flow = "@flow\ndef main(target: str = '', keep: int = 1) -> None:\n    pass\n"
    (tmp_path / "backup.py").write_text(f"from surefoot import flow\n\n\n{flow}")
    monkeypatch.chdir(tmp_path)
    with closing(get_client()) as client:
        client.set_limit("database", 3)
        client.set_limit("tag:gpu", 1)
        client.set_limit("api", 60, interval_us=1_000_000)
        client.set_variable("page-size", 500)
        client.set_variable("region", "eu-west", overwrite=True)
        client.set_variable("hosts", ["a", "b"], tags=["nightly"])
    return home


EXAMPLES = [
    example
    for path, command in commands()
    for example in getattr(command, "examples", ())
    # What these send goes to servers of their own: tests/notify.
    if not path.startswith(("surefoot notify test", "surefoot notify send"))
    # These stand in a home of their own.
    and not path.startswith(("surefoot config", "surefoot profile"))
    # No such run is on, or really was: test_cancel.py, test_retry.py, test_replay.py.
    and not path.endswith((" cancel", " retry", " replay"))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_does_what_it_says(surefoot: Surefoot, seeded: Path, example: str) -> None:
    words = shlex.split(example.partition(" > ")[0])
    assert words[0] == "surefoot"
    result = surefoot(*words[1:])
    watched = words[1:3] == ["flow-run", "watch"]  # of a run that failed
    assert result.exit_code == (Exit.NOT_COMPLETED if watched else Exit.DONE), result.stderr
    assert result.stdout or words[1] in ("run", "watch") or words[2] in ("holders", "waiters")  # there are none


def fits(value: Any, rule: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a JSON value fits a schema, as far as our schemas go."""
    if "$ref" in rule:
        return fits(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root)
    if "anyOf" in rule:
        return any(fits(value, one, root) for one in rule["anyOf"])
    if "enum" in rule:
        return value in rule["enum"]
    kinds: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    kind = rule.get("type")
    if kind == "null":
        return value is None
    if kind is not None and not isinstance(value, kinds[kind]):
        return False
    if kind == "array":
        return all(fits(item, rule.get("items", {}), root) for item in value)
    if kind == "object" and "properties" in rule:
        known = rule["properties"]
        required = set(rule.get("required", ()))
        return required <= value.keys() <= known.keys() and all(fits(v, known[k], root) for k, v in value.items())
    return True


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("artifact ls", "artifact-ls"),
        ("artifact inspect rows", "artifact-inspect"),
        ("artifact delete report --yes", "artifact-delete"),
        ("flow ls", "flow-ls"),
        ("flow-run ls", "flow-run-ls"),
        ("flow-run inspect brave-otter", "flow-run-inspect"),
        ("flow-run logs brave-otter", "flow-run-logs"),
        ("flow-run watch brave-otter", "flow-run-watch"),
        ("flow-run delete brave-otter --yes", "flow-run-delete"),
        ("task-run delete upload-0 --yes", "task-run-delete"),
        ("db stats", "db-stats"),
        ("db fold", "db-fold"),
        ("db upgrade", "db-upgrade"),
        ("db reset --yes", "db-reset"),
        ("db vacuum", "db-vacuum"),
        ("home", "home"),
        ("home remove --yes", "home-remove"),
        ("notify ls", "notify-ls"),
        ("notify rm 0", "notify-rm"),
        ("task-run ls", "task-run-ls"),
        ("task-run inspect upload-0", "task-run-inspect"),
        ("task-run logs upload-0", "task-run-logs"),
        ("why brave-otter", "why"),
        ("why upload-0", "why"),
        ("asset ls", "asset-ls"),
        ("asset inspect orders", "asset-inspect"),
        ("asset lineage orders", "asset-lineage"),
        ("variable ls", "variable-ls"),
        ("variable get hosts", "variable-get"),
        ("variable inspect hosts", "variable-inspect"),
        ("variable history hosts", "variable-history"),
        ("variable set new 1 --json", "variable-set"),
        ("variable unset hosts", "variable-unset"),
        ("version", "version"),
    ],
)
def test_what_is_printed_fits_the_checked_in_schema(surefoot: Surefoot, seeded: Path, words: str, name: str) -> None:
    checked_in = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    document = json.loads(surefoot(*words.split(), "-o", "json").stdout)
    assert document
    assert fits(document, checked_in, checked_in)


def test_the_check_of_schemas_sees_a_wrong_document() -> None:
    rule = schema(DOCUMENTS["flow-run-ls"])
    assert not fits([{"id": 1}], rule, rule)
    assert not fits({}, rule, rule)
