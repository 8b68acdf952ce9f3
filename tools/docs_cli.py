"""Writes what the command line says of itself: docs/cli.md from `--help`, docs/schemas/ from what `-o json` prints.

`python tools/docs_cli.py` writes the files; a test compares them. May import: surefoot, click, msgspec.
"""

import json
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from surefoot.cli.app import app
from surefoot.cli.commands.config import View
from surefoot.cli.commands.db import Compacted, Upgrade
from surefoot.cli.commands.migrate import Migration
from surefoot.cli.commands.notify import Attempted, Waiting
from surefoot.cli.commands.profile import Profile, ProfilePage
from surefoot.cli.commands.results import KeptOfRun, Removal, Shown
from surefoot.cli.commands.version import Versions
from surefoot.cli.mistakes import Exit
from surefoot.cli.replaying import ReplayedRun
from surefoot.client.database import DbStats, Emptied
from surefoot.client.survey import HomeSurvey, RemovedHome
from surefoot.client.upkeep import Upkept
from surefoot.client.watching import Finding
from surefoot.core.wire import (
    Artifact,
    Asset,
    Deleted,
    Explanation,
    Flow,
    FlowRun,
    Limit,
    LimitPlace,
    Lineage,
    Log,
    RunResult,
    TaskRun,
    Variable,
    VariableChange,
)

ROOT: Final = Path(__file__).resolve().parent.parent
WIDTH: Final = 100

EXITS: Final = {
    Exit.DONE: "done, and the run, if there is one, is Completed",
    Exit.NOT_COMPLETED: "done, but the run ended Failed, Crashed or Cancelled, or had not ended when the waiting did; "
    "or `watch` found something",
    Exit.BAD_INPUT: "wrong usage or bad input: nothing ran",
    Exit.REFUSED: "refused, with the reason",
    Exit.NOT_FOUND: "not found, or not yours to see",
    Exit.UNAVAILABLE: "server or storage unreachable: nothing changed",
    Exit.DEFECT: "a defect of Surefoot",
    Exit.INTERRUPTED: "interrupted (Ctrl-C), and recorded",
    Exit.TERMINATED: "terminated (SIGTERM), and recorded",
}


class ExplanationOfFlowRun(Explanation, frozen=True, kw_only=True):
    """What `why` says of a flow run."""

    run: FlowRun


class ExplanationOfTaskRun(Explanation, frozen=True, kw_only=True):
    """What `why` says of a task run."""

    run: TaskRun


# What `-o json` prints: the file's name is the command's.
DOCUMENTS: Final[dict[str, Any]] = {
    "artifact-delete": Deleted,
    "artifact-inspect": Artifact,
    "artifact-ls": list[Artifact],
    "asset-inspect": Asset,
    "asset-lineage": Lineage,
    "asset-ls": list[Asset],
    "concurrency-limit-create": Limit,
    "concurrency-limit-inspect": Limit,
    "concurrency-limit-ls": list[Limit],
    "config-view": View,
    "db-fold": Upkept,
    "db-reset": Emptied,
    "db-stats": DbStats,
    "db-upgrade": Upgrade,
    "db-vacuum": Compacted,
    "flow-ls": list[Flow],
    "flow-run-cancel": list[FlowRun],
    "flow-run-delete": Deleted,
    "flow-run-inspect": FlowRun,
    "flow-run-logs": list[Log],
    "flow-run-ls": list[FlowRun],
    "flow-run-watch": FlowRun,
    "gcl-create": Limit,
    "gcl-inspect": Limit,
    "gcl-ls": list[Limit],
    "gcl-update": Limit,
    "home": HomeSurvey,
    "home-remove": RemovedHome,
    "limit-holders": list[LimitPlace],
    "limit-ls": list[Limit],
    "limit-set": Limit,
    "limit-waiters": list[LimitPlace],
    "migrate-prefect": Migration,
    "notify-ls": list[Waiting],
    "notify-rm": list[Waiting],
    "notify-send": list[Attempted],
    "notify-test": list[Attempted],
    "profile-inspect": ProfilePage,
    "profile-ls": list[Profile],
    "replay": ReplayedRun,
    "task-run-cancel": list[TaskRun],
    "results-gc": Removal,
    "results-ls": (list[KeptOfRun], list[RunResult]),
    "results-rm": Removal,
    "results-show": Shown,
    "task-run-delete": Deleted,
    "task-run-inspect": TaskRun,
    "task-run-logs": list[Log],
    "task-run-ls": list[TaskRun],
    "variable-get": Any,
    "variable-history": list[VariableChange],
    "variable-inspect": Variable,
    "variable-ls": list[Variable],
    "variable-set": Variable,
    "variable-unset": Variable,
    "version": Versions,
    "watch": list[Finding],
    "why": (ExplanationOfFlowRun, ExplanationOfTaskRun),
}

OPENING: Final = """\
# The command line

`surefoot` shows what ran, why it is as it is, and runs flows of files. This page is written from `--help` by
`tools/docs_cli.py`.

Wherever a run is asked for, its id, the beginning of that, or its name will do; a name that several runs bear means
the newest.

## Output

People get text: tables as wide as the terminal, times as they say them, one line of progress. Programs add `-o json`
for one JSON document (an array for `ls` and `logs`, an object for one thing), or `-o jsonl` for one object a line, as
it comes. Then nothing else is on stdout; notes, progress and errors go to stderr. The keys are the API's; their JSON
schemas are in [schemas/](schemas/). A mistake is one line: what happened, what to do, and its name in
[errors.md](errors.md). `surefoot --debug ...` shows the traceback as well.

Colours follow the terminal, and go away with `--no-color`, `NO_COLOR=1` or `SUREFOOT_CLI_COLORS=false`.

## Exit codes

| code | means |
|---|---|
"""


def main() -> int:
    """Write all files."""
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


def documents() -> dict[Path, str]:
    """The text that each file should have."""
    found = {ROOT / "docs" / "cli.md": page()}
    for name, kind in DOCUMENTS.items():
        found[ROOT / "docs" / "schemas" / f"{name}.json"] = json.dumps(schema(kind), indent=2) + "\n"
    return found


def schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of what a command prints; of any of several, where `kind` is a tuple."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    parts, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    body = parts[0] if len(parts) == 1 else {"anyOf": list(parts)}
    for each in (*parts, *definitions.values()):
        if "description" in each:
            each["description"] = cleandoc(each["description"])  # Python 3.13 indents docstrings otherwise than 3.12
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "$defs": definitions}


def page() -> str:
    """The text of docs/cli.md."""
    lines = [f"| {code.value} | {means} |" for code, means in EXITS.items()]
    parts = [OPENING + "\n".join(lines) + "\n"]
    with click.Context(app, info_name="surefoot", terminal_width=WIDTH, **app.context_settings) as root:
        parts.append(f"## surefoot\n\n```text\n{help_of(app, root)}\n```\n")
        for command, ctx in below(app, root):
            parts.append(f"## {ctx.command_path}\n\n```text\n{help_of(command, ctx)}\n```\n")
    return "\n".join(parts)


def commands() -> list[tuple[str, click.Command]]:
    """All commands there are, groups too, by what is typed for them."""
    with click.Context(app, info_name="surefoot", **app.context_settings) as root:
        return [(ctx.command_path, command) for command, ctx in below(app, root)]


def below(group: click.Group, ctx: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands below `group`, in its order."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        with click.Context(command, info_name=name, parent=ctx, terminal_width=WIDTH) as own:
            yield command, own
            if isinstance(command, click.Group):
                yield from below(command, own)


def help_of(command: click.Command, ctx: click.Context) -> str:
    """A command's help, as it stands on a terminal of 100 columns."""
    return click.unstyle(command.get_help(ctx)).rstrip()


if __name__ == "__main__":
    sys.exit(main())
