"""Every setting there is, each on one line: name, kind, default, what it changes, whether it is secret.

The dotted path (`logging.level`) follows from where a line stands, the name in the environment
(`SUREFOOT_LOGGING_LEVEL`) from the path, and the types that a checker sees from the kind. Nothing else lists settings.
May import: core.settings.elsewhere, core.settings.kinds, core.errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, overload

from surefoot.core.errors import SettingsError
from surefoot.core.settings.kinds import (
    BOOL,
    DATABASE_URL,
    DELAYS,
    EXPECT,
    LEVEL,
    NAMES,
    PATH,
    RULES,
    STORAGE,
    TARGETS,
    TEXT,
    URL,
    ZONE,
    Kind,
    choice,
    number,
    optional,
    whole,
)

if TYPE_CHECKING:
    from surefoot.core.settings.elsewhere import Elsewhere

__all__ = [
    "PREFIX",
    "TABLE",
    "Setting",
    "Settings",
    "find_setting",
    "known_elsewhere",
    "masked",
    "nearest_setting",
    "our_name",
]

PREFIX: Final = "SUREFOOT_"

T = TypeVar("T")
_HIDDEN: Final = "********"
_LOOKS_SECRET: Final = r"(?i)KEY|PASS|SECRET|TOKEN|AUTH|CREDENTIAL"


class Setting(Generic[T]):
    """One line of the table. `path` and `variable` are its two names."""

    path: str
    variable: str

    def __init__(self, kind: Kind[T], default: T, about: str, *, secret: bool = False) -> None:
        self.kind = kind
        self.default = default
        self.about = about
        self.secret = secret

    # Values lie in the instances' own dicts, which Python asks first: a read costs what a plain attribute costs.
    @overload
    def __get__(self, group: None, owner: object) -> Setting[T]: ...
    @overload
    def __get__(self, group: Group, owner: object) -> T: ...
    def __get__(self, group: Group | None, owner: object) -> Setting[T] | T:
        return self if group is None else self.default


class Group:
    """Settings that belong together."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"Settings cannot be changed in place ({name} = {value!r}). "
            "Use `with temporary_settings({...}):`, or `surefoot config set`."
        )

    def __repr__(self) -> str:
        line = type(self).__dict__
        shown = {name: _HIDDEN if _is_secret(line.get(name)) and value else value for name, value in vars(self).items()}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items() if not k.startswith('_'))})"


def _is_secret(line: object) -> bool:
    return isinstance(line, Setting) and line.secret


class Api(Group):
    """`api.*`"""

    url = Setting(
        optional(URL),
        None,
        "The server that runs belong to. This version records in the home only, and says so if it is set.",
    )
    key = Setting(optional(TEXT), None, "The key that opens the server.", secret=True)
    auth_string = Setting(optional(TEXT), None, "USER:PASSWORD for a server behind basic authentication.", secret=True)


class Cli(Group):
    """`cli.*`"""

    colors = Setting(BOOL, True, "Whether commands write in colour.")
    prompt = Setting(optional(BOOL), None, "Whether commands may ask; if empty, when somebody is there to answer.")
    wrap_lines = Setting(BOOL, True, "Whether long lines are wrapped to the width of the terminal.")


class Flows(Group):
    """`flows.*`"""

    default_retries = Setting(whole(), 0, "How often a flow is tried again that does not say.")
    default_retry_delay_seconds = Setting(DELAYS, 0, "How long a flow waits before that: a number or a list.")


class Runner(Group):
    """`tasks.runner.*`"""

    thread_pool_max_workers = Setting(optional(whole(least=1)), None, "Threads that run tasks; if empty, as suits.")
    process_pool_max_workers = Setting(
        optional(whole(least=1)), None, "Processes that run tasks; if empty, one for each core that may be used."
    )


class Tasks(Group):
    """`tasks.*`"""

    default_retries = Setting(whole(), 0, "How often a task is tried again that does not say.")
    default_retry_delay_seconds = Setting(DELAYS, 0, "How long a task waits before that: a number or a list.")
    default_persist_result = Setting(
        optional(BOOL), None, "Whether results of tasks are stored; if empty, as around it."
    )
    refresh_cache = Setting(BOOL, False, "Whether tasks that do not say make anew what their cache has.")
    default_no_cache = Setting(BOOL, False, "Whether `persist_result=True` stores without caching.")
    disable_caching = Setting(BOOL, False, "Whether no task looks into its cache, whatever it asks for.")
    runner = Runner()


class Logging(Group):
    """`logging.*`"""

    level = Setting(LEVEL, "INFO", "The lowest level that is recorded and shown.")
    log_prints = Setting(BOOL, False, "Whether what flows and tasks print is recorded as log lines.")
    colors = Setting(BOOL, True, "Whether the console's log lines are in colour.")
    extra_loggers = Setting(NAMES, [], "Loggers of other libraries whose lines are recorded too.")
    max_log_size = Setting(whole(least=100), 1_000_000, "Characters after which a log line is cut, with a mark.")


class Journal(Group):
    """`journal.*`"""

    on_full = Setting(choice("continue", "fail"), "continue", "What a run does that can no longer be recorded.")
    runs_budget_bytes = Setting(whole(least=1 << 20), 1 << 30, "Disk that facts about runs may take.")
    logs_budget_bytes = Setting(whole(least=1 << 20), 1 << 30, "Disk that log lines may take.")
    segment_bytes = Setting(whole(least=1 << 16, most=1 << 30), 8 << 20, "The size of the journal's files.")


class Results(Group):
    """`results.*`"""

    persist_by_default = Setting(BOOL, False, "Whether results are stored of flows and tasks that do not say.")
    default_serializer = Setting(TEXT, "pickle", "What stored results are written with, where nothing else is said.")
    default_storage = Setting(
        optional(STORAGE),
        None,
        "The URL (s3://BUCKET/FOLDER, gs://, az://) or folder of stored results, where none is named; if empty, "
        "`results.local_storage_path`.",
    )
    local_storage_path = Setting(PATH, "${SUREFOOT_HOME}/storage", "The folder of stored results, where none is named.")
    stored_max_age_days = Setting(
        optional(number()), None, "Days that stored results count which say nothing else; if empty, for good."
    )
    storage_timeout_seconds = Setting(number(least=0.1), 60, "How long an object store is tried that does not answer.")
    on_store_error = Setting(
        choice("fail", "continue"), "fail", "What a run does whose result cannot be stored, or whose cache not be read."
    )
    on_damaged_cache = Setting(
        choice("recompute", "fail"), "recompute", "What a task does whose cache has a damaged record, or a newer one."
    )
    keep_for_resuming = Setting(BOOL, True, "Whether results are kept so that a run can be resumed.")
    item_max_bytes = Setting(whole(most=1 << 30), 64 << 20, "The largest result that is kept for resuming.")
    budget_bytes = Setting(whole(), 4 << 30, "Disk that results kept for resuming may take.")
    max_age_days = Setting(number(), 30, "Days after which they are removed.")


class Artifacts(Group):
    """`artifacts.*`"""

    max_bytes = Setting(whole(least=1 << 10, most=1 << 30), 16 << 20, "The largest artifact that is taken.")


class Ledger(Group):
    """`ledger.*`"""

    url = Setting(
        optional(DATABASE_URL), None, "The database of the ledger; if empty, a file in the home.", secret=True
    )
    busy_timeout_seconds = Setting(number(), 30, "How long a write waits for another process.")
    fold_wait_seconds = Setting(number(), 2, "How long a reader waits for what was recorded before it asked.")
    fold_at_exit = Setting(BOOL, True, "Whether a process that ends has the home folded and cleaned up if that is due.")
    fold_at_exit_bytes = Setting(whole(), 64 << 20, "It is due when so much journal lies there unfolded.")
    fold_at_exit_hours = Setting(number(), 12, "It is due when it was last done so long ago.")


class Notify(Group):
    """`notify.*`"""

    on_failure = Setting(TARGETS, [], "Where a message goes when a flow run failed.", secret=True)
    on_crash = Setting(TARGETS, [], "The same when one crashed; if empty, as `notify.on_failure`.", secret=True)
    on_recovery = Setting(TARGETS, [], "The same when one completed after one that failed or crashed.", secret=True)
    on_success = Setting(TARGETS, [], "The same when one completed.", secret=True)
    flows = Setting(RULES, {}, "The same four for single flows: `[notify.flows.NAME]`.", secret=True)
    tags = Setting(RULES, {}, "The same four for runs with a tag: `[notify.tags.NAME]`.", secret=True)
    timeout_seconds = Setting(
        number(least=0.1), 10, "How long a process that ends waits for its messages to be sent, at most."
    )
    burst_seconds = Setting(number(), 60, "For so long after a message, more of the same are gathered into one.")
    expect = Setting(EXPECT, {}, "Until when each day a run of a flow has to have completed, for `surefoot watch`.")
    timezone = Setting(optional(ZONE), None, "Where these times are; if empty, in the machine's own time zone.")


class Retention(Group):
    """`retention.*`"""

    runs_days = Setting(optional(number()), 90, "Days after their end that runs are kept; if empty, for good.")
    logs_days = Setting(optional(number()), 14, "Days that log lines are kept; if empty, as long as their run.")
    aside_days = Setting(optional(number()), 30, "Days that damaged files and copies are kept; if empty, for good.")


class Settings(Group):
    """The settings in force: typed attributes, in groups (`settings.logging.level`), that cannot be changed."""

    home = Setting(PATH, "~/.surefoot", "The folder of journal, ledger and profiles.")
    profiles_path = Setting(PATH, "${SUREFOOT_HOME}/profiles.toml", "The file of profiles.")
    debug_mode = Setting(BOOL, False, "Whether everything is logged, whatever the level.")
    strict = Setting(BOOL, False, "Whether a mistake in the environment's variables is an error, not a warning.")
    api = Api()
    cli = Cli()
    flows = Flows()
    tasks = Tasks()
    logging = Logging()
    journal = Journal()
    results = Results()
    artifacts = Artifacts()
    ledger = Ledger()
    notify = Notify()
    retention = Retention()

    profile: str
    """The name of the profile they are from."""

    def __init__(self, values: Mapping[str, Any], sources: Mapping[str, str], profile: str, origin: object) -> None:
        groups: dict[str, dict[str, Any]] = {"": vars(self)}
        for path, group in _GROUPS.items():
            above, _, name = path.rpartition(".")
            inner = groups[above][name] = group()
            groups[path] = vars(inner)
        for path, value in values.items():
            above, _, name = path.rpartition(".")
            groups[above][name] = value
        vars(self).update(profile=profile, _flat=values, _sources=sources, _origin=origin)

    def get(self, path: str) -> Any:
        """The value of the setting of that dotted path. Raises SettingsError if there is none."""
        try:
            return self._flat[path]
        except KeyError:
            there = known_elsewhere(path)
            do = there.do if there else f"The nearest valid name is {nearest_setting(path).path}."
            why = f", and not needed here: {there.why}" if there else ""
            raise SettingsError(f"{path!r} is not a setting of Surefoot{why}.", do=do) from None

    def source_of(self, path: str) -> str | None:
        """Where that value is from; None if nobody set it, so that it is the default."""
        return self._sources.get(path)

    _flat: Mapping[str, Any]
    _sources: Mapping[str, str]
    _origin: Any  # the layers that it was merged from, for whoever lays another on top


def find_setting(name: str) -> Setting[Any] | None:
    """The setting of that name, dotted or as in the environment.

    >>> find_setting("logging.level").variable, find_setting("SUREFOOT_HOME").path, find_setting("logging.loud")
    ('SUREFOOT_LOGGING_LEVEL', 'home', None)
    """
    return TABLE.get(name) or _VARIABLES.get(name)


def known_elsewhere(name: str) -> Elsewhere | None:
    """What is known of a setting that users know from elsewhere; None if nothing is."""
    from surefoot.core.settings.elsewhere import find_elsewhere

    return find_elsewhere(name)


def our_name(name: str) -> str | None:
    """The dotted name that a setting which users know from elsewhere has here; None if it has none.

    >>> our_name("SUREFOOT_HOME"), our_name("logging.to_api.max_log_size"), our_name("server.api.port")
    ('home', 'logging.max_log_size', None)
    """
    if setting := find_setting(name):
        return setting.path
    there = known_elsewhere(name)
    return there.instead if there and there.same else None


def nearest_setting(name: str) -> Setting[Any]:
    """The setting whose name is most like `name`.

    >>> nearest_setting("SUREFOOT_LOGING_LEVEL").variable, nearest_setting("logging.to_api.max_log_size").path
    ('SUREFOOT_LOGGING_LEVEL', 'logging.max_log_size')
    """
    from difflib import get_close_matches  # a door: only a mistake pays for it

    wanted = name.upper().replace(".", "_").replace("-", "_")
    known = _VARIABLES if wanted.startswith(PREFIX) else {v.removeprefix(PREFIX): s for v, s in _VARIABLES.items()}
    return known[get_close_matches(wanted[:200], known, n=1, cutoff=0.0)[0]]


def masked(name: str, value: Any) -> Any:
    """The value as people may see it: stars where it is secret, or looks so, or is a misspelled secret's.

    >>> masked("api.key", "abc"), masked("api_kye", "abc"), masked("api.key", None), masked("cli.colors", True)
    ('********', '********', None, True)
    """
    setting = find_setting(name)
    secret = setting.secret if setting else re.search(_LOOKS_SECRET, name) or nearest_setting(name).secret
    if secret and value is not None and value != "":
        return _HIDDEN
    if isinstance(value, str) and "://" in value and "@" in value:  # http://NAME:PASSWORD@SERVER
        return re.sub(r"://.*@", f"://{_HIDDEN}@", value)
    return value


def _walk(group: type[Group], above: str) -> Iterator[tuple[str, Setting[Any] | type[Group]]]:
    for name, line in vars(group).items():
        if isinstance(line, Setting):
            yield above + name, line
        elif isinstance(line, Group):
            yield above + name, type(line)
            yield from _walk(type(line), f"{above}{name}.")


_ALL: Final = dict(_walk(Settings, ""))
_GROUPS: Final = {path: group for path, group in _ALL.items() if isinstance(group, type)}
TABLE: Final = {path: line for path, line in _ALL.items() if isinstance(line, Setting)}
for _path, _line in TABLE.items():
    _line.path = _path
    _line.variable = PREFIX + _path.upper().replace(".", "_")
_VARIABLES: Final = {line.variable: line for line in TABLE.values()}
