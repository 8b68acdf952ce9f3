"""`surefoot completion`: the script by which a shell completes commands and options. May import: click, cli's parts."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from surefoot.cli.command import Command
from surefoot.core.errors import Defect

__all__ = ["completion"]


@click.command(
    "completion",
    cls=Command,
    examples=[
        "surefoot completion bash > ~/.local/share/bash-completion/completions/surefoot",
        "surefoot completion fish > ~/.config/fish/completions/surefoot.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes in your shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Defect(f"click knows no completion for {shell}.")
    click.echo(kind(ctx.find_root().command, {}, "surefoot", "_SUREFOOT_COMPLETE").source())
