"""Spans of OpenTelemetry: one for each run, where the program has set a tracer provider.

Nothing is imported for that: a program that makes spans has loaded the library itself. Whatever the user's provider,
processors or exporters raise is told once, and changes no run. Keeps promise 16. May import: core, telling.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from surefoot._version import __version__
from surefoot.core.ids import to_uuid
from surefoot.core.states import CANCELLED, CRASHED, FAILED, FINAL, RUNNING, SCHEDULED, StateType
from surefoot.engine import telling

if TYPE_CHECKING:
    from surefoot.engine.execution import Execution

__all__ = ["LIBRARY", "RunSpan", "adopt", "carried", "flush"]

LIBRARY: Final = "opentelemetry.trace"  # loaded, if the program makes spans
LINKABLE_MAX: Final = 1 << 17  # so many runs are remembered, for links from those that take their results
FLUSH_MS: Final = 3_000

_BAD: Final = (FAILED, CRASHED, CANCELLED)
_linkable: Final[OrderedDict[bytes, Any]] = OrderedDict()  # run -> the context of its span
_tracer: tuple[Any, Any] = None, None  # the provider that was set when it was last asked for, and our tracer of it


def _tracer_of(api: Any) -> Any:
    """Our tracer of the provider that is set; None if there is none."""
    global _tracer
    provider = api.get_tracer_provider()
    if isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
        return None
    known, tracer = _tracer
    if known is not provider:
        tracer = provider.get_tracer("surefoot", __version__)
        _tracer = provider, tracer
    return tracer


class RunSpan:
    """The span of one run: from its first attempt to its last state."""

    __slots__ = ("_api", "_is_over", "_span", "_tracer", "_why")

    def __init__(self) -> None:
        self._api: Any = None
        self._tracer: Any = None
        self._span: Any = None
        self._why: str | None = None  # the last attempt failed
        self._is_over = False

    def entered(self, run: Execution) -> None:
        """The run has entered a state."""
        kind = run.state_type
        if self._is_over:
            return
        try:
            if self._tracer is None:
                self._api = sys.modules[LIBRARY]
                self._tracer = _tracer_of(self._api)
                if self._tracer is None:
                    run.span = None
                    return
            if kind is RUNNING:
                if self._span is None:
                    self._begin(run)
                else:
                    self._again(run)
            elif kind is SCHEDULED:
                self._why = run.message
            elif kind in FINAL:
                self._is_over = True
                if self._span is None:  # it never ran, which a trace without it would not tell
                    self._begin(run)
                self._end(run, kind)
        except Exception as error:
            telling.spans_failed(run, error)

    def _begin(self, run: Execution) -> None:
        upstreams = dict.fromkeys(run_id for _, runs in run.inputs for run_id in runs)
        found = [context for run_id in upstreams if (context := _linkable.get(run_id)) is not None]
        context = run.context.copy().run(sys.modules["opentelemetry.context"].get_current)
        span = self._tracer.start_span(
            run.definition.name,
            context=context,
            attributes=_attributes(run),
            links=[self._api.Link(context) for context in found],
            record_exception=False,
            set_status_on_exception=False,
        )
        self._span = span
        # The user's function is called in this context, whatever thread or loop that is in.
        run.context.run(sys.modules["opentelemetry.context"].attach, self._api.set_span_in_context(span, context))
        _linkable[run.run_id] = span.get_span_context()
        while len(_linkable) > LINKABLE_MAX:
            _linkable.popitem(last=False)

    def _again(self, run: Execution) -> None:
        why = run.message or self._why
        self._why = None
        told = {"surefoot.run.count": run.run_count}
        self._span.add_event("retry", told if why is None else {**told, "surefoot.retry.reason": why})

    def _end(self, run: Execution, kind: StateType) -> None:
        span = self._span
        try:
            span.set_attributes(
                {
                    "surefoot.state.type": str(kind),
                    "surefoot.state.name": run.state_name,
                    "surefoot.run.count": run.run_count,
                }
            )
            if kind in _BAD:
                span.set_status(self._api.Status(self._api.StatusCode.ERROR, run.message))
                if isinstance(run.data, BaseException):
                    span.record_exception(run.data)
        finally:
            span.end()


def _attributes(run: Execution) -> dict[str, Any]:
    flow = run.flow
    found: dict[str, Any] = {"surefoot.run.id": str(to_uuid(run.run_id)), "surefoot.run.name": run.run_name}
    if run.is_task:
        found["surefoot.task"] = run.definition.name
    if flow is not None:
        found["surefoot.flow"] = flow.definition.name
        found["surefoot.flow_run.id"] = str(to_uuid(flow.run_id))
    if run.tags:
        found["surefoot.tags"] = tuple(sorted(run.tags))
    return found


# -- from process to process


def carried(run: Execution) -> dict[str, str] | None:
    """The span of a run and its baggage as W3C headers, for the process that it is called in; None without a span."""
    if run.span is None:
        return None
    headers: dict[str, str] = {}
    try:
        for propagator in _propagators():
            run.context.copy().run(propagator.inject, headers)
    except Exception as error:
        telling.spans_failed(run, error)
    return headers or None


def adopt(run: Execution, headers: dict[str, str]) -> None:
    """Have spans that are made in this context be children of the span that was carried here."""
    try:
        from opentelemetry.context import Context, attach

        context = Context()
        for propagator in _propagators():
            context = propagator.extract(headers, context)
        attach(context)
    except Exception as error:  # the library cannot be imported here
        telling.spans_failed(run, error)


def _propagators() -> tuple[Any, Any]:
    """Those of the standard, whatever the program has set for its talk with others: this is between us."""
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator(), W3CBaggagePropagator()


def flush(run: Execution) -> None:
    """The process is about to end without a word to Python's exit handlers: have what waits for export exported."""
    if run.span is None:
        return
    try:
        sys.modules[LIBRARY].get_tracer_provider().force_flush(FLUSH_MS)  # the API has no such method, the SDK has
    except Exception as error:
        telling.spans_failed(run, error)
