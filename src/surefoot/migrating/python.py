"""Python: imports, what is made of them, and texts that are names of modules and variables. Nothing else is touched.

May import: migrating.edits, migrating.names, migrating.variables, core.storages.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from surefoot.core.storages import is_block
from surefoot.migrating import names
from surefoot.migrating.edits import OLD_TEMPLATE, Edit, Look, Rewritten, apply, in_order
from surefoot.migrating.variables import is_variable, variable

__all__ = ["rewrite_python"]

_OLD: Final = "prefect"
_NEW: Final = "surefoot"
_ROOTS: Final = (_OLD, _NEW)  # what was rewritten before is looked at again
# Functions whose first argument is the name of a module, or of what stands in one; and of a variable.
_NAMES_MODULE: Final = frozenset("patch import_module __import__ importorskip find_spec setattr getLogger".split())
_NAMES_VARIABLE: Final = frozenset("getenv setenv delenv putenv unsetenv get pop setdefault".split())
_NAMED: Final = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
)
_OPENING: Final = r"[rRuUbB]{0,2}(?:'''|\"\"\"|'|\")"


def rewrite_python(text: str) -> Rewritten:
    r"""A script for Surefoot, of one for Prefect.

    >>> rewrite_python("from prefect import flow  # prefect's\n").text
    "from surefoot import flow  # prefect's\n"
    """
    if _OLD not in text.lower() and _NEW not in text.lower():
        return Rewritten(text, [])
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        why = error.msg if isinstance(error, SyntaxError) else error  # whose text names a file that is none
        return Rewritten(text, [Look(line, f"This is not valid Python, and was left alone: {why}.")])
    script = _Script(text, tree)
    script.rewrite()
    return Rewritten(apply(text, script.edits), in_order(script.looks))


class _Script:
    def __init__(self, text: str, tree: ast.Module) -> None:
        self.text = text
        self.nodes = list(ast.walk(tree))
        self.starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
        self.edits: dict[int, Edit] = {}
        self.looks: list[Look] = []
        variables = set(_bound_otherwise(self.nodes))
        self.shadowed: set[int] = set()  # names that are arguments of a function around them
        self.bound = variables | set(self._arguments())
        self.ours: dict[str, str] = {}  # name in the script -> what it is, `prefect.` left out
        self.kinds: dict[str, str] = {}  # function that was decorated -> "flow" or "task"
        self.moved: dict[str, str] = {}  # name in the script -> its new one
        self.variables = variables
        self.awaited = {
            id(node.value.func)
            for node in self.nodes
            if isinstance(node, ast.Await) and isinstance(node.value, ast.Call)
        }

    def _arguments(self) -> Iterator[str]:
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inner = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
                body = node.body if isinstance(node.body, list) else [node.body]
                for each in (each for statement in body for each in ast.walk(statement)) if inner else ():
                    if isinstance(each, ast.Name) and each.id in inner:
                        self.shadowed.add(id(each))
                yield from inner

    def rewrite(self) -> None:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)
        for name in self.variables:
            self.ours.pop(name, None)
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._decorated(node)
        inner = {id(node.value) for node in self.nodes if isinstance(node, ast.Attribute)}
        for node in self.nodes:
            if isinstance(node, ast.Attribute) and id(node) not in inner:
                self._attribute(node)
            elif isinstance(node, ast.Name) and node.id in self.moved:
                self._replace(node, node.id, self.moved[node.id])
            elif isinstance(node, ast.Call):
                self._options(node)
        self._texts()

    # -- how names come into the script

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            root, _, rest = alias.name.partition(".")
            if root not in _ROOTS:
                self._collection(root, node.lineno)
                continue
            if rest and (why := self._missing(rest)):
                self.looks.append(Look(node.lineno, f"Surefoot has no module `surefoot.{rest}`: {why}."))
            if alias.asname:
                self.ours[alias.asname] = rest
            else:
                self.ours[root] = ""
            if root == _NEW:
                continue
            if alias.asname or not self.bound & set(_ROOTS):
                self._replace(alias, _OLD, _NEW)
                if not alias.asname:
                    self.moved[_OLD] = _NEW
            elif not rest:
                self._replace(alias, _OLD, f"{_NEW} as {_OLD}")
            else:
                told = (
                    "Left alone, since the script has another variable `prefect` or `surefoot`: rename that one first."
                )
                self.looks.append(Look(node.lineno, told))

    def _import_from(self, node: ast.ImportFrom) -> None:
        root, _, module = (node.module or "").partition(".")
        if node.level or root not in _ROOTS:
            if not node.level:
                self._collection(root, node.lineno)
            return
        start = self._offset(node.lineno, node.col_offset)
        opening = re.compile(r"from(?:\s|\\)+").match(self.text, start)
        if root == _OLD and opening and self.text.startswith(_OLD, opening.end()):
            self.edits[opening.end()] = Edit(_OLD, _NEW)
        for alias in node.names:
            self._imported(alias, module)

    def _imported(self, alias: ast.alias, module: str) -> None:
        if alias.name == "*":
            return
        dotted = f"{module}.{alias.name}".strip(".")
        here = alias.asname or alias.name
        self.ours[here] = dotted
        if why := self._missing(dotted):
            self.looks.append(Look(alias.lineno, f"Surefoot has no `surefoot.{dotted}`: {why}."))
        elif new := names.renamed(dotted):
            if alias.asname or not {here, new} & self.bound:
                self._replace(alias, alias.name, new)
                if not alias.asname:
                    self.moved[here] = new
                    self.ours[new] = dotted
            else:
                self._replace(alias, alias.name, f"{new} as {here}")

    def _collection(self, root: str, line: int) -> None:
        if root.startswith("prefect_"):
            told = f"Surefoot has no counterpart of `{root}`: call the library that it wraps in a task."
            self.looks.append(Look(line, told))

    def _missing(self, dotted: str) -> str | None:
        last = dotted.rpartition(".")[2]
        before = dotted.removesuffix(last)
        if any(dotted == f"{before}{new}" for new in ("surefoot_test_harness", "SurefootError")):
            return None
        return names.missing(dotted)

    # -- what is made of them

    def _decorated(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            known = self._known(called)
            if known and known.rpartition(".")[2] in ("flow", "task"):
                self.kinds[node.name] = known.rpartition(".")[2]

    def _attribute(self, node: ast.Attribute) -> None:
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        known = self._known(node)
        if known is None or not isinstance(root, ast.Name):
            return
        if why := self._missing(known):
            self.looks.append(Look(node.lineno, f"Surefoot has no `{_shown(node)}`: {why}."))
        elif new := names.renamed(known) or (names.awaited(known) if id(node) in self.awaited else None):
            end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
            self._edit(end - len(node.attr), node.attr, new, node.lineno)

    def _known(self, node: ast.expr) -> str | None:
        """What an expression is, `prefect.` left out: what was imported, an attribute of it or of a decorated one."""
        if isinstance(node, ast.Name):
            return None if id(node) in self.shadowed else self.ours.get(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        of = node.value.id if isinstance(node.value, ast.Name) and id(node.value) not in self.shadowed else ""
        if of in self.kinds and of not in self.ours:
            return f"{self.kinds[of]}.{node.attr}"
        above = self._known(node.value)
        return None if above is None else f"{above}.{node.attr}".strip(".")

    def _options(self, node: ast.Call) -> None:
        known = self._known(node.func)
        if known and known.endswith(".with_options"):
            known = known.removesuffix(".with_options")
        options = names.options_of(known) if known else None
        for keyword in node.keywords if options is not None else ():
            if keyword.arg is not None and keyword.arg not in (options or ()):
                told = f"`{_shown(node.func)}` has no option {keyword.arg!r}, and refuses it."
                self.looks.append(Look(keyword.value.lineno, told))
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            if keyword.arg == "result_storage" and isinstance(value, str) and is_block(value):
                told = f"result_storage={value!r} names a block, and there are none here: name what it stores in"
                self.looks.append(Look(keyword.value.lineno, f"{told}, such as s3://BUCKET/FOLDER."))

    # -- texts

    def _texts(self) -> None:
        types = {id(node) for node in _texts_of_types(self.nodes)}
        modules, variables = set(), set()
        for node in self.nodes:
            if isinstance(node, ast.Call) and node.args:
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                modules |= {id(node.args[0])} if called in _NAMES_MODULE else set()
                variables |= {id(node.args[0])} if called in _NAMES_VARIABLE else set()
            elif isinstance(node, ast.Subscript):
                variables.add(id(node.slice))
            elif isinstance(node, ast.Dict):
                variables |= {id(key) for key in node.keys}
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                variables.add(id(node.left))
        for node in self.nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if OLD_TEMPLATE.search(node.value):
                    self._template(node)
                elif id(node) in types:
                    self._type(node, node.value)
                elif is_variable(node.value):
                    self._variable(node, node.value, id(node) in variables)
                elif re.fullmatch(r"prefect(\.\w+)+", node.value):
                    self._module(node, node.value, id(node) in modules)

    def _variable(self, node: ast.Constant, name: str, is_one: bool) -> None:
        new, look = variable(name)
        if new is not None and is_one:
            self._inside(node, name, new)
        elif new is not None:
            look = f"If this text is the name of a variable, write {new}."
        if look:
            self.looks.append(Look(node.lineno, look))

    def _module(self, node: ast.Constant, name: str, is_one: bool) -> None:
        new = f"{_NEW}{name.removeprefix(_OLD)}"
        if is_one:
            self._inside(node, name, new)
        else:
            self.looks.append(Look(node.lineno, f"If this text names a part of Prefect, write {new!r}."))

    def _template(self, node: ast.Constant) -> None:
        start = self._offset(node.lineno, node.col_offset)
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        for place in OLD_TEMPLATE.finditer(self.text, start, end):
            self.edits[place.start("old")] = Edit(_OLD, _NEW)

    def _type(self, node: ast.Constant, text: str) -> None:
        new = re.sub(r"(?<![\w.])prefect(?=\.\w)", self.moved.get(_OLD, _OLD), text)
        if new != text:
            self._inside(node, text, new)

    def _inside(self, node: ast.Constant, old: str, new: str) -> None:
        start = self._offset(node.lineno, node.col_offset)
        opening = re.compile(_OPENING).match(self.text, start)
        self._edit(opening.end() if opening else start, old, new, node.lineno)

    # -- places

    def _replace(self, node: ast.alias | ast.Name, old: str, new: str) -> None:
        self._edit(self._offset(node.lineno, node.col_offset), old, new, node.lineno)

    def _edit(self, start: int, old: str, new: str, line: int) -> None:
        # Before Python 3.12 the places of what stands in an f-string are not to be relied on.
        if (
            re.compile(rf"{re.escape(old)}(?!\w)").match(self.text, start)
            and not self.text[start - 1 : start].isalnum()
        ):
            self.edits[start] = Edit(old, new)
        else:
            self.looks.append(Look(line, f"`{old}` was not found where Python says that it is: write `{new}`."))

    def _offset(self, line: int, column: int) -> int:
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        return start + len(self.text[start:end].encode("utf-8", "surrogatepass")[:column].decode("utf-8", "ignore"))


def _bound_otherwise(nodes: list[ast.AST]) -> Iterator[str]:
    """Names that something else than an import of Prefect, or of Surefoot, gives a meaning to."""
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, _NAMED):
            yield node.name or ""
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        elif isinstance(node, ast.Import):
            aliases = [alias for alias in node.names if alias.name.partition(".")[0] not in _ROOTS]
            yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] not in _ROOTS):
            yield from (alias.asname or alias.name for alias in node.names)


def _texts_of_types(nodes: list[ast.AST]) -> Iterator[ast.Constant]:
    """Texts that stand for types: `flow_run: "prefect.client.schemas.objects.FlowRun"`."""
    for node in nodes:
        for name in ("annotation", "returns"):
            inner = getattr(node, name, None)
            for each in ast.walk(inner) if isinstance(inner, ast.expr) else ():
                if isinstance(each, ast.Subscript) and ast.unparse(each.value).endswith("Literal"):
                    break  # those are values
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each


def _shown(node: ast.expr) -> str:
    return re.sub(r"^prefect\b", _NEW, ast.unparse(node))
