"""Parameters: values checked and coerced by their annotations, before anything runs. The door to pydantic.

A value that is already exactly of its plain annotated type is accepted as it is, as pydantic would accept it; only when
there is more to check is pydantic imported. Values of secrets are told to nobody. May import: core, docstrings.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from surefoot.core.errors import BadInput, ParameterTypeError
from surefoot.engine.docstrings import parameter_texts

if TYPE_CHECKING:
    import inspect

__all__ = ["ParameterSchema", "Validate", "hidden_in", "schema_of", "validator_of"]

Validate = Callable[[dict[str, Any]], dict[str, Any]]

_PLAIN: Final[dict[Any, type]] = {
    int: int,
    float: float,
    str: str,
    bool: bool,
    None: type(None),
    type(None): type(None),
}
_NAMES: Final = {"int": int, "float": float, "str": str, "bool": bool, "None": type(None)}


class SignatureTypeError(BadInput, ValueError):
    """A signature has an annotation that pydantic cannot check."""


def validator_of(fn: Callable[..., Any], name: str, signature: inspect.Signature) -> Validate:
    """A function that checks and coerces the parameters of `fn`: by name, as a call has bound them, defaults included.

    It raises ParameterTypeError, with a line for each value that does not fit.
    """
    accepted = {parameter.name: _accepted(parameter) for parameter in signature.parameters.values()}
    full: list[Validate] = []

    def validate(parameters: dict[str, Any]) -> dict[str, Any]:
        for parameter, value in parameters.items():
            kinds = accepted[parameter]
            if kinds is not None and type(value) not in kinds:
                break
        else:
            return parameters
        if not full:
            full.append(_pydantic_validator(fn, name, signature))
        return full[0](parameters)

    return validate


def _accepted(parameter: inspect.Parameter) -> frozenset[type] | None:
    """The exact types that need no look by pydantic; None if any value is as good as the other."""
    annotation = parameter.annotation
    if any(annotation is anything for anything in (parameter.empty, Any, object)):
        return None
    if isinstance(annotation, str) and annotation in ("Any", "object"):
        return None
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return frozenset()
    if isinstance(annotation, str):
        parts: tuple[Any, ...] = tuple([_NAMES.get(part.strip()) for part in annotation.split("|")])
    else:
        is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
        members = typing.get_args(annotation) if is_union else (annotation,)
        parts = tuple([_PLAIN.get(member) if _is_hashable(member) else None for member in members])
    return frozenset() if None in parts else frozenset(parts)


def _is_hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _pydantic_validator(fn: Callable[..., Any], name: str, signature: inspect.Signature) -> Validate:
    import pydantic

    fields: dict[str, Any] = {}
    for parameter, annotation in _field_types(fn, signature):
        if _is_of_pydantic_1(annotation):
            raise SignatureTypeError(
                f"The parameters of flow {name!r} cannot be checked: {parameter.name!r} is a model of pydantic 1.",
                do="Derive it from the BaseModel of pydantic 2, or pass validate_parameters=False.",
            )
        # Fields get names of their own: a parameter may be called `schema`, or begin with an underscore.
        default = {} if parameter.default is parameter.empty else {"default": parameter.default}
        fields[f"p{len(fields)}"] = (annotation, pydantic.Field(alias=parameter.name, **default))
    try:
        model = _model(f"{name} parameters", fields)
    except Exception as error:
        raise SignatureTypeError(
            f"The parameters of flow {name!r} cannot be checked: {error}",
            do="Change the annotation, or pass validate_parameters=False.",
        ) from error
    places = {parameter: f"p{number}" for number, parameter in enumerate(signature.parameters)}
    hidden = hidden_in(fn, signature)

    def validate(parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            checked = model.model_validate(parameters)
        except pydantic.ValidationError as error:
            odd = {problem["loc"][0] for problem in error.errors(include_url=False, include_context=False)}
            # A default may be of another type (`x: int = None`): it is the author's word, and is taken as it is.
            if not all(parameters[place] is signature.parameters[place].default for place in odd):  # type: ignore[index]
                raise ParameterTypeError(
                    f"Flow {name!r} got {_told(error, hidden)}.", do="Pass a value that fits, or change the annotation."
                ) from None
            fitting = {parameter: value for parameter, value in parameters.items() if parameter not in odd}
            return {**parameters, **validate(fitting)}
        return {parameter: getattr(checked, places[parameter]) for parameter in parameters}

    return validate


def _field_types(fn: Callable[..., Any], signature: inspect.Signature) -> Iterator[tuple[inspect.Parameter, Any]]:
    for parameter, found in _annotations(fn, signature):
        annotation: Any = found
        if parameter.kind is parameter.VAR_POSITIONAL:
            annotation = tuple[annotation, ...]
        elif parameter.kind is parameter.VAR_KEYWORD:
            annotation = dict[str, annotation]
        yield parameter, annotation


def _is_of_pydantic_1(annotation: Any) -> bool:
    parts = [it for it in (annotation, *typing.get_args(annotation)) if isinstance(it, type)]
    return any(base.__module__.startswith("pydantic.v1.") for part in parts for base in part.__mro__)


def _model(name: str, fields: dict[str, Any]) -> Any:
    import pydantic

    config = pydantic.ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
    return pydantic.create_model(name, __config__=config, **fields)


def _told(error: Any, hidden: frozenset[str]) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        place = ".".join(map(str, problem["loc"]))
        message = f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
        if problem["loc"][0] not in hidden:
            lines.append(f"{place}={_short(problem.get('input'))}: {message}")
        elif problem["type"] in ("value_error", "assertion_error"):  # in words of the user's own, which may quote it
            lines.append(f"{place}=**********: refused by its validator")
        else:
            lines.append(f"{place}=**********: {message}")
    return "; ".join(lines)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- as a schema ------------------------------------------------------------------------------------------------------


class ParameterSchema(dict[str, Any]):
    """The parameters of a flow as JSON schema: a dict, whose usual entries are attributes too."""

    @property
    def title(self) -> str:
        """What the schema is of: "Parameters"."""
        return str(self["title"])

    @property
    def type(self) -> str:
        """The type of the whole: "object"."""
        return str(self["type"])

    @property
    def properties(self) -> dict[str, Any]:
        """Each parameter by its name: `title`, `type`, `default`, `description`, `position` ..."""
        return dict(self["properties"])

    @property
    def required(self) -> list[str]:
        """The parameters without a default."""
        return list(self.get("required", ()))

    @property
    def definitions(self) -> dict[str, Any]:
        """The models and enumerations that the parameters refer to, by name."""
        return dict(self.get("definitions", ()))

    def model_dump(self, **_: Any) -> dict[str, Any]:
        """The schema as a plain dict."""
        return dict(self)


def schema_of(
    fn: Callable[..., Any], name: str, signature: inspect.Signature, docstring: str | None
) -> ParameterSchema:
    """The JSON schema of the parameters of `fn`. What has none in JSON, a class of the user's own, may be anything."""
    import pydantic
    import pydantic.json_schema

    class Generator(pydantic.json_schema.GenerateJsonSchema):
        ignored_warning_kinds: set[Any] = {  # noqa: RUF012  # as there
            "skipped-choice",
            "non-serializable-default",
        }

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
            return {}

    texts, hidden = parameter_texts(docstring), hidden_in(fn, signature)
    fields: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for parameter, annotation in _field_types(fn, signature):
        is_known = parameter.default is not parameter.empty and parameter.name not in hidden
        default = {"default": parameter.default} if is_known else {}
        # By places: a name may be one that a model cannot have.
        fields[f"p{len(fields)}"] = (annotation, pydantic.Field(title=parameter.name, **default))
        about = {"description": texts[parameter.name]} if parameter.name in texts else {}
        properties[parameter.name] = {"position": len(properties), **about}
    try:
        made = _model("Parameters", fields).model_json_schema(
            schema_generator=Generator, ref_template="#/definitions/{model}"
        )
    except Exception as error:
        raise SignatureTypeError(
            f"The parameters of flow {name!r} have no schema: {error}", do="Change the annotation."
        ) from error
    for number, parameter_name in enumerate(properties):
        properties[parameter_name] = {**made["properties"][f"p{number}"], **properties[parameter_name]}
    needed = [
        it.name
        for it in signature.parameters.values()
        if it.default is it.empty and it.kind not in (it.VAR_POSITIONAL, it.VAR_KEYWORD)
    ]
    schema = ParameterSchema(title="Parameters", type="object", properties=properties)
    if needed:
        schema["required"] = needed
    if "$defs" in made:
        schema["definitions"] = made["$defs"]
    return schema


# --- annotations ------------------------------------------------------------------------------------------------------


def _annotations(fn: Callable[..., Any], signature: inspect.Signature) -> Iterator[tuple[inspect.Parameter, Any]]:
    """Each parameter with what its annotation stands for; anything if it names what is not there at run time."""
    inner = _innermost(fn)
    names: dict[str, Any] = dict(getattr(inner, "__globals__", None) or {})
    cells = zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=False) if hasattr(inner, "__code__") else ()
    for name, cell in cells:
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for parameter in signature.parameters.values():
        if parameter.annotation is parameter.empty:
            yield parameter, Any
            continue
        holder = lambda: None  # noqa: E731
        holder.__annotations__ = {"it": parameter.annotation}
        try:
            yield parameter, typing.get_type_hints(holder, names, include_extras=True)["it"]
        except Exception:  # only there for the type checker
            yield parameter, Any


def _innermost(fn: Any) -> Any:
    """The function that was written where the annotations were."""
    while True:
        if isinstance(fn, partial):
            fn = fn.func
        elif hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        elif hasattr(fn, "__func__"):
            fn = fn.__func__
        elif isinstance(fn, type):
            return fn.__init__  # type: ignore[misc]
        elif not hasattr(fn, "__code__") and hasattr(type(fn).__call__, "__code__"):
            fn = type(fn).__call__
        else:
            return fn


# --- secrets ----------------------------------------------------------------------------------------------------------


def hidden_in(fn: Callable[..., Any], signature: inspect.Signature) -> frozenset[str]:
    """The parameters whose values are told to nobody: annotated as a secret of pydantic, or as what holds one."""
    unclear = {it.name for it in signature.parameters.values() if _accepted(it) == frozenset()}
    if not unclear:
        return frozenset()
    found = set()
    for parameter, annotation in _annotations(fn, signature):
        by_name = isinstance(parameter.annotation, str) and "Secret" in parameter.annotation
        if parameter.name in unclear and (by_name or _holds_secret(annotation, set())):
            found.add(parameter.name)
    return frozenset(found)


def _holds_secret(annotation: Any, seen: set[int]) -> bool:
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or id(annotation) in seen:  # who annotates by a secret has imported pydantic
        return False
    seen.add(id(annotation))
    for part in (annotation, typing.get_origin(annotation)):
        if isinstance(part, type) and issubclass(part, (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)):
            return True
    inside = list(typing.get_args(annotation))
    if isinstance(annotation, type):
        if issubclass(annotation, pydantic.BaseModel):
            model: Any = annotation
            inside += [field.annotation for field in model.model_fields.values()]
        elif hasattr(annotation, "__dataclass_fields__") or hasattr(annotation, "__total__"):
            try:
                inside += typing.get_type_hints(annotation, include_extras=True).values()
            except Exception:  # names what is only there for the type checker
                return "Secret" in str(getattr(annotation, "__annotations__", ""))
    return any(_holds_secret(part, seen) for part in inside)
