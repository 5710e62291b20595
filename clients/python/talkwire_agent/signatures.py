"""What a function takes, as the JSON Schema that a language model is shown, and back."""

from __future__ import annotations

import functools
import inspect
import json
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from talkwire_agent import docstrings

CALL = "call"
"""Name of the parameter that is given the call, and that no model sees."""
Json = dict[str, Any]


class BadArguments(ValueError):
    """What a model gave does not fit; the text says where."""


class Signature:
    """The parameters of ``function``. ``call_type``: a parameter of this type, or one that is called ``call``
    and has no other type, is given the call.

    Raises ``TypeError`` where no JSON Schema can be made of them.
    """

    def __init__(self, function: Callable[..., Any], call_type: type) -> None:
        inner = function.func if isinstance(function, functools.partial) else function
        self.name = getattr(inner, "__name__", type(inner).__name__)
        self.description, said = docstrings.read(inspect.getdoc(inner))
        self.call: str | None = None
        self._own_default: set[str] = set()
        self._names: dict[str, str] = {}
        hints = _hints(function)
        fields: dict[str, Any] = {}
        for number, (name, parameter) in enumerate(inspect.signature(function).parameters.items()):
            hint = hints.get(name, Any)
            if hint is call_type or (name == CALL and _is_call(parameter, hint, call_type)):
                self.call = name
                continue
            if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD and (
                parameter.kind is not parameter.KEYWORD_ONLY
            ):
                raise TypeError(f"tool {self.name}: {parameter} has no name that a model could give it by")
            if not isinstance(hint, str):
                fields[f"p{number}"] = self._field(name, parameter, hint, said.get(name))
                self._names[f"p{number}"] = name
        try:
            self._model = create_model(
                "Arguments", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
            )
            self.schema = _plain(self._model.model_json_schema(schema_generator=_Schema))
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
            raise TypeError(f"tool {self.name}: {error.message.splitlines()[0]}") from error

    def _field(self, name: str, parameter: inspect.Parameter, hint: Any, said: str | None) -> Any:
        given = _described(hint)
        default = parameter.default
        if isinstance(default, FieldInfo):
            hint = Annotated[hint, default]
            given = default.description or given
        elif default is not parameter.empty:
            self._own_default.add(name)
        more: Json = (
            {} if default is parameter.empty or isinstance(default, FieldInfo) else {"default": default}
        )
        if (text := given or said) is not None:
            more["description"] = text
        return hint, Field(alias=name, **more)

    def read(self, arguments: str) -> Json:
        """The arguments of a call, for the function. Raises ``BadArguments``."""
        try:
            values = self._model.model_validate_json(arguments if arguments.strip() else "{}")
        except ValidationError as error:
            raise BadArguments(_faults(error)) from None
        return {
            name: getattr(values, field)
            for field, name in self._names.items()
            if field in values.model_fields_set or name not in self._own_default
        }


class _Schema(GenerateJsonSchema):
    """A default that JSON does not have is left out of the schema without a warning."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def _is_call(parameter: inspect.Parameter, hint: Any, call_type: type) -> bool:
    if parameter.annotation is parameter.empty or hint is Any:
        return True
    # Where the type is imported for type checkers only there is but its name.
    return isinstance(hint, str) and hint.rpartition(".")[2].strip("'\"") == call_type.__name__


def _hints(function: Callable[..., Any]) -> Json:
    """The type of each parameter. One that is called ``call`` may be of a type that cannot be found."""
    if isinstance(function, functools.partial):
        return _hints(function.func)
    plain = function if inspect.isroutine(function) else getattr(function, "__call__")  # noqa: B004, B009
    plain = inspect.unwrap(getattr(plain, "__func__", plain))
    space = {**vars(typing), **getattr(plain, "__globals__", {})}
    hints: Json = {}
    for name, hint in getattr(plain, "__annotations__", {}).items():
        if name == "return":
            continue
        one = types.SimpleNamespace(__annotations__={name: hint})
        try:
            hints |= typing.get_type_hints(one, space, include_extras=True)
        except NameError as error:
            if name != CALL:
                raise TypeError(
                    f"tool {plain.__name__}: the type {hint} of {name} is not known where the module is "
                    f"loaded ({error}); define or import it at the top of the module"
                ) from error
            hints[name] = hint
    return hints


def _described(hint: Any) -> str | None:
    """The text in ``Annotated[..., "text"]``, or that of its ``Field``."""
    for more in getattr(hint, "__metadata__", ()):
        if isinstance(more, str):
            return more
        if isinstance(more, FieldInfo) and more.description:
            return more.description
    return None


def _faults(error: ValidationError) -> str:
    found = []
    for fault in error.errors(include_url=False):
        raised = fault.get("ctx", {}).get("error")
        if isinstance(raised, BaseException):
            # Pydantic holds it out of the garbage collector's sight, and it would hold the frames up to this one.
            raised.__traceback__ = None
        place = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            found.append(f"{place}: there is no such parameter")
        elif fault["type"] == "missing":
            found.append(f"{place}: is missing")
        else:
            got = json.dumps(fault["input"], ensure_ascii=False, default=str)[:100]
            found.append(f"{place}: {fault['msg']}, got {got}" if place else fault["msg"])
    return "; ".join(found)


# --- the schema, as models like it ------------------------------------------------------------------------


def _plain(schema: Json) -> Json:
    """Without titles, which say nothing, and without references, which some models do not follow; a type
    that contains itself needs them."""
    kinds = schema.get("$defs", {})
    if any(_reaches(kinds, name, name) for name in kinds):
        return typing.cast(Json, _untitled(schema))
    plain = _untitled(_inlined({key: value for key, value in schema.items() if key != "$defs"}, kinds))
    return typing.cast(Json, plain)


def _reaches(kinds: Json, start: str, target: str) -> bool:
    seen: set[str] = set()
    left = [start]
    while left:
        for name in _references(kinds[left.pop()]):
            if name == target:
                return True
            if name not in seen:
                seen.add(name)
                left.append(name)
    return False


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    here = [value["$ref"].rpartition("/")[2]] if isinstance(value.get("$ref"), str) else []
    return [*here, *(name for item in value.values() for name in _references(item))]


def _inlined(value: Any, kinds: Json) -> Any:
    if isinstance(value, list):
        return [_inlined(item, kinds) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str):
        rest = {key: item for key, item in value.items() if key != "$ref"}
        return {**_inlined(kinds[value["$ref"].rpartition("/")[2]], kinds), **rest}
    return {key: _inlined(item, kinds) for key, item in value.items()}


def _untitled(value: Any, *, names: bool = False) -> Any:
    """``names``: the keys are those of somebody, and not words of JSON Schema."""
    if isinstance(value, list):
        return [_untitled(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item
        if key in ("default", "const", "enum", "examples") and not names
        else _untitled(item, names=key in ("properties", "$defs") and not names)
        for key, item in value.items()
        if names or key != "title"
    }
