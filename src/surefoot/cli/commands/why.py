"""`surefoot why`: why a run is as it is (promise 14). May import: cli's parts, client, core."""

from __future__ import annotations

import click

from surefoot.cli.command import Command
from surefoot.cli.output import Output, output_option, say, write_object
from surefoot.cli.reading import reading
from surefoot.cli.table import dim, heading, one_line, state_of, visible
from surefoot.client.protocol import Client
from surefoot.core.errors import NotFound
from surefoot.core.typed import as_typed
from surefoot.core.wire import Explanation

__all__ = ["why"]


@click.command("why", cls=Command, examples=["surefoot why brave-otter", "surefoot why upload-0 -o json"])
@click.argument("run")
@output_option
def why(run: str, output: Output) -> None:
    """Say why a run is as it is, and what to do.

    RUN is a flow run or a task run: its name, its id, or a prefix of that. The key of an asset (s3://bucket/orders)
    means the run that made it last, or tried to.
    """
    with reading() as client:
        explanation = client.why(_run_behind(client, run) if "://" in run else run)
    if output == "table":
        say(_page(explanation))
    else:
        write_object(explanation, output)


def _run_behind(client: Client, key: str) -> str:
    """The run that made an asset last, or tried to."""
    last = client.find_asset(key).last
    if last is None:
        raise NotFound(f"No run here makes {key}.", do=f"See what rests on it: surefoot asset lineage {key}")
    return last.task_run_id


def _page(explanation: Explanation) -> list[str]:
    run = explanation.run
    state = state_of(run)
    lines = [f"{heading(one_line(run.name))}   {click.style(one_line(state.text), fg=state.colour, bold=True)}"]
    lines.append(one_line(explanation.summary))
    for title, parts in (("Because", explanation.causes), ("What it blocked", explanation.blocked)):
        if parts:
            lines += ["", heading(title), *(f"  {one_line(part)}" for part in parts)]
    if explanation.traceback:
        lines += ["", heading("Traceback"), *(f"  {dim(visible(line))}" for line in explanation.traceback.splitlines())]
    if explanation.do:
        lines += ["", heading("What to do"), *(f"  {as_typed(one_line(command))}" for command in explanation.do)]
    return lines
