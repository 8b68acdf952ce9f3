"""Variables: values by a name, for all who share the ledger, with a history of who changed what.

    from surefoot.variables import Variable

    Variable.set("page-size", 500)
    Variable.get("page-size")

They are not secret: a password belongs into the environment. May import: core, engine, locking.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import structs

from surefoot.core import ports, wire
from surefoot.core.clock import get_clock
from surefoot.core.ids import new_id, to_text
from surefoot.core.os.host import user_at_host
from surefoot.core.per_ledger import PerLedger
from surefoot.core.templates import fill_in, names_in
from surefoot.core.variables import By, checked_name, checked_tags, json_of
from surefoot.engine.interrupts import GateShut
from surefoot.engine.scope import current
from surefoot.engine.sketching import sketcher
from surefoot.locking.waiters import elsewhere

__all__ = ["Variable", "arender", "render"]

_kept: Final = PerLedger(ports.variables, lambda kept: kept.close())


class Variable(wire.Variable, frozen=True, kw_only=True):
    """A variable: `name`, `value`, `tags`, `created` and `updated`. Of its methods none needs an object.

    `set`, `get` and `unset` block, for some milliseconds, also in asynchronous code; there `aset`, `aget` and `aunset`
    let the event loop go on. Names have up to 255 of a-z, 0-9, - and _; values are what JSON can say, up to 64 KiB.

    >>> from surefoot.core.settings import temporary_settings
    >>> import tempfile
    >>> with temporary_settings({"home": tempfile.mkdtemp()}):
    ...     Variable.set("page-size", 500, tags=["api"]).value
    ...     Variable.get("page-size"), Variable.get("nothing", default=1)
    500
    (500, 1)
    """

    @classmethod
    def set(cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False) -> Variable:
        """Set a variable, and note who did.

        Args:
            name: which.
            value: None, True, False, a number, a text, a list or a dict of such.
            tags: what it is found by. Without them, one that is there keeps its own.
            overwrite: whether one that is there may be changed.

        Raises:
            AlreadyExists: a ValueError: it is there, and was not to be overwritten.
            BadInput: a ValueError: the name, the value or a tag cannot be.
        """
        json_of(checked_name(name), value)
        labels = None if tags is None else checked_tags(tags)
        if sketcher() is not None:  # a flow that is drawn changes nothing
            now = datetime.fromtimestamp(get_clock().now_us() / 1e6, UTC)
            return cls(id=to_text(new_id()), name=name, value=value, tags=labels or [], created=now, updated=now)
        with GateShut():
            made = _kept.here().set(name, value, labels, _who(), overwrite=overwrite)
        return cls(**structs.asdict(made))

    @classmethod
    def get(cls, name: str, default: Any = None) -> Any:
        """The value of a variable; `default` if there is none of that name. Raises BadInput for what can be no name."""
        name = checked_name(name)
        with GateShut():
            return _kept.here().values([name]).get(name, default)

    @classmethod
    def unset(cls, name: str) -> bool:
        """Remove a variable. False if there is none of that name. Raises BadInput for what can be no name."""
        name = checked_name(name)
        with GateShut():
            kept = _kept.here()
            return name in kept.values([name]) if sketcher() is not None else kept.unset(name, _who())

    @classmethod
    async def aset(cls, name: str, value: Any, tags: Iterable[str] | None = None, overwrite: bool = False) -> Variable:
        """The same as `set`, awaited."""
        return await elsewhere(lambda: cls.set(name, value, tags, overwrite))

    @classmethod
    async def aget(cls, name: str, default: Any = None) -> Any:
        """The same as `get`, awaited."""
        return await elsewhere(lambda: cls.get(name, default))

    @classmethod
    async def aunset(cls, name: str) -> bool:
        """The same as `unset`, awaited."""
        return await elsewhere(lambda: cls.unset(name))


def render(template: Any) -> Any:
    """A text, or a structure of lists, tuples and dicts, with values in the place of `{{ surefoot.variables.NAME }}`.

    A place that is the whole text becomes the value, of whatever type; within a text it has to be a text, a number,
    true, false or null. Of a value that is a dict, `.KEY` names a part. What is no such place stays as it is.

    Raises:
        NotFound: a variable that is named is not there. The message names the nearest that is.
        TemplateError: a ValueError: a place names no variable, or a list or dict stands within a text.

    >>> from surefoot.core.settings import temporary_settings
    >>> import tempfile
    >>> with temporary_settings({"home": tempfile.mkdtemp()}):
    ...     _ = Variable.set("shop", {"host": "db-1", "port": 5432})
    ...     render({"url": "{{ surefoot.variables.shop.host }}/x", "port": "{{ surefoot.variables.shop.port }}"})
    {'url': 'db-1/x', 'port': 5432}
    """
    names = names_in(template)
    if not names:
        return fill_in(template, {})
    with GateShut():
        kept = _kept.here()
        values = kept.values(names)
        missing = [name for name in names if name not in values]
        if missing:
            raise kept.missing(missing[0])
    return fill_in(template, values)


async def arender(template: Any) -> Any:
    """The same as `render`, awaited."""
    return await elsewhere(lambda: render(template))


def _who() -> By:
    execution = current()
    who = user_at_host()
    return By(who) if execution is None else By(who, execution.run_id, execution.run_name, execution.is_task)
