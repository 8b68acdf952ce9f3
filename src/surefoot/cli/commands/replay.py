"""`surefoot replay`: one recorded task run is called again, under a debugger if wanted.

May import: cli's parts.
"""

from __future__ import annotations

import click

from surefoot.cli.command import Command
from surefoot.cli.mistakes import Exit
from surefoot.cli.output import Output, output_option

__all__ = ["replay"]


@click.command(
    "replay",
    cls=Command,
    examples=[
        "surefoot replay save-4c1",
        "surefoot replay save-4c1 --pdb",
        "surefoot replay save-4c1 --break",
        "surefoot replay save-4c1 -o json",
    ],
)
@click.argument("task_run")
@click.option("-p", "--param", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter to take instead.")
@click.option("--pdb", "post_mortem", is_flag=True, help="Open the debugger where the task fails.")
@click.option("--break", "stops", is_flag=True, help="Open the debugger at the first line of the task.")
@output_option
@click.option("--here", is_flag=True, hidden=True, help="In this process.")
def replay(
    task_run: str, pairs: tuple[str, ...], post_mortem: bool, stops: bool, output: Output, here: bool
) -> Exit | int:
    """Call the task of one recorded run again.

    It gets the inputs that it had, and nothing is recorded. The body of its flow runs again up to there, in a new
    process; other tasks give the values that were kept. The result, or the traceback, is printed. The exit code is 0
    if the task returns, and 1 if it raises. With `-o json` what the code prints goes to stderr.
    """
    from surefoot.cli.replaying import replay as replay_run

    return replay_run(task_run, pairs=pairs, post_mortem=post_mortem, stops=stops, output=output, here=here)
