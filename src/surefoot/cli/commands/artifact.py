"""`surefoot artifact`: what runs made for people to look at. May import: cli's parts, client, core."""

from __future__ import annotations

import os
import re
import sys
from datetime import datetime
from typing import Any

import click
from msgspec.structs import replace

from surefoot.cli.artifact_content import FORMATS, as_file, ending_of, name_of, shown
from surefoot.cli.command import LazyGroup
from surefoot.cli.consent import agree
from surefoot.cli.listing import Listing, ls_options, print_list
from surefoot.cli.output import Output, note, output_option, say, walk, write_object
from surefoot.cli.reading import now_here, reading
from surefoot.cli.run_page import flow_run_name, pairs
from surefoot.cli.sizes import bytes_as_text
from surefoot.cli.table import Cell, heading, one_line
from surefoot.cli.times import day_and_time, full_time
from surefoot.client.protocol import Client
from surefoot.core.artifacts import JSON, TEXT, URL, decoded
from surefoot.core.errors import BadInput, MissingResult, Refused, SurefootError
from surefoot.core.os.files import write_bytes
from surefoot.core.wire import Artifact, ArtifactFilter, Deleted, TaskRunFilter

__all__ = ["artifact"]


@click.group(cls=LazyGroup)
def artifact() -> None:
    """See, export and delete what runs made for people to look at."""


def _keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The keys of artifacts, for a shell that completes."""
    try:
        with reading() as client:
            found = client.artifacts(latest=True, limit=1000).results
            return [each.key for each in found if each.key is not None and each.key.startswith(incomplete)]
    except SurefootError:  # a shell that completes has no place for it; the command will say it
        return []


_one = click.argument("artifact", metavar="KEY|ID", shell_complete=_keys)
_version = click.option(
    "--version", type=click.IntRange(min=1), metavar="N", help="This version of the key, not the newest."
)


@artifact.command(
    "ls",
    examples=[
        "surefoot artifact ls",
        "surefoot artifact ls --flow-run brave-otter",
        "surefoot artifact ls --key report -o json",
    ],
)
@click.option("--all", "all_", is_flag=True, help="All versions, and those without a key; the newest first.")
@click.option("--key", shell_complete=_keys, help="All versions of this key.")
@click.option("--type", "type_", metavar="TYPE", help="Only those of this type, such as table.")
@click.option("--flow-run", metavar="RUN", help="Those that were made in this flow run.")
@click.option("--task-run", metavar="RUN", help="Those that were made in this task run.")
@ls_options
def ls(
    all_: bool,
    key: str | None,
    type_: str | None,
    flow_run: str | None,
    task_run: str | None,
    limit: int,
    after: str | None,
    output: Output,
) -> None:
    """List artifacts: the newest of each key, or all that fit."""
    now = now_here()
    with reading() as client:
        where = ArtifactFilter(
            key=None if key is None else [key],
            type=None if type_ is None else [type_],
            flow_run_id=None if flow_run is None else [client.find_flow_run(flow_run).id],
            task_run_id=None if task_run is None else [client.find_task_run(task_run).id],
        )
        latest = not (all_ or key or flow_run or task_run)
        print_list(
            lambda limit, after: client.artifacts(where, latest=latest, limit=limit, after=after),
            Listing(limit, after, output),
            ["KEY", "TYPE", "VERSION", "UPDATED", "SIZE", "ID", "DESCRIPTION"],
            lambda each: _row(each, now),
            nothing=lambda: _nothing(client, where, latest),
        )


def _row(each: Artifact, now: datetime) -> list[str | Cell]:
    return [
        each.key or "",
        each.type,
        "" if each.version is None else str(each.version),
        day_and_time(each.updated, now),
        bytes_as_text(each.size),
        each.id,
        each.description or "",
    ]


def _nothing(client: Client, where: ArtifactFilter, latest: bool) -> str:
    if where == ArtifactFilter() and not client.artifacts(limit=1).results:
        return "No artifact was made yet. In a flow or task: create_markdown_artifact('# Report', key='report')"
    return "None has a key: add --all to see those without." if latest else "There is no such artifact."


@artifact.command(
    "inspect",
    examples=[
        "surefoot artifact inspect report",
        "surefoot artifact inspect report --version 1",
        "surefoot artifact inspect report -o json",
    ],
)
@_one
@_version
@output_option
def inspect(artifact: str, version: int | None, output: Output) -> None:
    """Show an artifact: the newest of a key, one of its versions, or the one with an id."""
    with reading() as client:
        found = client.find_artifact(artifact, version)
        content, lost = b"", None
        if output == "table" or (found.place is not None and found.media_type in (JSON, TEXT, URL)):
            try:
                content = client.artifact_content(found.id)
            except MissingResult as error:
                lost = error
        if output == "table":
            say([*_page(client, found), "", *([] if lost else shown(found, content))])
        else:
            data = found.data if found.place is None else decoded(found.media_type, content) if content else None
            write_object(replace(found, data=data), output)
    if lost is not None:
        raise lost


def _page(client: Client, found: Artifact) -> list[str]:
    now = now_here()
    version = "" if found.version is None else f"   version {found.version}"
    facts = {
        "Id": found.id,
        "Flow run": flow_run_name(client, found.flow_run_id) if found.flow_run_id else "",
        "Task run": _task_run_name(client, found.task_run_id) if found.task_run_id else "",
        "Made": full_time(found.created, now),
        "Changed": full_time(found.updated, now) if found.updated != found.created else "",
        "Size": bytes_as_text(found.size),
        "File": found.place or "",
        "About": found.description or "",
    }
    return [f"{heading(one_line(name_of(found)))}   {one_line(found.type)}{version}", "", *pairs(facts)]


def _task_run_name(client: Client, run_id: str) -> str:
    found = client.task_runs(TaskRunFilter(id=[run_id]), limit=1).results
    return found[0].name if found else run_id


@artifact.command(
    "export",
    examples=[
        "surefoot artifact export report",
        "surefoot artifact export rows -o rows.json",
        "surefoot artifact export rows --format md -o -",
    ],
)
@_one
@_version
@click.option("-o", "--file", metavar="FILE", help="Where to; by default KEY with an ending, here; '-' is stdout.")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="As what; by default as FILE ends, or as suits it."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def export(artifact: str, version: int | None, file: str | None, format_: str | None, force: bool) -> None:
    """Write an artifact to a file: a table as CSV, JSON or markdown, a text as it is, an image as it is."""
    with reading() as client:
        found = client.find_artifact(artifact, version)
        if found.media_type == URL and found.type == "image":
            note("The image lies elsewhere: what is written is its address.")
        content = client.artifact_content(found.id)
    asked = format_ or (os.path.splitext(file or "")[1].lstrip(".").lower() if file != "-" else "")
    wanted = asked if asked in FORMATS else ending_of(found)
    raw = as_file(found, content, wanted)
    if asked not in ("", wanted, ending_of(found)):
        note(f"What is written is {wanted}, though the file's name ends with .{asked}.")
    if file == "-":
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
        return
    # Of a ledger that many write into, even a key may be a path.
    path = os.path.abspath(file or f"{re.sub(r'[^A-Za-z0-9_-]', '_', name_of(found))}.{wanted}")
    if os.path.isdir(path):
        raise BadInput(
            f"{file!r} is a folder.", do=f"Name a file: -o {os.path.join(file or '', name_of(found))}.{wanted}"
        )
    if os.path.exists(path) and not force:
        raise Refused(f"{path!r} is there already.", do="Add --force, or name another file with -o.")
    try:
        write_bytes(path, raw, mode=0o644)
    except OSError as error:
        raise BadInput(f"{path!r} cannot be written: {error.strerror}.", do="Name another file with -o.") from error
    say([f"Wrote {path}: {bytes_as_text(len(raw))}."])


@artifact.command(
    "delete", examples=["surefoot artifact delete rows --yes", "surefoot artifact delete report --version 1 --yes"]
)
@click.argument("artifact", metavar="KEY|ID", required=False, shell_complete=_keys)
@click.option("--id", "artifact_id", metavar="ID", help="The same as ID alone.")
@_version
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@output_option
def delete(artifact: str | None, artifact_id: str | None, version: int | None, yes: bool, output: Output) -> None:
    """Delete an artifact for good: all versions of a key, one of them, or the one with an id."""
    artifact = artifact_id or artifact
    if not artifact:
        raise BadInput("Which artifact is to be deleted was not said.", do="surefoot artifact delete KEY")
    with reading() as client:
        found = client.find_artifact(artifact, version)
        ids = [found.id]
        if version is None and found.key == artifact.strip():
            where = ArtifactFilter(key=[found.key])
            pages: Any = walk(lambda limit, after: client.artifacts(where, limit=limit, after=after))
            ids = [each.id for page in pages for each in page.results]
        what = f"version {found.version} of {found.key!r}" if version else f"{name_of(found)!r}"
        agree(f"Delete {what}{f', {len(ids):,} versions' if len(ids) > 1 else ''}, for good?", yes)
        gone = client.delete_artifacts(ids)
    if output != "table":
        write_object(Deleted(artifacts=gone), output)
    else:
        say([f"Deleted {gone:,} artifact{'' if gone == 1 else 's'}."])
