"""`surefoot run`: a flow of a file, called with parameters from the command line.

May import: cli's parts, the public face, core.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, cast

import click

from surefoot.cli.command import Command
from surefoot.cli.mistakes import Exit
from surefoot.cli.table import one_line, state_cell
from surefoot.core.errors import BadInput, ParameterBindError, ParameterTypeError, Unavailable
from surefoot.core.states import StateType
from surefoot.engine.running import exhaust
from surefoot.entrypoints import load_flow
from surefoot.states import Crashed, State

__all__ = ["parameters_of", "run", "tell_end"]


@click.command(
    "run",
    cls=Command,
    examples=["surefoot run backup.py:main", "surefoot run backup.py:main -p target=/mnt/nas -p keep=7"],
)
@click.argument("entrypoint", metavar="FILE:FLOW")
@click.option(
    "-p", "--param", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter; its value is JSON, else text."
)
@click.option(
    "--params", "document", metavar="JSON", help="All parameters as one JSON object; `-` reads it from stdin."
)
def run(entrypoint: str, pairs: tuple[str, ...], document: str | None) -> Exit:
    """Run a flow of a file, and record it.

    The exit code is 0 if the run completed and 1 if it ended in any other way.
    """
    parameters = parameters_of(pairs, document)
    flow = load_flow(entrypoint)
    try:
        if flow.isgenerator:
            return tell_end(flow.name, _drained(flow(**parameters)))
        state: State = flow(**parameters, return_state=True)
        if flow.isasync:
            import asyncio  # a door: a blocking flow does not pay for it

            state = asyncio.run(cast("Any", state))
    except SystemExit as stop:
        return tell_end(flow.name, Crashed(message=f"the flow called sys.exit({stop.code!r})"))
    if isinstance(state.data, ParameterTypeError):
        raise state.data  # recorded as refused; nothing ran
    return tell_end(flow.name, state)


def _drained(values: Any) -> State:
    """How a generator flow ended whose values were all taken."""
    try:
        exhaust(values)
    except (ParameterBindError, ParameterTypeError, Unavailable):
        raise
    except Exception:
        if not values.state.is_final():
            raise
    state: State = values.state
    return state


def parameters_of(pairs: Sequence[str], document: str | None) -> dict[str, Any]:
    """Parameters from `key=value` pairs over those of a JSON document.

    >>> parameters_of(["keep=7", "target=nas", "keep_all=true"], '{"keep": 1, "days": [1, 2]}')
    {'keep': 7, 'days': [1, 2], 'target': 'nas', 'keep_all': True}
    """
    parameters: dict[str, Any] = {}
    if document is not None:
        text = sys.stdin.read() if document == "-" else document
        try:
            loaded = json.loads(text)
        except ValueError as error:
            raise BadInput(
                f"--params is not JSON: {error}.", do="Pass one object, as in --params '{\"keep\": 7}'."
            ) from error
        if not isinstance(loaded, dict):
            raise BadInput(
                f"--params is {text!r}, which is no JSON object.", do="Pass one, as in --params '{\"keep\": 7}'."
            )
        parameters.update(loaded)
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise BadInput(f"--param got {pair!r}, which has no KEY=VALUE.", do="Write it as in --param keep=7.")
        try:
            parameters[key] = json.loads(text)
        except ValueError:
            parameters[key] = text
    return parameters


def tell_end(flow_name: str, state: State) -> Exit:
    """Say on stderr how the run ended; stdout is the flow's own. What to type next, the run has said itself."""
    cell = state_cell(state.type, state.name)
    words = [flow_name, click.style(cell.text, fg=cell.colour), one_line(state.message or ""), state.run_name or ""]
    click.echo("   ".join(word for word in words if word), err=True)
    return Exit.DONE if state.type is StateType.COMPLETED else Exit.NOT_COMPLETED
