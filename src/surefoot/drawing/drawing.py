"""A drawing: what `flow.visualize()` gives; a notebook shows it, a file keeps it.

May import: core, mermaid, sketch, svg.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from surefoot.core.errors import BadInput
from surefoot.drawing.mermaid import mermaid_of
from surefoot.drawing.sketch import Sketch
from surefoot.drawing.svg import svg_of

if TYPE_CHECKING:
    from surefoot.engine.definition import Definition

__all__ = ["Drawing", "draw", "draw_async"]


class Drawing:
    """A flow as a picture: `svg` and `mermaid` are texts, `save("etl.svg")` writes a file, `show()` opens a browser.

    As the last value of a notebook's cell it is shown.
    """

    def __init__(self, sketch: Sketch) -> None:
        self.name = sketch.flow.name
        self.sketch = sketch

    @property
    def svg(self) -> str:
        """The picture as SVG."""
        return svg_of(self.sketch)

    @property
    def mermaid(self) -> str:
        """The graph as mermaid text: "flowchart TD" ..."""
        return mermaid_of(self.sketch)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write it to a file, SVG or mermaid (`.mmd`) by the name's end. Gives the whole path."""
        name = os.path.abspath(os.path.expanduser(os.fspath(path)))
        end = os.path.splitext(name)[1].lower()
        texts = {".svg": svg_of, ".mmd": mermaid_of, ".mermaid": mermaid_of}
        if end not in texts:
            raise BadInput(f"A drawing cannot be saved as {path!r}.", do='End its name in ".svg" or ".mmd".')
        with open(name, "w", encoding="utf-8", newline="\n") as file:
            file.write(texts[end](self.sketch))
        return name

    def show(self) -> str:
        """Write it to a file among the temporary ones and open that in a browser, if there is one. Gives the path."""
        import tempfile
        import webbrowser
        from pathlib import Path

        safe = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in self.name)[:60]
        path = self.save(os.path.join(tempfile.mkdtemp(prefix="surefoot-"), f"{safe}.svg"))
        try:
            browser = webbrowser.get()
        except webbrowser.Error:
            return path
        # A browser of text in the terminal would take it over, and shows no picture.
        if type(browser) is not webbrowser.GenericBrowser:
            browser.open(Path(path).as_uri())
        return path

    def shown_in_a_terminal(self) -> Drawing:
        """Open it, if somebody looks at this terminal who would not see it otherwise; give it either way."""
        if sys.stdout is not None and sys.stdout.isatty():
            sys.stderr.write(f"{self.name} is drawn in {self.show()}\n")
        return self

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Drawing of {self.name!r}: {len(self.sketch.nodes)} nodes, {len(self.sketch.edges)} edges>"


def draw(flow: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Drawing:
    """The drawing of a flow that is called like this."""
    sketch = Sketch(flow)
    value = sketch.begin(args, kwargs)
    if flow.isasync:
        _run(sketch, value)
    return Drawing(sketch.check())


async def draw_async(flow: Definition, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Drawing:
    """The same, in the event loop that runs here."""
    sketch = Sketch(flow)
    value = sketch.begin(args, kwargs)
    if flow.isasync:
        await sketch.finish(value)
    return Drawing(sketch.check())


def _run(sketch: Sketch, value: Any) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(sketch.finish(value))
        return
    # A loop runs here and cannot wait for itself (a notebook's): the body gets a loop of its own, in a thread.
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1) as thread:
        thread.submit(copy_context().run, asyncio.run, sketch.finish(value)).result()
