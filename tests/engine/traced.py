"""Tasks for the tests of spans, in a module that a child process can import; and an endless program."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from surefoot import flow, task


def export_to(url: str) -> None:
    """What a program does to have its spans sent; the initializer of a pool of processes too."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))
    trace.set_tracer_provider(provider)


@task
def inner() -> None:
    pass


@task
def with_a_span_of_its_own() -> None:
    with trace.get_tracer("user").start_as_current_span("the user's"):
        inner()


@task
def current_span() -> tuple[int, int]:
    context = trace.get_current_span().get_span_context()
    return context.trace_id, context.span_id


@flow
def endless(begun: str) -> None:
    Path(begun).touch()
    while True:
        threading.Event().wait(0.01)


if __name__ == "__main__":
    export_to(sys.argv[1])
    endless(sys.argv[2])
