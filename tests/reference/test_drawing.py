"""Rows 1.88, 1.89 and 2.24 of the reference: flows drawn before they run."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from surefoot import Skip, allow_failure, flow, get_run_logger, quote, tags, task, unmapped
from surefoot.drawing import Drawing
from surefoot.exceptions import BadInput, ParameterBindError, ParameterTypeError, VisualizationError
from surefoot.futures import as_completed, wait
from surefoot.states import State
from tests.reference.rows import at, row

ran: list[str] = []


@task(tags=["net"])
def extract(day: str = "monday") -> Any:
    """Get what is new."""
    ran.append("extract")


@task
def clean(rows: Any, *more: Any) -> Any:
    ran.append("clean")


@task
def load(rows: Any, table: Any = None) -> Any:
    ran.append("load")


@task(viz_return_value=[1, 2, 3])
def pages() -> list[int]:
    ran.append("pages")
    return []


@task
async def fetch(page: Any) -> Any:
    ran.append("fetch")


@task
def numbers() -> Iterator[int]:
    ran.append("numbers")
    yield 1


@task
async def later_numbers() -> AsyncIterator[int]:
    ran.append("later_numbers")
    yield 1


@flow
def publish(report: Any) -> Any:
    ran.append("publish")


@pytest.fixture(autouse=True)
def nothing_runs_and_nothing_is_recorded(home: Path) -> Iterator[None]:
    ran.clear()
    yield
    assert ran == []
    assert not home.exists()


def drawn(body: Any, *args: Any, **options: Any) -> set[str]:
    """The edges of a drawing, "a -> b"; nodes without any by their names alone."""
    drawing = flow(name="main", **options)(body).visualize(*args)
    sketch = drawing.sketch
    tied = {place for edge in sketch.edges for place in (edge.start, edge.end)}
    arrows = {True: "->", False: "~>"}
    labels = [plain(node.label) for node in sketch.nodes]
    found = [f"{labels[edge.start]} {arrows[edge.is_data]} {labels[edge.end]}" for edge in sketch.edges]
    return {*found, *(label for place, label in enumerate(labels) if place not in tied)}


def plain(text: str) -> str:
    """With a letter for the sign of multiplication, so that it can be typed."""
    return text.replace("\N{MULTIPLICATION SIGN}", "x")


def called() -> None:
    load(clean(extract()))


def submitted() -> None:
    load.submit(clean.submit(extract.submit()).result())


def mapped() -> None:
    load.map(clean.map(pages()), table=unmapped("t")).wait()


def mapped_over_what_is_not_known() -> None:
    load.map(clean.map(extract.submit()), table=[1, 2])


def mapped_over_a_list_with_a_value() -> None:
    load.map([1, 2], table=extract())


def with_flows() -> None:
    publish(extract())


def with_submitted_flows() -> None:
    report = publish.submit(extract.submit())
    load.submit(report.result())
    publish.map([1, 2, 3])


def waiting() -> None:
    first = extract.submit()
    load.submit(1, wait_for=[first])
    clean([first], wait_for=[first])


def marks() -> None:
    rows = extract.submit()
    load(allow_failure(rows), quote([clean(1)]))


@dataclass
class Box:
    inner: Any


def containers() -> None:
    load([{"a": (extract(),)}], Box(clean(1)))


def derived() -> None:
    rows = extract()
    rows["new"] = clean(2)
    load(rows["id"].strip() + 1 < 3)


def unpacked() -> None:
    good, bad = extract()
    load(good)
    clean(bad)


def futures() -> None:
    first, second = extract.submit(), clean.submit(1)
    wait([first, second])
    for future in as_completed([first]):
        load(future.result())
    assert first.state.is_completed()
    assert isinstance(clean(1, return_state=True), State)


def states() -> None:
    load(extract(return_state=True))
    load(clean.submit(1, return_state=True).result())


def stand_in_values() -> None:
    for page in pages():
        assert isinstance(page, int)
    load(pages())


def generators() -> None:
    for number in numbers():
        load(number)


def loops() -> None:
    for day in range(10):
        load.submit(day)


def logs() -> None:
    get_run_logger().info("%s", extract())


@pytest.mark.parametrize(
    ("body", "edges"),
    [
        at("1.88", called, {"extract -> clean", "clean -> load"}),
        at("1.88", submitted, {"extract -> clean", "clean -> load"}),
        at("1.88", mapped, {"pages -> clean x 3", "clean x 3 -> load x 3"}),
        at("1.88", mapped_over_what_is_not_known, {"extract -> clean x each", "clean x each -> load x 2"}),
        at("1.88", mapped_over_a_list_with_a_value, {"extract -> load x 2"}),
        at("1.88", with_flows, {"extract -> publish"}),
        at("1.48", with_submitted_flows, {"extract -> publish", "publish -> load", "publish x 3"}),
        at("1.88", waiting, {"extract ~> load", "extract -> clean"}),
        at("1.88", marks, {"extract -> load", "clean"}),
        at("1.88", containers, {"extract -> load", "clean -> load"}),
        at("1.88", derived, {"extract -> load", "clean -> load"}),
        at("1.88", unpacked, {"extract -> load", "extract -> clean"}),
        at("1.88", futures, {"extract -> load", "clean"}),
        at("1.88", states, {"extract -> load", "clean -> load"}),
        at("1.88", generators, {"numbers -> load"}),
        at("1.88", loops, {"load x 10"}),
        at("1.88", logs, {"extract"}),
        at("2.24", stand_in_values, {"pages -> load", "pages"}),
    ],
)
def test_what_is_drawn(body: Any, edges: set[str]) -> None:
    assert drawn(body) == edges


@row("1.88")
def test_asynchronous_flows_are_drawn_with_and_without_a_loop(row: str) -> None:
    async def body() -> None:
        first = await fetch(1)
        both = await asyncio.gather(fetch(first), fetch(first))
        load(both)
        async for number in later_numbers():
            await clean.submit(number)

    edges = {"fetch -> fetch", "fetch -> load", "later_numbers -> clean"}
    assert drawn(body) == edges
    main = flow(name="main")(body)

    async def in_a_loop() -> tuple[Drawing, Drawing]:
        return main.visualize(), await main.avisualize()

    for drawing in asyncio.run(in_a_loop()):
        assert len(drawing.sketch.nodes) == 6

    async def stream() -> AsyncIterator[Any]:
        yield await fetch(1)

    assert drawn(stream) == {"fetch"}
    assert asyncio.run(flow(called).avisualize()).mermaid.startswith("flowchart TD")


@row("1.88")
def test_methods_parameters_and_tags(row: str) -> None:
    class Job:
        table = "eu"

        @task
        def step(self, rows: Any) -> Any:
            ran.append("step")

        @flow
        def run(self, day: int) -> None:
            assert (self.table, day) == ("eu", 3)
            with tags("eu"):
                self.step(extract())

    sketch = Job().run.visualize("3").sketch
    assert [(node.name, sorted(node.tags)) for node in sketch.nodes] == [("extract", ["eu", "net"]), ("step", ["eu"])]
    with pytest.raises(ParameterBindError, match="missing a required argument: 'day'"):
        Job().run.visualize()
    with pytest.raises(ParameterTypeError, match="day='x'"):
        Job().run.visualize("x")
    with pytest.raises(ParameterBindError, match="too many positional"):
        drawn(lambda: numbers(1))  # type: ignore[call-overload]


@row("1.88")
def test_run_names_that_can_be_told(row: str) -> None:
    named: Any = load.with_options(task_run_name="load-{table}")
    assert drawn(lambda: named(1, "eu")) == {"load-eu"}
    assert drawn(lambda: named(extract(), "eu")) == {"extract -> load"}


@pytest.mark.parametrize(
    ("use", "says"),
    [
        at("1.88", lambda it: 1 if it else 2, "decides by it"),
        at("1.88", lambda it: not it, "decides by it"),
        at("1.88", lambda it: [x for x in it], "goes through it"),  # noqa: C416
        at("1.88", lambda it: [*it], "goes through it"),
        at("1.88", len, "asks for its length"),
        at("1.88", lambda it: 3 in it, "looks for something in it"),
        at("1.88", int, "makes a number of it"),
        at("1.88", range, "counts with it"),
        at("1.88", open, "or opens it"),
        at("1.88", os.fspath, "takes it for a path"),
        at("1.88", lambda it: it["rows"].count() > 3 and 1, "decides by it"),
        at("2.24", lambda it: dict(it), "cannot be drawn"),
    ],
)
def test_what_a_stand_in_cannot_follow_names_the_task_and_the_way_out(use: Any, says: str) -> None:
    for body in (lambda: use(extract()), lambda: use(extract.submit().result())):
        with pytest.raises(VisualizationError, match=says) as caught:
            drawn(body)
        assert "extract" in str(caught.value)
        assert "viz_return_value" in caught.value.do
        assert isinstance(caught.value, BadInput)


@row("1.88")
def test_a_refusal_is_told_even_if_the_body_catches_it_and_so_is_what_the_body_raises(row: str) -> None:
    def catches() -> None:
        try:
            load(len(extract()))
        except Exception:
            clean(1)

    with pytest.raises(VisualizationError, match="task 'extract' gives, since it asks for its length"):
        drawn(catches)

    def raises() -> None:
        load(extract())
        raise KeyError("day")

    with pytest.raises(VisualizationError, match="its body raised KeyError: 'day'") as caught:
        drawn(raises)
    assert "Tasks that have none: extract, load" in caught.value.do
    assert isinstance(caught.value.__cause__, KeyError)


EMPTY_AND_FULL: list[Any] = [at("2.24", None), *(at("2.24", it) for it in [0, "", [], "text", (1, 2), {"a": 1}, 3.5])]


@pytest.mark.parametrize("value", EMPTY_AND_FULL)
def test_a_value_to_draw_with_is_given_whatever_it_is(value: Any) -> None:
    got: list[Any] = []
    one: Any = load.with_options(viz_return_value=value)
    drawn(lambda: got.extend([one(1), one.submit(1).result()]))
    assert got == [value, value]
    assert one.viz_return_value == value


@row("2.24")
def test_a_value_to_draw_with_is_known_again_and_equal_ones_are_told_apart(row: str) -> None:
    first: Any = load.with_options(name="first", viz_return_value="rows.csv")
    second: Any = load.with_options(name="second", viz_return_value="rows.csv")
    assert drawn(lambda: [clean(first(1)), clean(second(1))]) == {"first -> clean", "second -> clean"}
    assert drawn(lambda: [first(1), clean("rows.csv")]) == {"first", "clean"}


@row("1.88")
def test_more_runs_than_a_picture_can_show_are_refused(row: str) -> None:
    with pytest.raises(VisualizationError, match="more than 1,000 runs") as caught:
        drawn(lambda: [load(clean(n)) for n in range(600)])
    assert "smaller parameters" in caught.value.do


@row("1.88")
def test_the_picture_is_well_formed_and_says_all(row: str, tmp_path: Path) -> None:
    odd: Any = load.with_options(name="a 'b' \"c\" #1")

    @flow(name="Größe 日本")
    def main() -> None:
        with tags("a<b"):
            publish(odd.map([1, 2], table=extract()))
        load(1, wait_for=[extract()])

    drawing = main.visualize()
    assert repr(drawing) == "<Drawing of 'Größe 日本': 5 nodes, 3 edges>"
    root = ElementTree.fromstring(drawing.svg)
    texts = [plain(text.strip()) for text in root.itertext() if text.strip()]
    assert {"Größe 日本", "extract", "a 'b' \"c\" #1 x 2", "a<b", "a<b, net"} <= set(texts)
    assert "Task extract · Get what is new. · tags: net" in texts
    assert "waits" in drawing.svg
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script", drawing.svg)
    assert drawing._repr_svg_() == drawing.svg
    path = drawing.save(tmp_path / "main.svg")
    assert Path(path).read_text(encoding="utf-8") == drawing.svg
    with pytest.raises(BadInput, match="cannot be saved"):
        drawing.save(tmp_path / "main.png")
    assert "It calls no task and no flow." in flow(name="main")(lambda: None).visualize().svg


@row("1.89")
def test_the_graph_as_mermaid_text(row: str, tmp_path: Path) -> None:
    @flow
    def main() -> None:
        rows = extract.submit()
        load(1, wait_for=[rows])
        publish(clean.map(rows))

    text = main.generate_mermaid_graph()
    assert plain(text) == (
        "flowchart TD\n"
        '    n0["extract<br/><small>net</small>"]\n'
        '    n1["load"]\n'
        '    n2["clean x each"]\n'
        '    n3[["publish"]]\n'
        "    n0 -. waits .-> n1\n"
        "    n0 --> n2\n"
        "    n2 --> n3\n"
    )
    assert main.visualize().mermaid == text
    assert Path(main.visualize().save(tmp_path / "main.mmd")).read_text(encoding="utf-8") == text
    odd: Any = load.with_options(name='say "hi" #1')
    assert '"say #quot;hi#quot; #35;1"' in flow(lambda: odd(1)).generate_mermaid_graph()
    with pytest.raises(VisualizationError):
        flow(lambda: len(extract())).generate_mermaid_graph()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Browser(webbrowser.BaseBrowser):
    opened: list[str]

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        self.opened.append(url)
        return True


@pytest.mark.parametrize("browser", [at("1.88", "a window"), at("1.88", "text"), at("1.88", "none")])
def test_in_a_terminal_the_drawing_opens_in_a_browser_that_can_show_it(
    browser: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = Browser()
    seen.opened = []

    def get() -> Any:
        if browser == "none":
            raise webbrowser.Error("no browser")
        return seen if browser == "a window" else webbrowser.GenericBrowser("lynx")

    monkeypatch.setattr(webbrowser, "get", get)
    flow(called).visualize()
    assert not list(tmp_path.rglob("*.svg")), "nobody looks at a terminal"
    monkeypatch.setattr(sys, "stdout", Terminal())
    flow(called).visualize()
    (path,) = tmp_path.rglob("called.svg")
    assert [it.startswith("file://") for it in seen.opened] == [True] * (browser == "a window")
    assert f"called is drawn in {path}" in capsys.readouterr().err


@row("1.88")
def test_a_flow_that_would_be_skipped_is_drawn_as_far_as_it_goes(row: str) -> None:
    def body() -> None:
        load(extract())
        raise Skip("nothing new")

    async def later() -> None:
        body()

    assert drawn(body) == drawn(later) == {"extract -> load"}


@row("1.88")
def test_other_threads_are_not_drawn_with(row: str) -> None:
    drawing, asked = threading.Event(), threading.Event()
    seen: list[bool] = []

    def beside() -> None:
        from surefoot.engine.sketching import sketcher

        assert drawing.wait(20)
        seen.append(sketcher() is None)
        asked.set()

    thread = threading.Thread(target=beside)
    thread.start()

    def body() -> None:
        drawing.set()
        assert asked.wait(20)
        extract()

    drawn(body)
    thread.join()
    assert seen == [True]
