"""The house rules as code: `python tools/house.py` prints `path:line: rule: message` and exits 1 if a rule is broken.

A rule is skipped by a comment on the line, or alone on the line above: `# house: skip RULE: why it is right here`.
A rule about a whole file is skipped by such a comment anywhere in it. A skip without a reason, or one that skips
nothing, breaks a rule itself. May import: the standard library.
"""

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TREES: Final = ("src", "tests", "tools", "examples", "benchmarks")
FILE_LINES_MAX: Final = 600
FUNCTION_LINES_MAX: Final = 80
WHOLE_FILE: Final = 0

# Where a rule does not hold, and why. A path that ends in "/" is a folder.
CLOCKS: Final = {
    "src/surefoot/core/clock.py": "it is the clock",
    "src/surefoot/core/ids.py": "an id carries the machine's instant, whatever clock a test puts in",
    "src/surefoot/core/os/": "waits for the system, not for time",
}
SYSTEMS: Final = {"src/surefoot/core/os/": "one module a system stands here"}
LEDGER: Final = {
    "src/surefoot/ledger/": "the tables are its own",
    "examples/": "a user's own database",
    "tests/examples/": "a user's own database",
}
DOORS: Final = {
    "src/surefoot/__init__.py": "the lazy namespace",
    "src/surefoot/flows.py": "what finds flows in files, and draws them, is wanted by those alone that ask for it",
    "src/surefoot/engine/apart.py": "sockets and cloudpickle are wanted by tasks in processes of their own",
    "src/surefoot/context.py": "what takes a context along is wanted by processes of the user's own",
    "src/surefoot/engine/child.py": "the awaiting driver imports asyncio, wanted by the first asynchronous task only",
    "src/surefoot/locking/__init__.py": "a lazy namespace: files and the ledger cost more than memory",
    "src/surefoot/results/__init__.py": "a lazy namespace: a run that stores nothing loads none of it",
    "src/surefoot/results/asking.py": "serializers and objects are wanted by decorators that name one",
    "src/surefoot/results/loading.py": "objects are wanted where somebody stored some",
    "src/surefoot/results/persistence.py": "objects are wanted where somebody asks to store one",
    "src/surefoot/results/places.py": "the library of the clouds is wanted by those who store there",
    "src/surefoot/testing/": "pytest loads the plugin wherever Surefoot is, and a test wants what it names alone",
    "src/surefoot/engine/losses.py": "messages are wanted by those alone who have somebody to tell, when it is time",
    "src/surefoot/engine/pool.py": "lanes import asyncio, 30 ms, wanted by the first asynchronous task only",
    "src/surefoot/tasks.py": "a task that asks for no cache loads nothing of caches, and so with assets",
    "src/surefoot/engine/caching.py": "objects are wanted where a task asks for a cache",
    "src/surefoot/engine/limiting.py": "limits are wanted by tasks whose tags have some",
    "src/surefoot/engine/running.py": "the awaiting driver imports asyncio likewise; generators are few",
    "src/surefoot/engine/task_execution.py": "transactions are wanted by runs in one, limits and assets by few",
    "src/surefoot/core/cards.py": "colours are wanted by notebooks",
    "src/surefoot/core/settings/table.py": "what others call their settings is wanted by a wrong name",
    "src/surefoot/engine/kept.py": "storing is wanted where somebody asks for it",
    "src/surefoot/engine/resuming.py": "reading results is wanted by a run that is started again",
    "src/surefoot/engine/transactions.py": "stores of results are wanted by transactions with a key",
    "src/surefoot/engine/session.py": "our logging imports the standard one, wanted by the first run only",
    "src/surefoot/task_runners/": "threads and queues are wanted by the first submit only",
    "src/surefoot/core/settings/kinds.py": "what messages may be sent to is looked at where somebody sets it",
    "src/surefoot/cli/": "the parser imports no room; a command imports its own",
    "src/surefoot/_doors.py": "fills the ports with what higher floors offer",
    "src/surefoot/core/ports.py": "has the doors fill the ports when one is first asked for",
    "src/surefoot/client/crashes.py": "messages are wanted where a process died that has somebody to tell",
    "src/surefoot/client/__init__.py": "chooses one of two ways, and loads only that",
    "src/surefoot/ledger/dialects/choice.py": "loads PostgreSQL, and its driver, for a ledger that is there only",
}
# Public names that users of the field know in both forms, as "package or class: awaiting name", and why.
TWINS: Final[dict[str, str]] = {
    "Artifact: acreate": "calls its twin in a thread",
    "Artifact: aget": "likewise",
    "Artifact: aget_or_create": "likewise",
    "Flow: avisualize": "a name that users know; the body of a flow is awaited in their loop, or in one of its own",
    "ResultStore: aexists": "calls its twin in a thread",
    "ResultStore: aread": "calls its twin in a thread",
    "ResultStore: awrite": "calls its twin in a thread",
    "surefoot.drawing: draw_async": "the same two ways; both only hand the body to the sketch",
    "State: aresult": "a name that users know; nothing is waited for",
    "Pool: finish_async": "waits for `finish` in a thread: one rule, two ways to wait",
    "LockManager: aacquire_lock": "the interface that users know; each kind tells both ways by one generator",
    "LockManager: await_for_lock": "likewise",
    "LinedLockManager: aacquire_lock": "takes the steps of the same generator as its twin",
    "LinedLockManager: await_for_lock": "likewise",
    "LockedKeys: aacquire_lock": "hands on to the lock manager's",
    "LockedKeys: await_for_lock": "likewise",
    "AsyncTransaction: acommit": "takes the steps of the same generator",
    "AsyncTransaction: arollback": "likewise",
    "Variable: aset": "a name that users know; hands on to a thread",
    "Variable: aget": "likewise",
    "Variable: aunset": "likewise",
    "surefoot: arender": "likewise",
    "surefoot: atransaction": "makes the other kind of the same transaction",
    "surefoot.engine: AsyncTransaction": "adds the protocol of `async with`; the rules stand in `transacting`",
    "surefoot.engine: AsyncRunGenerator": "Python has two protocols for generators; what they share is `Stream`",
}
# Modules that nothing in src imports, and who does.
ENTRANCES: Final = {
    "surefoot.__main__": "`python -m surefoot`",
    "surefoot._doors": "core.ports, by its name",
    "surefoot.assets": "users",
    "surefoot.cli": "the command",
    "surefoot.client.schemas": "users",
    "surefoot.concurrency.asyncio": "users",
    "surefoot.concurrency.sync": "users",
    "surefoot.drawing": "users",
    "surefoot.client.schemas.objects": "users",
    "surefoot.client.schemas.responses": "users",
    "surefoot.client.schemas.sorting": "users",
    "surefoot.exceptions": "users",
    "surefoot.locking.protocol": "users",
    "surefoot.logging.formatters": "users",
    "surefoot.logging.loggers": "users",
    "surefoot.main": "users",
    "surefoot.settings": "users",
    "surefoot.types": "users",
    "surefoot.utilities": "users",
    "surefoot.utilities.annotations": "users",
    "surefoot.runtime": "users",
    "surefoot.serializers": "users",
    "surefoot.utilities.hashing": "users",
    "surefoot.transactions": "users",
    "surefoot.testing": "the tests of users",
    "surefoot.testing.plugin": "pytest",
    "surefoot.testing.utilities": "the tests of users",
    "surefoot.triggers": "users",
    "surefoot.variables": "users",
}
LOADED_BY_PATH: Final = {"src/surefoot/ledger/migrations/": "Alembic finds these itself"}

DRAWERS: Final = frozenset(
    "common data handler handlers helper helpers info manager managers misc orchestrator util utils".split()
)
CLOCK_NAMES: Final = frozenset(
    """time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns time.sleep
    datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today""".split()
)
SYSTEM_NAMES: Final = frozenset(
    """sys.platform os.name platform.system os.uname
    os.fork os.forkpty os.register_at_fork os.kill os.killpg os.nice os.setsid os.getuid os.geteuid os.O_BINARY
    os.posix_fallocate os.posix_fadvise os.fdatasync os.statvfs os.sched_getaffinity os.sched_setaffinity
    signal.SIGALRM signal.SIGBREAK signal.SIGCHLD signal.SIGHUP signal.SIGKILL signal.SIGSTOP signal.SIGUSR1
    signal.SIGUSR2 signal.ITIMER_REAL signal.alarm signal.setitimer signal.pthread_kill signal.pthread_sigmask
    signal.set_wakeup_fd signal.siginterrupt socket.AF_UNIX""".split()
)
SYSTEM_MODULES: Final = frozenset(
    "_winapi ctypes fcntl grp mmap msvcrt pty pwd resource termios tty winreg winsound".split()
)
SYSTEM_ROOMS: Final = frozenset("errno os select signal socket".split())  # a look whether these have a name
SQL_MODULES: Final = frozenset("alembic psycopg sqlalchemy sqlite3".split())
SQL_TEXT: Final = re.compile(
    r"\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|CREATE\s+TABLE|PRAGMA)\s", re.DOTALL
)
UNFINISHED: Final = re.compile(r"\b(TODO|FIXME|XXX)\b")
SKIP: Final = re.compile(r"#\s*house:\s*skip\s+(?P<rule>[\w-]+)\s*(?::\s*(?P<reason>\S.*))?")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Finding = tuple[int, str]


def main() -> int:
    """Check every Python file of the project that git knows or could be told of."""
    try:
        sources = [
            Source(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in python_files()
        ]
    except SyntaxError as error:
        print(f"{error.filename}:{error.lineno}: syntax: {error.msg}")
        return 1
    broken = check(sources)
    for breach in broken:
        print(breach)
    print(f"house: {len(sources)} files, {len(broken)} breaches")
    return 1 if broken else 0


def python_files() -> list[Path]:
    """The files that git tracks or would track; outside a git checkout, those of the known trees."""
    listing = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    git = shutil.which("git")
    found = subprocess.run([git, *listing], cwd=ROOT, capture_output=True, text=True, check=False) if git else None
    if found is not None and found.returncode == 0:
        paths = [ROOT / line for line in found.stdout.splitlines()]
    else:
        paths = [path for tree in TREES for path in (ROOT / tree).rglob("*.py")]
    return sorted({path for path in paths if path.is_file()})


@dataclass(order=True, frozen=True)
class Breach:
    """A rule that is broken somewhere."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line or 1}: {self.rule}: {self.message}"


class Source:
    """One file, parsed once."""

    def __init__(self, path: str, text: str) -> None:
        """Take a file's text as it stands, or would stand, at `path`."""
        self.path = path
        self.text = text
        self.tree = ast.parse(text, filename=path)
        self.nodes = list(ast.walk(self.tree))
        self.names = dict(self._imported_names())
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        self.comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return PurePosixPath(self.path).stem

    @property
    def package(self) -> str:
        """The dotted name of the folder that this file of src stands in."""
        return ".".join(PurePosixPath(self.path).parts[1:-1])

    @property
    def module(self) -> str:
        """The dotted name under which this file of src is imported."""
        return self.package if self.stem == "__init__" else f"{self.package}.{self.stem}"

    def stands_in(self, places: Iterable[str]) -> bool:
        """Whether this file is one of `places`, or in a folder of them."""
        return any(self.path.startswith(place) if place.endswith("/") else self.path == place for place in places)

    def full_name(self, node: ast.AST) -> str:
        """What a name stands for through this file's imports: `now` of `datetime` is `datetime.datetime.now`."""
        if isinstance(node, ast.Attribute):
            return f"{self.full_name(node.value)}.{node.attr}"
        return self.names.get(node.id, "") if isinstance(node, ast.Name) else ""

    def names_used(self, wanted: frozenset[str]) -> Iterator[tuple[int, str]]:
        """Lines that use one of the `wanted` names, however it was imported, called or not."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute | ast.Name) and (name := self.full_name(node)) in wanted:
                yield node.lineno, name

    def imports(self) -> Iterator[tuple[ast.stmt | ast.expr, str]]:
        """Each import with the module it names, `import_module("...")` included."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node, node.module
            elif isinstance(node, ast.Call) and node.args and self.full_name(node.func) == "importlib.import_module":
                named = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
                if isinstance(named, ast.Constant) and isinstance(named.value, str):
                    yield node, named.value

    def _imported_names(self) -> Iterator[tuple[str, str]]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    yield (alias.asname, alias.name) if alias.asname else (top, top)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def check(sources: list[Source]) -> list[Breach]:
    """All breaches that no skip excuses, and all skips that are wrong, in order of place."""
    found = [
        Breach(source.path, line, rule.name, message)
        for source in sources
        for rule in RULES
        if source.path.startswith(rule.tree) and not source.stands_in(rule.but_for)
        for line, message in rule.find(source)
    ]
    ours = [source for source in sources if source.path.startswith("src/")]
    found += [*pairs_of_names(ours), *circles(ours), *dead_files(ours)]
    return sorted(set(excuse(sources, found)))


def excuse(sources: list[Source], found: list[Breach]) -> Iterator[Breach]:
    """Drop what a comment skips; report the skips that have no reason or nothing to skip."""
    skips = {(source.path, line): skip for source in sources for line, skip in skips_of(source).items()}
    used: set[tuple[str, int]] = set()
    for breach in found:
        excuses = {
            (path, line)
            for (path, line), skip in skips.items()
            if path == breach.path and skip["rule"] == breach.rule and breach.line in (WHOLE_FILE, line)
        }
        used |= excuses
        if not excuses:
            yield breach
    for (path, line), skip in skips.items():
        if not skip["reason"]:
            yield Breach(path, line, "skip", f"skipping {skip['rule']!r} needs a reason, after a colon")
        elif (path, line) not in used:
            yield Breach(path, line, "skip", f"nothing here breaks {skip['rule']!r}: delete this comment")


def skips_of(source: Source) -> dict[int, re.Match[str]]:
    """The skips of a file by the line that they excuse: a comment alone on its line speaks for the next."""
    lines = source.text.splitlines()
    skips = {}
    for at, comment in source.comments.items():
        if skip := SKIP.match(comment):
            alone = lines[at - 1].lstrip().startswith("#")
            skips[at + 1 if alone else at] = skip
    return skips


# --- rules about one file: each yields lines and messages -------------------------------------------------------------


def long_files(source: Source) -> Iterator[Finding]:
    """A file is read in one sitting."""
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield WHOLE_FILE, f"{lines} lines, and {FILE_LINES_MAX} is the most: give a part of it its own room"


def long_functions(source: Source) -> Iterator[Finding]:
    """A function is taken in at a glance, or two."""
    for node in source.nodes:
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines, and {FUNCTION_LINES_MAX} is the most"


def missing_door_plates(source: Source) -> Iterator[Finding]:
    """A module says what it is for."""
    if not ast.get_docstring(source.tree):
        yield WHOLE_FILE, "no docstring: what is this room for, what may it import, which promise does it keep?"


def drawers(source: Source) -> Iterator[Finding]:
    """A module is a noun, not a drawer."""
    if source.stem in DRAWERS:
        yield WHOLE_FILE, f"{source.stem!r} names no thing: put each part beside its caller, or find the noun"


def sleeps(source: Source) -> Iterator[Finding]:
    """A test waits for what it wants to see."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and (name := source.full_name(node.func)) in ("time.sleep", "asyncio.sleep"):
            yields_only = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not yields_only:
                yield node.lineno, f"{name} in a test: wait for the condition, or put in a clock"


def clocks(source: Source) -> Iterator[Finding]:
    """There is one clock."""
    for line, name in source.names_used(CLOCK_NAMES):
        yield line, f"{name} outside the clock: take surefoot.core.clock"


def system_calls(source: Source) -> Iterator[Finding]:
    """What differs by system stands in one place."""
    found = [(node.lineno, module) for node, module in source.imports() if module.partition(".")[0] in SYSTEM_MODULES]
    for line, name in [*found, *source.names_used(SYSTEM_NAMES)]:
        yield line, f"{name} is not on every system, or not the same: it belongs in surefoot.core.os"
    for node in source.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            if node.args and (room := source.full_name(node.args[0])) in SYSTEM_ROOMS:
                yield node.lineno, f"{node.func.id}({room}, ...) asks which system this is: surefoot.core.os knows"


def sql(source: Source) -> Iterator[Finding]:
    """The SQL of a table stands in one place."""
    for statement, module in source.imports():
        if module.partition(".")[0] in SQL_MODULES:
            yield statement.lineno, f"{module} outside the ledger: ask a query or a decision"
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL_TEXT.match(node.value):
            yield node.lineno, "SQL outside the ledger: ask a query or a decision"


def late_imports(source: Source) -> Iterator[Finding]:
    """A room of ours is imported at the top of the file, or the file stands in the wrong place."""
    inside = {node for function in source.nodes if isinstance(function, Function) for node in ast.walk(function)}
    for node, module in source.imports():
        if node in inside and module.partition(".")[0] == "surefoot":
            yield node.lineno, f"{module} is imported in a function: only doors do that"


def pairs_of_methods(source: Source) -> Iterator[Finding]:
    """No class says the same thing blocking and awaiting."""
    for room in source.nodes:
        if isinstance(room, ast.ClassDef):
            yield from ((line, message) for _, line, message in pairs([(source, it) for it in room.body], room.name))


def unfinished(source: Source) -> Iterator[Finding]:
    """What is here is done."""
    for line, comment in source.comments.items():
        if mark := UNFINISHED.search(comment):
            yield line, f"{mark[0]} in a comment: do it, or file it as an issue"
    for node in source.nodes:
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield node.lineno, "NotImplementedError: build it, or leave it out"
        elif isinstance(node, ast.Module | ast.ClassDef | Function):
            if mark := UNFINISHED.search(ast.get_docstring(node) or ""):
                yield getattr(node, "lineno", WHOLE_FILE), f"{mark[0]} in a docstring: do it, or file it as an issue"


@dataclass(frozen=True)
class Rule:
    """A rule about single files: its name, what finds its breaches, the tree it holds in, the places it spares."""

    name: str
    find: Callable[[Source], Iterator[Finding]]
    tree: str = "src/"
    but_for: Iterable[str] = ()


RULES: Final = (
    Rule("size", long_files),
    Rule("length", long_functions),
    Rule("door-plate", missing_door_plates),
    Rule("drawer", drawers, tree=""),
    Rule("sleep", sleeps, tree="tests/"),
    Rule("clock", clocks, but_for=CLOCKS),
    Rule("system", system_calls, but_for=SYSTEMS),
    Rule("sql", sql, but_for=LEDGER),
    Rule("late-import", late_imports, but_for=DOORS),
    Rule("pair", pairs_of_methods),
    Rule("unfinished", unfinished, tree=""),
)


# --- rules about the whole house --------------------------------------------------------------------------------------


def pairs_of_names(sources: list[Source]) -> Iterator[Breach]:
    """No package says the same thing blocking and awaiting."""
    packages: dict[str, list[tuple[Source, ast.stmt]]] = {}
    for source in sources:
        packages.setdefault(source.package, []).extend((source, node) for node in source.tree.body)
    for package, members in packages.items():
        for source, line, message in pairs(members, package):
            yield Breach(source.path, line, "pair", message)


def pairs(members: list[tuple[Source, ast.stmt]], where: str) -> Iterator[tuple[Source, int, str]]:
    """Names that stand both with and without a mark of awaiting, public twins excepted."""
    defined = {node.name for _, node in members if isinstance(node, Function | ast.ClassDef)}
    for source, node in members:
        if isinstance(node, Function | ast.ClassDef) and f"{where}: {node.name}" not in TWINS:
            for twin in defined & set(blocking_names(node)):
                yield source, node.lineno, f"{twin} and {node.name} in {where}: write the logic once"


def blocking_names(node: Function | ast.ClassDef) -> Iterator[str]:
    """The names that `node` could have if it did not say that it awaits."""
    if isinstance(node, ast.ClassDef):
        yield node.name.removeprefix("Async") if node.name.startswith("Async") else ""
        return
    marked = re.fullmatch(r"(?:async_|sync_)(\w+)|(\w+?)_a?sync", node.name)
    if marked:
        yield marked[1] or marked[2]
    elif isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("a"):
        yield node.name[1:]


def circles(sources: list[Source]) -> Iterator[Breach]:
    """No modules need each other to be loaded; what is imported for types alone is not needed for that."""
    rooms = {source.module: source for source in sources}
    needs = {module: sorted(set(needed(source)) & rooms.keys()) for module, source in rooms.items()}
    seen: set[frozenset[str]] = set()
    for start in sorted(needs):
        circle = way_back(start, needs)
        if circle and frozenset(circle) not in seen:
            seen.add(frozenset(circle))
            yield Breach(rooms[start].path, WHOLE_FILE, "circle", f"imports itself: {' -> '.join([*circle, start])}")


def needed(source: Source) -> Iterator[str]:
    """The names that a file imports while it is loaded, its own package's among them."""
    later = [node for node in source.nodes if isinstance(node, Function) or is_for_types(node)]
    spared = {inner for node in later for inner in ast.walk(node)}
    for node in source.nodes:
        if node not in spared and isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node not in spared and isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def is_for_types(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def way_back(start: str, needs: dict[str, list[str]]) -> list[str]:
    """The shortest way along `needs` from `start` back to it, without the end; empty if there is none."""
    ways = [[start]]
    visited = set()
    for way in ways:
        for step in needs[way[-1]]:
            if step == start and len(way) > 1:
                return way
            if step not in visited:
                visited.add(step)
                ways.append([*way, step])
    return []


def dead_files(sources: list[Source]) -> Iterator[Breach]:
    """Every module is used by another: imported, or named in a table of lazy names."""
    used = set(ENTRANCES)
    for source in sources:
        others = {module for _, module in source.imports()} | set(source.names.values()) | set(lazy_names(source))
        used |= others - {source.module}
    for source in sources:
        spared = source.stem in ("__init__", "__main__") or source.stands_in(LOADED_BY_PATH)
        if not spared and source.module not in used:
            yield Breach(source.path, WHOLE_FILE, "dead-file", f"nothing imports {source.module}: use it or delete it")


def lazy_names(source: Source) -> Iterator[str]:
    """Modules that a file may name in strings: in full, or relative to its own package, with `:name` or without."""
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch(r"[a-z_][\w.]*(:\w+)?", node.value):
                name = node.value.partition(":")[0]
                yield from (name, f"{source.package}.{name}")


if __name__ == "__main__":
    sys.exit(main())
