"""Types of fields that several models share, and the checks behind them.

The messages raised here are shown as they are; none repeats a value that could be a secret.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from .endpoint import AddressError, parse_address, parse_host
from .errors import ConfigError, Location, ParamError
from .files.paths import absolute_path
from .files.regular_file import PEM_LIMIT, FileFault, is_pem, read_regular
from .masked import MASK, SecretText, as_given, without_pairs
from .names import some, suggest_field
from .text import IN_QUOTES, UNEXPANDED, has_placeholder, is_quoted, unprintable

DAY = 86_400.0
_UNREADABLE = "cannot be read: "
_SURROGATES = re.compile("[\ud800-\udfff]")
MANY = 1000
"""Elements of an array at most."""
_PING_LEAST = 5
_TEXT_MAX = 1 << 16


def invalid(message: str, hint: str | None = None, *, in_call: str | None = None) -> PydanticCustomError:
    """A finding with a text of our own; ``in_call`` is the hint where the value stands in a call."""
    # PydanticCustomError formats its message as a template.
    context = {"message": message, "hint": hint, "in_call": in_call or hint}
    return PydanticCustomError("invalid", "{message}", context)


def _final(text: str) -> str:
    if has_placeholder(text):
        raise invalid("contains ${…}", UNEXPANDED)
    if is_quoted(text):
        raise invalid("stands in quotes", IN_QUOTES)
    return text


def _plain_ascii(text: str) -> str:
    _final(text)
    # These travel as gRPC metadata, which takes printable ASCII only.
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise invalid("must be printable ASCII without spaces")
    return text


def _printable(text: str) -> str:
    if not text:
        raise invalid("must not be empty")
    if (char := unprintable(text)) is not None:
        raise invalid(f"contains {char}")
    return text


def _encodable(text: str) -> str:
    # What the environment holds that is not UTF-8 arrives as lone surrogates, which nothing can print.
    if _SURROGATES.search(text):
        raise invalid("must be text in UTF-8")
    return text


def _absolute_path(path: str) -> str:
    if has_placeholder(path):
        raise invalid("contains ${…}", f"{UNEXPANDED}; ~ is the home directory")
    try:
        return absolute_path(_printable(path), base=os.curdir)
    except ConfigError as error:
        raise invalid(error.message, error.hint) from None


def _pem(path: str, info: ValidationInfo) -> str:
    """An absolute path that, unless the context says ``check_files=False``, is a readable PEM file."""
    path = _absolute_path(path)
    if info.context and info.context.get("check_files") is False:
        return path
    try:
        content = read_regular(path, PEM_LIMIT).content
    except FileFault as fault:
        reason = fault.reason.removeprefix(_UNREADABLE)
        message = f"{path} {reason}" if reason == fault.reason else f"cannot read {path}: {reason}"
        raise invalid(message) from None
    if not is_pem(content):
        raise invalid(f"{path} is not a PEM file (no line of it begins a certificate or a key)")
    return path


def _host(text: str) -> str:
    try:
        return parse_host(_final(text))
    except AddressError as error:
        raise invalid(error.message, error.hint) from None


def _proxy(text: str) -> str:
    if not text.lower().startswith("http://"):
        raise invalid("must be http://HOST:PORT (gRPC reaches proxies by HTTP CONNECT only)")
    try:
        address = parse_address(text)
    except AddressError as error:
        raise invalid(error.message, error.hint) from None
    if address.database is not None:
        raise invalid("must be http://HOST:PORT without a path")
    if not re.search(r":[0-9]+/?$", text):
        raise invalid("must name its port: http://HOST:PORT")
    return address.endpoint().uri


def as_tuple(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and len(value) > MANY:
        # Each element that is wrong would be a finding of its own.
        raise invalid(f"has more than {MANY} elements")
    return tuple(value) if isinstance(value, list) else value


def as_boolean(value: Any) -> Any:
    # Literal[True] compares by equality, and 1 == True.
    if not isinstance(value, bool):
        raise PydanticCustomError("bool_type", "must be a boolean")
    return value


def _ping_interval(seconds: float) -> float:
    if seconds < _PING_LEAST:
        raise invalid("keepalive.time is below 5 seconds, the least that a Milvus server permits")
    return seconds


def _schema(**keywords: Any) -> Any:
    """What of a check the JSON Schema can say too; the messages stay those of the check."""
    return Field(json_schema_extra=keywords)


_PRINTED = _schema(minLength=1, pattern=r"^[^\u0000-\u001f\u007f]+$")
PEMPath = Annotated[str, AfterValidator(_pem), _PRINTED]
AbsolutePath = Annotated[str, AfterValidator(_absolute_path), _PRINTED]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, le=DAY, allow_inf_nan=False)]
SecondsOrZero = Annotated[float, Field(ge=0, le=DAY, allow_inf_nan=False)]
PingInterval = Annotated[
    float, Field(le=DAY, allow_inf_nan=False), AfterValidator(_ping_interval), _schema(minimum=_PING_LEAST)
]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, AfterValidator(_host), _schema(pattern=r"^[^\s/@]+$")]
Proxy = Annotated[str, AfterValidator(_proxy), _schema(pattern=r"^[Hh][Tt][Tt][Pp]://[^/@\s]+:[0-9]+/?$")]
Metadatum = Annotated[str, AfterValidator(_plain_ascii), _schema(pattern="^[!-~]+$")]
"""What travels as gRPC metadata."""
Text = Annotated[str, AfterValidator(_printable), AfterValidator(_final), _PRINTED]
AnyText = Annotated[str, AfterValidator(_encodable)]


_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_KINDS = {
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "tuple_type": "must be an array of texts",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "model_attributes_type": "must be a table",
    "invalid_key": "is no name of a field",
    "finite_number": "must be a finite number",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "too_short": "must not be empty",
    "string_unicode": "must be text in UTF-8",
}


def wording(finding: Any, name: str) -> str:
    """What is wrong with a field, in words of ours.

    Args:
        finding: one of pydantic's ``errors()``.
        name: the field, dotted.
    """
    kind: str = finding["type"]
    context: dict[str, Any] = finding.get("ctx", {})
    if kind in ("conflict", "invalid"):
        message: str = context["message"]
        return (
            message
            if kind == "conflict" or not name or re.match(rf"{re.escape(name.split('.')[0])}[. ]", message)
            else (f"{name}: {message}")
        )
    if kind == "missing":
        return f"{name} is missing"
    if kind == "literal_error":
        message = f"{name} must be {context['expected']}".replace("'", '"').replace("True", "true")
        return message.replace("False", "false")
    if kind == "string_pattern_mismatch":
        return "the alias is not valid" if name.split(".")[-1] == "alias" else f"{name} is not the name of a variable"
    if kind in _KINDS:
        return f"{name} {_KINDS[kind]}"
    return f"{name} {_limit(context, name) or 'is not valid'}"  # never in words of pydantic's


def _limit(context: dict[str, Any], name: str) -> str | None:
    limit = next((key for key in _BOUNDS if key in context), None)
    if limit is None:
        return None
    if name.split(".")[-1] in ("port", "management_port"):
        return "must be a number from 1 to 65535"
    return f"must be {_BOUNDS[limit]} {context[limit]:g}"


def fields_in(place: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    """The keys that lead to what is wrong: pydantic's place without the tags of unions, ``<table>``."""
    tags = place[:-1] if kind == "extra_forbidden" else place  # the last is the key then, whatever it looks like
    return (*(part for part in tags if not (isinstance(part, str) and part.startswith("<"))), *place[len(tags) :])


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _Refusing
else:

    class _Refusing(type(BaseModel)):
        """Has a program that makes a model of wrong values get an error of this package."""

        def __call__(cls, *args: Any, **values: Any) -> Any:
            if args:
                args = ()  # a traceback may show the locals of its frames
                values.clear()
                raise _by_place(cls)
            try:
                return super().__call__(**values)
            except ValidationError as error:
                fault = error.with_traceback(None)
            values.clear()  # as above
            refusal = _refusal(cls, fault)
            del fault
            raise refusal


def _by_place(model: Any) -> ParamError:
    names = tuple(model.model_fields)
    return ParamError(
        "takes its fields by name, and one stands there without",
        hint=f"write {model.__name__}({names[0]}=…); its fields are {some(names)}",
        location=Location(model.__name__),
    )


def _refusal(model: Any, fault: ValidationError) -> ParamError:
    found = fault.errors(include_url=False, include_input=False)
    # What is misspelled explains what is missing.
    first, *more = sorted(found, key=lambda one: one["type"] != "extra_forbidden")
    context = first.get("ctx", {})
    hint: str | None = context.get("in_call") or context.get("hint")
    place = fields_in(first["loc"], first["type"])
    if first["type"] == "extra_forbidden":
        near = suggest_field(str(place[-1]), _fields_of(model, place[:-1]))
        message = f"unknown field {as_given(str(place[-1]))!a}"
        hint = f"did you mean {near!r}?" if near else hint
    else:
        message = wording(first, ".".join(str(part) for part in place))
    rest = f"{len(more)} more" if more else None
    return ParamError(message, hint="; ".join(filter(None, (hint, rest))) or None, location=Location(model.__name__))


def _fields_of(model: Any, place: tuple[Any, ...]) -> Iterable[str]:
    """The fields of a model, or of one in a field of it."""
    for name in place:
        left = [model.model_fields[name].annotation] if name in model.model_fields else []
        found: list[Any] = []
        while left:
            one = left.pop()
            found += [one] if isinstance(one, type) and issubclass(one, Model) else []
            left += get_args(one)
        model = found[0] if found else Model
    return tuple(model.model_fields)


class Model(BaseModel, metaclass=_Refusing):
    """Base of all models: immutable, strict, no unknown keys, no endless texts, and no input in its errors."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, str_max_length=_TEXT_MAX
    )


def table(name: str, model: type[Model], *, flag: bool = False, without: tuple[str, ...] = ()) -> BeforeValidator:
    """Refuses, in words that say what is wanted, what is no table of a model.

    Args:
        name: the field.
        model: what its table is.
        flag: whether true and false may stand there too.
        without: fields of the model that the table has not.
    """
    keys = [key for key in model.model_fields if key not in without]
    example = model.model_fields[keys[0]].default
    example = "PATH" if example is None else example
    wanted = f"{name} must be {'true or false, or ' if flag else ''}a table with {some(keys)}"
    in_file = f"such as {name} = {{ {keys[0]} = {json.dumps(example)} }}"
    in_call = f"such as {name}={model.__name__}({keys[0]}={example!r})"

    def check(value: Any) -> Any:
        if isinstance(value, (dict, model)) or (flag and isinstance(value, bool)):
            return value
        raise invalid(wanted, in_file, in_call=in_call)

    return BeforeValidator(check)


def rows_of(model: Model, prefix: str = "") -> list[tuple[str, str]]:
    """The fields of a model that were set, those of tables in it one by one, with texts that may be shown."""
    rows = []
    for name, value in model.__repr_args__():
        if name is None or name not in model.model_fields_set or value is None:
            continue
        if isinstance(value, Model):
            rows += rows_of(value, f"{prefix}{name}.")
        else:
            text = MASK if isinstance(value, SecretText) else without_pairs(str(value))
            rows.append((f"{prefix}{name}", text))
    return rows


def conflict(
    fields: tuple[str, ...], message: str, hint: str | None = None, remedy: str | None = None
) -> PydanticCustomError:
    """A fault between fields; ``fields`` names them, the first being where the error points (see config/invalid.py).

    ``remedy`` follows the hint: ``FIELD=VALUE`` to be set, or ``FIELD`` to be taken away, where that stands.
    """
    context = {"message": message, "fields": fields, "hint": hint, "remedy": remedy}
    return PydanticCustomError("conflict", "{message}", context)
