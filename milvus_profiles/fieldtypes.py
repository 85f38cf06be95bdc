"""Types of fields that several models share, and the checks behind them.

The messages raised here are shown as they are; none repeats a value that could be a secret.
"""

from __future__ import annotations

import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from .endpoint import AddressError, parse_address, parse_host
from .errors import ConfigError
from .files.paths import absolute_path
from .files.regular_file import PEM_LIMIT, FileFault, read_regular

__all__ = [
    "DAY",
    "MANY",
    "AbsolutePath",
    "AnyText",
    "Host",
    "Metadatum",
    "Model",
    "PEMPath",
    "PingInterval",
    "Port",
    "Proxy",
    "Seconds",
    "SecondsOrZero",
    "Text",
    "VariableName",
    "as_boolean",
    "as_tuple",
    "invalid",
]

DAY = 86_400.0
_UNREADABLE = "cannot be read: "
_SURROGATES = re.compile("[\ud800-\udfff]")
MANY = 1000
"""Elements of an array at most."""
_PING_LEAST = 5
_TEXT_MAX = 1 << 16


def invalid(message: str, hint: str | None = None) -> PydanticCustomError:
    """A finding with a text of our own."""
    # PydanticCustomError formats its message as a template.
    return PydanticCustomError("invalid", "{message}", {"message": message, "hint": hint})


def _plain_ascii(text: str) -> str:
    # These travel as gRPC metadata, which takes printable ASCII only.
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise invalid("must be printable ASCII without spaces")
    return text


def _printable(text: str) -> str:
    if not text or not text.isprintable():
        raise invalid("must not be empty or hold control characters")
    return text


def _encodable(text: str) -> str:
    # What the environment holds that is not UTF-8 arrives as lone surrogates, which nothing can print.
    if _SURROGATES.search(text):
        raise invalid("must be text in UTF-8")
    return text


def _absolute_path(path: str) -> str:
    try:
        return absolute_path(_printable(path), base=os.curdir)
    except ConfigError as error:
        raise invalid(error.message) from None


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
    if b"-----BEGIN " not in content:
        raise invalid(f"{path} is not a PEM file (it has no -----BEGIN line)")
    return path


def _host(text: str) -> str:
    try:
        return parse_host(text)
    except AddressError as error:
        raise invalid(error.message) from None


def _proxy(text: str) -> str:
    if not text.lower().startswith("http://"):
        raise invalid("must be http://HOST:PORT (gRPC reaches proxies by HTTP CONNECT only)")
    try:
        address = parse_address(text)
    except AddressError as error:
        raise invalid(error.message) from None
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
Text = Annotated[str, AfterValidator(_printable), _PRINTED]
AnyText = Annotated[str, AfterValidator(_encodable)]


class Model(BaseModel):
    """Base of all models: immutable, strict, no unknown keys, no endless texts, and no input in its errors."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, str_max_length=_TEXT_MAX
    )
