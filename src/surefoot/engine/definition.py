"""What a decorated function is, flow or task alike: its name, shape, rules, hooks, and how it is bound to an instance.

May import: core, importable, lifecycle, scope.
"""

from __future__ import annotations

import os
import sys
from _random import Random
from collections.abc import Callable, Iterable, Mapping
from copyreg import __newobj__  # type: ignore[attr-defined]  # what pickle itself rebuilds objects by
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, SupportsIndex, TypeVar

from surefoot.core.cards import card
from surefoot.core.delays import DelaySpec, delays_of
from surefoot.core.errors import BadInput, ParameterBindError, ReservedArgumentError, TemplateError
from surefoot.core.names import check_name, fill_template
from surefoot.core.triggers import DEFAULT, check_trigger_name
from surefoot.engine.importable import import_named, is_module_importable, standing_at
from surefoot.engine.keys import carrier_of, identity_of, source_hash
from surefoot.engine.lifecycle import Rules
from surefoot.engine.scope import check_tags

if TYPE_CHECKING:
    import inspect

    from surefoot.core.settings import Settings
    from surefoot.engine.caching import Caching
    from surefoot.engine.materializing import Recipe
    from surefoot.engine.verdicts import Trigger
    from surefoot.results.asking import Asked

__all__ = ["Definition", "Hooks", "RunName", "check_trigger"]

RunName = str | Callable[..., str] | None
Hooks = Iterable[Callable[..., Any]] | None

# Bits of `co_flags` (documented in `inspect`, which is too slow to import for four numbers).
_VARARGS: Final = 0x04
_VARKEYWORDS: Final = 0x08
_GENERATOR: Final = 0x20
_COROUTINE: Final = 0x80
_ASYNC_GENERATOR: Final = 0x200

_NO_DEPLOYMENTS: Final = (
    "deployments are not in this version. Start it with `surefoot run FILE:FLOW`, from cron if you like"
)
_NO_BACKGROUND: Final = "background tasks are not in this version. Call it, or submit it within a flow"
# Methods that users know from elsewhere, and why there is none here.
_NOT_HERE: Final = {
    ("Flow", "serve"): _NO_DEPLOYMENTS,
    ("Flow", "deploy"): _NO_DEPLOYMENTS,
    ("Flow", "to_deployment"): _NO_DEPLOYMENTS,
    ("Flow", "from_source"): _NO_DEPLOYMENTS,
    ("Task", "delay"): _NO_BACKGROUND,
    ("Task", "apply_async"): _NO_BACKGROUND,
    ("Task", "serve"): _NO_BACKGROUND,
}
_RESERVED: Final = ("return_state", "wait_for")
_draw: Final = Random(int.from_bytes(os.urandom(8), "big")).random  # for jitter: apart from the user's own `random`

D = TypeVar("D", bound="Definition")


class Definition:
    """A decorated function. `Flow` and `Task` are its two kinds."""

    kind: ClassVar[str] = "Flow"
    hook_kinds: ClassVar[tuple[str, ...]] = ()

    name: str
    fn: Callable[..., Any]
    asks: Asked  # how its results are to be stored
    cache_result_in_memory = True
    trigger: Trigger = DEFAULT
    caching: Caching | None = None  # what it asks of a cache
    isolation: str | None = None  # "process": it is called in one of its own
    memory_bytes: int | None = None  # how much that may hold
    recipe: Recipe | None = None  # what it has to do with assets
    _options: dict[str, Any]  # what it was made with: `with_options` makes another with these and others

    if not TYPE_CHECKING:  # to a checker nothing is there that is not written down

        def __getattr__(self, name: str) -> Any:
            why = _NOT_HERE.get((self.kind, name))
            told = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(told if why is None else f"{told}: {why}.", name=name, obj=self)

    def __new__(cls, *_: Any, **options: Any) -> Self:
        self = super().__new__(cls)
        options.pop("fn", None)
        self._options = options
        return self

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None,
        version: str | None,
        description: str | None,
        run_name: RunName,
        tags: Iterable[str] | None,
        retries: int | None,
        retry_delay_seconds: DelaySpec,
        retry_jitter_factor: float | None,
        retry_condition_fn: Callable[..., Any] | None,
        timeout_seconds: float | None,
        log_prints: bool | None,
        hooks: Mapping[str, Hooks],
    ) -> None:
        kind = self.kind
        self._binding = "instance"
        if isinstance(fn, (classmethod, staticmethod)):
            self._binding = "class" if isinstance(fn, classmethod) else "static"
            fn = fn.__func__
        if isinstance(fn, Definition):
            raise BadInputType(
                f"@{kind.lower()} got {fn!r}, which is decorated already.", do=f"Decorate {fn.name}.fn, or a function."
            )
        if not callable(fn):
            do = f"Write @{kind.lower()}(name={fn!r})." if isinstance(fn, str) else "Decorate a function."
            raise BadInputType(f"@{kind.lower()} got {fn!r}, which cannot be called.", do=do)
        self.fn = fn
        self.body: Callable[..., Any] = fn  # what its runs call: the function, with what is to follow on each call
        self._bound: tuple[Any, ...] = ()
        self._read_shape(fn)
        self.name = check_name(self._default_name() if name is None else name, kind)
        self.version = _check_text(version, "version", kind)
        self.description = _check_text(description, "description", kind) or _docstring(fn)
        self.tags = frozenset() if tags is None else check_tags(tags, f"tags of a {kind.lower()}")
        if "tags" in self._options:
            self._options["tags"] = self.tags  # what came may be exhausted now
        self.retries = _check_retries(retries, kind)
        self.retry_delay_seconds = retry_delay_seconds
        self.retry_jitter_factor = retry_jitter_factor
        self.timeout_seconds = _check_timeout(timeout_seconds, kind)
        self.log_prints = log_prints
        if retry_condition_fn is not None and not callable(retry_condition_fn):
            raise BadInputType(
                f"retry_condition_fn of {kind.lower()} {self.name!r} is {retry_condition_fn!r}, not a function.",
                do=f"Pass a function ({kind.lower()}, {kind.lower()}_run, state) -> bool.",
            )
        self.retry_condition_fn = retry_condition_fn
        delays_of(retry_delay_seconds, self.retries or 0, retry_jitter_factor)  # refused here, not at the first failure
        self.hooks: dict[str, list[Callable[..., Any]]] = {
            hook: check_hooks(functions, f"on_{hook}", self) for hook, functions in hooks.items()
        }
        self.run_name = self._check_run_name(run_name)
        self._source: str | None = None
        self._identity: bytes | None = None
        self._carrier: Any = None  # the function, if it carries values; known with the identity
        self._rules: Rules | None = None
        self._rules_for: Settings | None = None
        self._signatures: dict[bool, inspect.Signature] = {}  # shared by all that are bound to instances
        for attribute in ("__module__", "__qualname__", "__doc__", "__name__"):
            if hasattr(fn, attribute):
                setattr(self, attribute, getattr(fn, attribute))
        self.__wrapped__ = fn

    # -- in other processes

    def is_importable(self) -> bool:
        """Whether other processes find it under its name."""
        module, qualname = getattr(self, "__module__", None), getattr(self, "__qualname__", None)
        if self._bound or not module or not qualname or not is_module_importable(module):
            return False
        found = standing_at(module, qualname)
        # Not one that `with_options` made of it: that has another dict of options.
        return isinstance(found, Definition) and found.fn is self.fn and found._options is self._options

    def __copy__(self: D) -> D:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        if self.is_importable():
            return import_named, (self.__module__, getattr(self, "__qualname__"))  # noqa: B009  # not every callable has one
        made_anew: dict[str, Any] = {"_rules": None, "_rules_for": None, "_signatures": {}}
        return __newobj__, (type(self),), {**self.__dict__, **made_anew}

    @classmethod
    def decorate(cls, fn: Any, options: dict[str, Any]) -> Any:
        """What the decorator gives: for `@flow` the flow, for `@flow(...)` what makes a function one."""
        cls._check_options(options, f"@{cls.kind.lower()}")
        make: Callable[[Any], Any] = lambda function: cls(function, **options)  # noqa: E731
        return make if fn is None else make(fn)

    @classmethod
    def _known_options(cls) -> Mapping[str, Any]:
        return cls.__init__.__kwdefaults__ or {}

    @classmethod
    def _check_options(cls, options: Iterable[str], whose: str) -> None:
        known = cls._known_options()
        for name in options:
            if name not in known:
                from difflib import get_close_matches  # a door: only a mistake pays for it

                near = get_close_matches(name, known, n=1)
                do = f"Did you mean {near[0]}?" if near else f"Its options are {', '.join(known)}."
                raise BadInputType(f"{whose} has no option {name!r}.", do=do)

    def with_options(self, **options: Any) -> Self:
        """A copy with other options; this one stays as it is.

        What is passed counts, also an empty list, 0, "" or None; what is not passed is kept, hooks that were added with
        decorators included. None is the option's default, as in the decorator. Raises what the decorator raises.

        >>> from surefoot import task
        >>> @task(retries=3, tags=["slow"])
        ... def load(path: str) -> None: ...
        >>> eager = load.with_options(retries=0, tags=[])
        >>> eager.retries, eager.tags, load.retries
        (0, frozenset(), 3)
        """
        kind = self.kind.lower()
        self._check_options(options, f"{kind} {self.name!r}")
        new = type(self)(self.fn, **{**self._options, **options})
        for hook, functions in self.hooks.items():
            if f"on_{hook}" not in options:
                new.hooks[hook] = list(functions)
        new._binding, new._bound = self._binding, self._bound
        return new

    # -- the function's shape

    def _read_shape(self, fn: Callable[..., Any]) -> None:
        """Parameter names and flags, straight from the code object where there is one."""
        inner: Any = fn
        while isinstance(inner, partial):
            inner = inner.func
        if not isinstance(inner, FunctionType):
            inner = getattr(inner, "__func__", None) or type(inner).__call__
        code = getattr(inner, "__code__", None)
        flags = code.co_flags if code is not None else 0
        self.isgenerator = bool(flags & (_GENERATOR | _ASYNC_GENERATOR))
        self.isasync = bool(flags & (_COROUTINE | _ASYNC_GENERATOR))
        self._arity: tuple[int, int] | None = None  # positional arguments that a call surely may have
        if isinstance(fn, FunctionType) and not hasattr(fn, "__wrapped__"):
            code = fn.__code__
            count, rest = code.co_argcount, bool(flags & _VARARGS)
            self.open_ended = bool(flags & _VARKEYWORDS)
            self.parameter_names: tuple[str, ...] = code.co_varnames[
                : count + code.co_kwonlyargcount + rest + self.open_ended
            ]
            self._positional: tuple[str, ...] = self.parameter_names[:count]
            self._rest = self.parameter_names[count + code.co_kwonlyargcount] if rest else None
            if not (rest or self.open_ended or code.co_kwonlyargcount):
                self._arity = (count - len(fn.__defaults__ or ()), count)
        else:
            parameters = self.signature_of(fn).parameters.values()
            self.parameter_names = tuple([it.name for it in parameters])
            self.open_ended = any(it.kind is it.VAR_KEYWORD for it in parameters)
            self._positional = tuple([it.name for it in parameters if it.kind <= it.POSITIONAL_OR_KEYWORD])
            self._rest = next((it.name for it in parameters if it.kind is it.VAR_POSITIONAL), None)
        taken = [name for name in _RESERVED if name in self.parameter_names]
        if taken:
            raise ReservedArgumentError(
                f"{self.kind} function {getattr(fn, '__name__', fn)!r} has a parameter {taken[0]!r}, which calls of "
                f"{self.kind.lower()}s need themselves.",
                do="Rename the parameter.",
            )

    def name_at(self, position: int) -> str:
        """The name of the parameter that the argument at that position of a call goes to."""
        position += len(self._bound)
        names = self._positional
        return names[position] if position < len(names) else self._rest or f"args[{position}]"

    @staticmethod
    def signature_of(fn: Callable[..., Any]) -> inspect.Signature:
        """The signature of a callable. A wrapper with parameters of its own is called by those, not by what it wraps.

        Raises TypeError for a builtin whose signature is not known.
        """
        import inspect

        code = getattr(fn, "__code__", None)
        own = code is not None and not code.co_flags & (_VARARGS | _VARKEYWORDS)
        try:
            if sys.version_info >= (3, 14):  # there annotations are evaluated late, some only by the type checker
                from annotationlib import Format

                return inspect.signature(fn, follow_wrapped=not own, annotation_format=Format.FORWARDREF)
            return inspect.signature(fn, follow_wrapped=not own)
        except (ValueError, TypeError) as error:
            raise BadInputType(f"{fn!r} has no signature: {error}.", do="Wrap it in a function.") from error

    @property
    def signature(self) -> inspect.Signature:
        """The function's signature, without what is bound to an instance or class."""
        bound = bool(self._bound)
        found = self._signatures.get(bound)
        if found is None:
            found = self.signature_of(self.fn)
            if bound:
                found = found.replace(parameters=list(found.parameters.values())[1:])
            self._signatures[bound] = found
        return found

    def _default_name(self) -> str:
        fn: Any = self.fn
        while isinstance(fn, partial):
            fn = fn.func
        name = str(getattr(fn, "__name__", None) or type(fn).__name__)
        return "unknown-lambda" if name == "<lambda>" else name

    # -- arguments

    def fits(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a call surely fits the signature, by a count. False means: look closer (`bind`)."""
        arity = self._arity
        return not kwargs and arity is not None and arity[0] <= len(args) + len(self._bound) <= arity[1]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, defaults: bool = True) -> dict[str, Any]:
        """Parameter names and values of a call. Raises ParameterBindError that says what is missing or too much."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterBindError(
                f"{self.kind} {self.name!r} cannot be called like that: {error}.",
                do=f"Its signature is {self.name}{self.signature}.",
            ) from None
        if defaults:
            bound.apply_defaults()
        return bound.arguments

    def bind_named(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a call, given by their names as they are recorded (`args` as a tuple, `kwargs` as a dict).

        Raises ParameterBindError that says which are missing or unknown.
        """
        signature = self.signature
        known = signature.parameters
        variadic = {it.name for it in known.values() if it.kind in (it.VAR_POSITIONAL, it.VAR_KEYWORD)}
        needed = [it.name for it in known.values() if it.default is it.empty and it.name not in variadic]
        wrong = [f"{name!r} is missing" for name in needed if name not in parameters]
        wrong += [f"{name!r} is unknown" for name in parameters if name not in known]
        if wrong:
            raise ParameterBindError(
                f"{self.kind} {self.name!r} cannot be called with these parameters: {', '.join(wrong)}.",
                do=f"Its signature is {self.name}{signature}.",
            )
        from inspect import BoundArguments

        bound = BoundArguments(signature, {name: parameters[name] for name in known if name in parameters})
        bound.apply_defaults()
        return dict(bound.arguments)

    @property
    def is_of_instance(self) -> bool:
        """Whether it is a method of an object, and so nobody else's to call."""
        return bool(self._bound) and self._binding == "instance"

    # -- what its runs are found by

    @property
    def source(self) -> str:
        """A hash of the function's own code."""
        if self._source is None:
            self._source = source_hash(self.fn)
        return self._source

    @property
    def identity(self) -> bytes:
        """What its runs are told from those of other tasks and flows by, in any process."""
        if self._identity is None:
            self._carrier = carrier_of(self.fn)
            self._identity = identity_of(self)
        return self._identity

    # -- rules and hooks

    def rules(self, settings: Settings) -> Rules:
        """What a run's life has to obey, with defaults from the settings in force."""
        if self._rules is not None and self._rules_for is settings:
            return self._rules
        retries, delay = self.retries, self.retry_delay_seconds
        group = f"{self.kind.lower()}s"
        if retries is None:
            retries = settings.get(f"{group}.default_retries")
        if delay is None:
            delay = settings.get(f"{group}.default_retry_delay_seconds")
        self._rules = Rules(
            retries=retries,
            delays=delays_of(delay, retries, self.retry_jitter_factor),
            draw=_draw,
            timeout_s=self.timeout_seconds,
            hooks=frozenset(kind for kind, functions in self.hooks.items() if functions),
            conditional=self.retry_condition_fn is not None,
            is_apart=self.isolation is not None,
            memory_bytes=self.memory_bytes,
        )
        self._rules_for = settings
        return self._rules

    def _add_hook(self, kind: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        self.hooks[kind] = [*self.hooks.get(kind, ()), *check_hooks([fn], f"on_{kind}", self)]
        self._rules = None
        return fn

    # -- the run's name

    def _check_run_name(self, run_name: RunName) -> RunName:
        if run_name is None or callable(run_name):
            return run_name
        argument = f"{self.kind.lower()}_run_name"
        if not isinstance(run_name, str):
            raise BadInputType(
                f"{argument} of {self.kind.lower()} {self.name!r} is {run_name!r}.",
                do='Pass a template, "load-{day}", or a function that returns the name.',
            )
        import string

        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(run_name) if field is not None]
        except ValueError as error:
            raise TemplateError(
                f"{argument} {run_name!r} is no template: {error}.", do="Write {{ for a brace."
            ) from None
        for field in fields:
            name = field.partition(".")[0].partition("[")[0]
            if name not in self.parameter_names and not self.open_ended:
                there = ", ".join(f"{{{name}}}" for name in self.parameter_names) or "none: it has no parameters"
                raise TemplateError(
                    f"{argument} {run_name!r} of {self.kind.lower()} {self.name!r} names {{{field}}}, no parameter.",
                    do=f"Use the parameters that it has: {there}.",
                )
        return run_name

    def run_name_for(self, parameters: Mapping[str, Any]) -> str:
        """The name of a run with these parameters. Only for a definition that has a `run_name`."""
        if isinstance(self.run_name, str):
            return fill_template(self.run_name, parameters, f"{self.kind.lower()} {self.name!r}")
        assert callable(self.run_name)
        takes = self.signature_of(self.run_name).parameters
        name = self.run_name(parameters=dict(parameters)) if "parameters" in takes else self.run_name()
        if not isinstance(name, str):
            raise BadInputType(
                f"{self.kind.lower()}_run_name of {self.name!r} returned {name!r}, which is not a string.",
                do="Return a text.",
            )
        return name

    # -- methods

    def __get__(self: D, instance: Any, owner: type | None = None) -> D:
        if self._binding == "static" or (instance is None and self._binding != "class"):
            return self
        import copy  # a door: most flows and tasks are no methods

        bound = copy.copy(self)
        # A copy for each binding: two instances used at once from two threads never see each other.
        bound._bound = (owner if self._binding == "class" else instance,)
        return bound

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"

    def _repr_html_(self) -> str:
        facts = {
            "About": self.description,
            "Parameters": ", ".join(self.parameter_names),
            "Tags": ", ".join(sorted(self.tags)),
        }
        return card(f"{self.kind} {self.name}", facts=facts)


class BadInputType(BadInput, TypeError):
    """An argument of a decorator has the wrong type."""


class BadInputValue(BadInput, ValueError):
    """An argument of a decorator is out of range."""


def check_hooks(functions: Hooks, argument: str, owner: Definition) -> list[Callable[..., Any]]:
    """The hooks as a list. Raises TypeError, with how to pass them, for anything else."""
    if functions is None:
        return []
    what = f"{argument} of {owner.kind.lower()} {owner.name!r}"
    do = f"Pass a list of functions: {argument}=[my_hook]."
    if isinstance(functions, (str, bytes)) or not isinstance(functions, Iterable):
        raise BadInputType(f"{what} is {functions!r}.", do=do)
    listed = list(functions)
    for function in listed:
        if not callable(function):
            raise BadInputType(f"{what} contains {function!r}, which cannot be called.", do=do)
    return listed


def check_trigger(trigger: Trigger, owner: Definition) -> Trigger:
    """A trigger: the name of a rule, or a function. Raises TypeError and ValueError for anything else."""
    what = f"{owner.kind.lower()} {owner.name!r}"
    if isinstance(trigger, str):
        return check_trigger_name(trigger, what)
    if not callable(trigger):
        raise BadInputType(
            f"trigger of {what} is {trigger!r}.", do='Pass a rule, "all_done", or a function of the upstream states.'
        )
    return trigger


def _check_retries(retries: int | None, kind: str) -> int | None:
    if retries is not None and (not isinstance(retries, int) or isinstance(retries, bool)):
        raise BadInputType(
            f"retries of a {kind.lower()} is {retries!r}.", do="Pass a whole number, for example retries=3."
        )
    return retries


def _check_timeout(seconds: float | None, kind: str) -> float | None:
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise BadInputType(f"timeout_seconds of a {kind.lower()} is {seconds!r}.", do="Pass a number of seconds.")
    if seconds < 0 or seconds != seconds:
        raise BadInputValue(f"timeout_seconds of a {kind.lower()} is {seconds!r}.", do="Pass a number above 0.")
    return None if seconds in (0, float("inf")) else float(seconds)


def _check_text(value: str | None, argument: str, kind: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadInputType(f"{argument} of a {kind.lower()} is {value!r}.", do=f"Pass a text: {str(value)!r}.")
    return value


def _docstring(fn: Callable[..., Any]) -> str | None:
    """A docstring as it reads, without the indentation of the code around it."""
    text = getattr(fn, "__doc__", None)
    if not isinstance(text, str) or not text.strip():
        return None
    first, *rest = text.expandtabs().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.strip(), *(line[margin:].rstrip() for line in rest)]).strip()
