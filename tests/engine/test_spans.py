"""Spans of OpenTelemetry, with its real SDK: one for each run, in the tree in which the runs were called."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from surefoot import Skip, flow, get_run_logger, task
from surefoot.context import TaskRunContext
from surefoot.exceptions import FailedRun
from surefoot.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner
from tests.engine import traced


class Spans:
    """The spans that have ended."""

    def __init__(self, memory: InMemorySpanExporter) -> None:
        self._memory = memory

    def all(self, name: str) -> list[Any]:
        return [span for span in self._memory.get_finished_spans() if span.name == name]

    def one(self, name: str) -> Any:
        (span,) = self.all(name)
        return span

    def names(self) -> list[str]:
        return sorted(span.name for span in self._memory.get_finished_spans())


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    """A tracer provider that is set as a program sets it, for this test alone."""
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return provider


@pytest.fixture
def spans(provider: TracerProvider) -> Spans:
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return Spans(memory)


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == parent.context.span_id


@task
def one() -> list[int]:
    return [1, 2]


@task
def total(values: list[int]) -> int:
    return sum(values)


@task
def fails() -> None:
    raise ValueError("no such file")


# -- what a span says


def test_a_flow_run_and_its_task_runs_are_spans_named_by_flow_and_task(spans: Spans) -> None:
    ids: list[str] = []

    @task(name="clean", task_run_name="clean-{n}", tags=["eu"])
    def clean(n: int) -> None:
        here = TaskRunContext.get()
        assert here is not None
        ids.append(str(here.task_run.id))

    @flow(name="nightly", flow_run_name="tonight")
    def nightly() -> None:
        clean(3)

    nightly()
    run, flow_run = spans.one("clean"), spans.one("nightly")
    assert dict(run.attributes) == {
        "surefoot.run.id": ids[0],
        "surefoot.run.name": "clean-3",
        "surefoot.run.count": 1,
        "surefoot.task": "clean",
        "surefoot.flow": "nightly",
        "surefoot.flow_run.id": flow_run.attributes["surefoot.run.id"],
        "surefoot.tags": ("eu",),
        "surefoot.state.type": "COMPLETED",
        "surefoot.state.name": "Completed",
    }
    assert run.status.status_code is StatusCode.UNSET
    assert flow_run.attributes["surefoot.run.name"] == "tonight"
    assert "surefoot.task" not in flow_run.attributes
    assert is_child(run, flow_run)
    assert flow_run.parent is None
    assert run.instrumentation_scope.name == "surefoot"


def test_a_failed_run_has_the_status_error_and_its_exception(spans: Spans) -> None:
    @flow
    def f() -> None:
        fails()

    with pytest.raises(ValueError, match="no such file"):
        f()
    for name in ("f", "fails"):
        span = spans.one(name)
        assert span.status.status_code is StatusCode.ERROR
        assert "no such file" in span.status.description
        (event,) = span.events
        assert event.name == "exception"
        assert event.attributes["exception.type"] == "ValueError"
        assert "in fails" in event.attributes["exception.stacktrace"]
        assert span.attributes["surefoot.state.type"] == "FAILED"


@pytest.mark.parametrize("delay_s", [0, 0.001])
def test_a_run_with_retries_is_one_span_with_an_event_for_each(spans: Spans, delay_s: float) -> None:
    calls: list[int] = []

    @task(retries=2, retry_delay_seconds=delay_s)
    def shaky() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise OSError(f"attempt {len(calls)}")

    shaky()
    span = spans.one("shaky")
    assert [(event.name, dict(event.attributes)) for event in span.events] == [
        ("retry", {"surefoot.run.count": 2, "surefoot.retry.reason": "OSError: attempt 1"}),
        ("retry", {"surefoot.run.count": 3, "surefoot.retry.reason": "OSError: attempt 2"}),
    ]
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["surefoot.run.count"] == 3


def test_runs_that_never_ran_have_a_span_that_says_so(spans: Spans) -> None:
    @task
    def skips() -> None:
        raise Skip("nothing new")

    @flow
    def f() -> list[Any]:
        futures = [total.with_options(name="not ready").submit(fails.submit()), total.submit(skips.submit())]
        for future in futures:
            future.wait()
        return []

    f()
    assert spans.one("not ready").attributes["surefoot.state.name"] == "NotReady"
    assert spans.one("not ready").status.status_code is StatusCode.ERROR
    assert spans.one("total").attributes["surefoot.state.name"] == "Skipped"
    assert spans.one("total").status.status_code is StatusCode.UNSET


def test_parameters_and_results_are_not_told(spans: Spans) -> None:
    total([123_456_789])
    span = spans.one("total")
    assert "123456789" not in span.to_json()


# -- the tree


def test_spans_of_the_user_are_children_of_the_run_and_runs_are_children_of_those(spans: Spans) -> None:
    tracer = trace.get_tracer("user")

    @flow
    def f() -> None:
        with tracer.start_as_current_span("around"):
            one()

    with tracer.start_as_current_span("program"):
        f()
    assert is_child(spans.one("f"), spans.one("program"))
    assert is_child(spans.one("around"), spans.one("f"))
    assert is_child(spans.one("one"), spans.one("around"))
    assert not trace.get_current_span().get_span_context().is_valid


def test_submitted_and_mapped_runs_are_children_of_the_run_that_submitted_them(spans: Spans) -> None:
    @task
    def outer(n: int) -> int:
        with trace.get_tracer("user").start_as_current_span(f"in {n}"):
            return total([n])

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def f() -> int:
        return sum(outer.map(range(4)).result())

    assert f() == 6
    flow_span = spans.one("f")
    assert all(is_child(span, flow_span) for span in spans.all("outer"))
    outers = {span.context.span_id for span in spans.all("outer")}
    assert {spans.one(f"in {n}").parent.span_id for n in range(4)} == outers
    assert len({span.parent.span_id for span in spans.all("total")}) == 4


def test_runs_in_an_event_loop_are_children_of_their_callers_however_they_interleave(spans: Spans) -> None:
    @task
    async def leaf(n: int) -> None:
        await asyncio.sleep(0)
        with trace.get_tracer("user").start_as_current_span(f"leaf {n}"):
            await asyncio.sleep(0)

    @task
    async def branch(n: int) -> None:
        await asyncio.sleep(0)
        await leaf(n)
        await leaf.submit(n + 10)

    @flow
    async def f() -> None:
        await asyncio.gather(*[branch(n) for n in range(3)])

    asyncio.run(f())
    assert all(is_child(span, spans.one("f")) for span in spans.all("branch"))
    by_id = {span.context.span_id: span for span in [*spans.all("leaf"), *spans.all("branch")]}
    for n in range(3):
        here, there = (by_id[spans.one(f"leaf {number}").parent.span_id] for number in (n, n + 10))
        assert here.name == there.name == "leaf"
        assert here.parent.span_id == there.parent.span_id
        assert by_id[here.parent.span_id].name == "branch"


def test_each_step_of_a_generator_is_in_its_span(spans: Spans) -> None:
    tracer = trace.get_tracer("user")

    @task
    def counts() -> Iterator[int]:
        for n in range(2):
            with tracer.start_as_current_span(f"step {n}"):
                pass
            yield n

    @flow
    def f() -> None:
        for n in counts():
            with tracer.start_as_current_span(f"taken {n}"):
                pass

    f()
    for n in range(2):
        assert is_child(spans.one(f"step {n}"), spans.one("counts"))
        assert is_child(spans.one(f"taken {n}"), spans.one("f"))


def test_nested_flows_are_children(spans: Spans) -> None:
    @flow
    def inner() -> None:
        one()

    @flow
    def outer() -> None:
        inner()

    outer()
    assert is_child(spans.one("inner"), spans.one("outer"))
    assert is_child(spans.one("one"), spans.one("inner"))


# -- links


def test_a_run_is_linked_to_the_runs_whose_results_it_takes(spans: Spans) -> None:
    @flow
    def f() -> None:
        future = one.submit()
        total.with_options(name="of a future").submit(future).wait()
        total.with_options(name="of a value")(future.result())
        total.with_options(name="after").submit([3], wait_for=[future]).wait()
        total.with_options(name="of nothing")([3])

    f()
    upstream = spans.one("one").context
    for name in ("of a future", "of a value", "after"):
        assert [link.context.span_id for link in spans.one(name).links] == [upstream.span_id]
    assert not spans.one("of nothing").links


# -- ends


def test_a_run_that_was_interrupted_has_an_ended_span(spans: Spans) -> None:
    @task
    def interrupted() -> None:
        raise KeyboardInterrupt

    @flow
    def f() -> None:
        interrupted()

    with pytest.raises(KeyboardInterrupt):
        f()
    for name in ("f", "interrupted"):
        assert spans.one(name).attributes["surefoot.state.type"] == "CRASHED"
        assert spans.one(name).status.status_code is StatusCode.ERROR


def test_a_run_that_was_cancelled_has_an_ended_span(spans: Spans) -> None:
    @task
    def waits() -> None:
        while True:
            threading.Event().wait(0.01)

    @flow(timeout_seconds=0.2)
    def f() -> None:
        waits.submit().wait()

    with pytest.raises(TimeoutError):
        f()
    assert spans.one("f").attributes["surefoot.state.name"] == "TimedOut"
    assert spans.one("waits").attributes["surefoot.state.type"] == "CANCELLED"
    assert spans.one("waits").status.status_code is StatusCode.ERROR


def test_an_abandoned_generator_has_an_ended_span(spans: Spans) -> None:
    @task
    def counts() -> Iterator[int]:
        yield 1
        yield 2

    @flow
    def f() -> None:
        for _ in counts():
            break

    f()
    assert spans.one("counts").attributes["surefoot.state.name"] == "Abandoned"


# -- what the user has configured


def test_without_a_provider_no_span_is_made_and_none_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)

    @task
    def current() -> bool:
        return trace.get_current_span().get_span_context().is_valid

    assert flow(current.fn)() is False
    assert current() is False


def test_a_processor_that_raises_changes_no_run(
    provider: TracerProvider, spans: Spans, capsys: pytest.CaptureFixture[str]
) -> None:
    class NoRoom(Exception):
        pass

    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise NoRoom

    provider.add_span_processor(Broken())

    @task
    def works() -> int:
        get_run_logger().info("working")
        return 1

    assert [works(), works()] == [1, 1]
    told = capsys.readouterr().err
    assert told.count("its OpenTelemetry span is not as it should be") == 1
    assert "NoRoom" in told


def test_an_exception_without_a_text_ends_the_span_all_the_same(spans: Spans) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @task
    def mute() -> None:
        raise Mute

    with pytest.raises(Mute):
        mute()
    assert spans.one("mute").status.status_code is StatusCode.ERROR


def test_a_program_without_it_loads_nothing_of_it() -> None:
    program = """
import sys
from surefoot import flow, task

@task
def t(): return 1

@flow
def f(): return t.submit().result() + t()

f()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# -- other processes


def test_a_call_in_another_process_is_in_the_span_of_its_run(spans: Spans) -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def f() -> Any:
        token = context.attach(baggage.set_baggage("customer", "7"))
        try:
            return traced.current_span.submit().result()
        finally:
            context.detach(token)

    trace_id, span_id = f()
    span = spans.one("current_span")
    assert (span.context.trace_id, span.context.span_id) == (trace_id, span_id)
    assert is_child(span, spans.one("f"))


class Sink:
    """What receives spans over HTTP, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self._arrived = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                with sink._arrived:
                    for resource in told.resource_spans:
                        for scope in resource.scope_spans:
                            sink.spans.extend(scope.spans)
                    sink._arrived.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def one(self, name: str) -> Any:
        """The span of that name, when it has come."""

        def found() -> list[Any]:
            return [span for span in self.spans if span.name == name]

        with self._arrived:
            assert self._arrived.wait_for(found, 30), f"no span {name!r} has come"
            return found()[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


def test_spans_that_are_made_in_another_process_belong_to_the_same_trace(spans: Spans, sink: Sink) -> None:
    runner = ProcessPoolTaskRunner(max_workers=1, initializer=traced.export_to, initargs=(sink.url,))

    @flow(task_runner=runner)
    def f() -> None:
        traced.with_a_span_of_its_own.submit().result()

    f()
    outer, users, inner = spans.one("with_a_span_of_its_own"), sink.one("the user's"), sink.one("inner")
    assert int.from_bytes(users.trace_id, "big") == outer.context.trace_id
    assert int.from_bytes(users.parent_span_id, "big") == outer.context.span_id
    assert inner.parent_span_id == users.span_id


def wait_until_there(path: Path, process: subprocess.Popen[bytes], wait: Callable[[], Any]) -> None:
    while not path.exists():
        assert process.poll() is None
        wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_span_of_a_run_that_a_signal_ends_is_sent(sink: Sink, tmp_path: Path, number: signal.Signals) -> None:
    begun = tmp_path / "begun"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.traced", sink.url, str(begun)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until_there(begun, process, lambda: threading.Event().wait(0.01))
        process.send_signal(number)
        process.wait(30)
    finally:
        process.kill()
        process.wait()
    span = sink.one("endless")
    attributes = {pair.key: pair.value.string_value for pair in span.attributes}
    assert attributes["surefoot.state.type"] == "CRASHED"
    assert span.status.code == StatusCode.ERROR.value


def test_a_run_that_failed_ends_its_flows_span_in_error_too(spans: Spans) -> None:
    @flow
    def f() -> Any:
        return fails.submit()

    with pytest.raises((FailedRun, ValueError)):
        f()
    assert spans.one("f").status.status_code is StatusCode.ERROR
