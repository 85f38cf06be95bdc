"""The environment as a layer, ``MILVUS_PROFILES__<ALIAS>__<FIELD>`` and the ``MILVUS_URI`` family; the root settings.

pydantic-settings' own environment source lower-cases keys, makes phantom profiles of aliases with separators and passes
over variables that it does not know; here variables are matched against the declared names, and others refused.  Root
settings that are more than text are judged by it (:mod:`.schema`); to import it takes as long as a fifth of everything
that connecting imports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, Location
from ..files.paths import home_directory
from ..masked import SecretText
from ..names import check_alias, fold_alias, suggest, suggest_field
from ..text import milvus_profiles
from .aliases import is_service_link
from .documents import Document, refusal
from .fields import FIELDS, MAX_CONNECTIONS, SECRET_FIELDS, read_text
from .fields import field as field_of
from .values import Origin, Raw, Value, resolved_paths

PREFIX = "MILVUS_PROFILES__"
CONTROL = ("MILVUS_PROFILE", "MILVUS_PROFILES_FILE", "MILVUS_PROFILES_KEYRING_TIMEOUT", "MILVUS_PROFILES_EXEC")
"""Variables that select, tune and mark; they declare nothing."""

_FAMILY: dict[str, tuple[str, ...]] = {
    "MILVUS_URI": ("uri",),
    "MILVUS_CONN_ALIAS": (),
    "MILVUS_TOKEN": ("token",),
    "MILVUS_TOKEN_FILE": ("token", "file"),
    "MILVUS_USER": ("user",),
    "MILVUS_PASSWORD": ("password",),
    "MILVUS_DB": ("db_name",),
    "MILVUS_DB_NAME": ("db_name",),
    "MILVUS_ALLOW_INSECURE": ("allow_insecure",),
}
FAMILY = tuple(_FAMILY)
"""Variables that many Milvus tools read; without MILVUS_URI they declare nothing and are ignored."""


@dataclass(frozen=True, slots=True)
class EnvironmentLayer:
    """What the environment says about profiles.

    Attributes:
        fields: folded alias to the fields that its variables set.
        names: folded alias to the alias as it is spelled when no file declares it.
        uri_alias, uri_fields: the profile that ``MILVUS_URI`` declares.
        ignored: names of the family that mean nothing because ``MILVUS_URI`` is not set.
    """

    fields: dict[str, Raw] = field(default_factory=dict, repr=False)
    names: dict[str, str] = field(default_factory=dict)
    uri_alias: str | None = None
    uri_fields: Raw = field(default_factory=dict, repr=False)
    ignored: tuple[str, ...] = ()


def read_environment(env: Mapping[str, str], cwd: str) -> EnvironmentLayer:
    """Read the layer; an empty value counts as unset, and relative paths count from ``cwd``.

    A variable that is misspelled, is not of its field's type, or contradicts another is a ConfigError.
    """
    fields: dict[str, Raw] = {}
    names: dict[str, str] = {}
    spelled: dict[tuple[str, tuple[str, ...]], str] = {}
    for variable, alias, path in _variables(env):
        key = fold_alias(alias)
        names.setdefault(key, alias)
        form = _field_path(variable, path)
        if (other := spelled.setdefault((key, form), variable)) != variable:
            raise _contradiction(other, variable)
        raw = fields.setdefault(key, {})
        raw[form] = Value(_read(variable, form, env), Origin("environment", variable))
        _check_forms(raw, form[0])
    family, ignored, uri_alias = _family(env)

    def home() -> str:
        return home_directory(env) or ""

    return EnvironmentLayer(
        {key: resolved_paths(raw, cwd, home) for key, raw in fields.items()},
        names,
        uri_alias,
        resolved_paths(family, cwd, home),
        ignored,
    )


def _variables(env: Mapping[str, str]) -> Iterator[tuple[str, str, list[str]]]:
    for variable in sorted(env):
        if not variable.startswith("MILVUS_PROFILES") or variable in CONTROL or not env[variable]:
            continue
        if is_service_link(variable, env[variable]):
            continue
        if not variable.startswith(PREFIX):
            near = None if "__" in variable else suggest(variable, CONTROL)
            raise ConfigError(
                "is not a variable of milvus-profiles",
                hint=f"did you mean {near}?" if near else f"fields are set by {PREFIX}ALIAS__FIELD",
                location=Location(variable),
            )
        alias, *path = variable[len(PREFIX) :].split("__")
        if not alias or not path or not all(path) or len(path) > 2:
            raise ConfigError(
                "does not name an alias and a field",
                hint=f"write {PREFIX}ALIAS__FIELD or {PREFIX}ALIAS__FIELD__KEY, such as {PREFIX}PROD__URI",
                location=Location(variable),
            )
        try:
            check_alias(alias.lower())
        except ConfigError as error:
            raise ConfigError(error.message, hint=error.hint, location=Location(variable)) from None
        yield variable, alias.lower(), [part.lower() for part in path]


def _field_path(variable: str, path: list[str]) -> tuple[str, ...]:
    """The field that a variable sets; ``token_file`` is another name of ``token.file``."""
    if len(path) == 1 and path[0] in {f"{name}_file" for name in SECRET_FIELDS}:
        return path[0].removesuffix("_file"), "file"
    try:
        field_of(tuple(path))
    except ConfigError as error:
        known = (*FIELDS, *(f"{name}_file" for name in SECRET_FIELDS))
        near = suggest_field(path[0], known)
        prefix = variable[: len(variable) - len("__".join(path))]
        if len(path) == 1 and near:
            hint = f"did you mean {prefix}{near.upper()}?"
        elif len(path) == 2 and path[0] in FIELDS and (leaf := suggest(path[1], field_of((path[0],)).keys)):
            hint = f"did you mean {prefix}{path[0].upper()}__{leaf.upper()}?"
        else:
            hint = error.hint or f"the fields are {', '.join(name.upper() for name in known)}"
        raise ConfigError(error.message, hint=hint, location=Location(variable)) from None
    return tuple(path)


def _read(variable: str, path: tuple[str, ...], env: Mapping[str, str]) -> object:
    try:
        return read_text(path, env[variable])
    except ConfigError as error:
        message, hint = error.message, error.hint or "give the variable such a value, or unset it"
    raise ConfigError(message, hint=hint, location=Location(variable))


def _check_forms(raw: Raw, head: str) -> None:
    """A literal and a reference for one secret, or a scalar and a table for one field, contradict each other."""
    leaves = {path: value for path, value in raw.items() if path[0] == head}
    scalar = leaves.pop((head,), None)
    if scalar is not None and leaves:
        if scalar.value is True:
            del raw[head,]  # true beside its own table says nothing more than the table
        else:
            raise _contradiction(str(scalar.origin), str(next(iter(leaves.values())).origin))
    forms = [value for path, value in leaves.items() if head in SECRET_FIELDS and path[1] != "pass_env"]
    if len(forms) > 1:
        raise _contradiction(str(forms[0].origin), str(forms[1].origin))


_TWICE = "say the same thing twice"


def _contradiction(first: str, second: str, fault: str = _TWICE) -> ConfigError:
    return ConfigError(
        f"{first} and {second} are both set and {fault}",
        hint="unset one of them",
        location=Location(second),
    )


def _family(env: Mapping[str, str]) -> tuple[Raw, tuple[str, ...], str | None]:
    present = [name for name in FAMILY if env.get(name)]
    if "MILVUS_URI" not in present:
        return {}, tuple(present), None
    alias = env.get("MILVUS_CONN_ALIAS") or "default"
    try:
        check_alias(alias)
    except ConfigError as error:
        raise ConfigError(error.message, hint=error.hint, location=Location("MILVUS_CONN_ALIAS")) from None
    for first, second in (("MILVUS_TOKEN", "MILVUS_TOKEN_FILE"), ("MILVUS_DB", "MILVUS_DB_NAME")):
        if first in present and second in present and not (first == "MILVUS_DB" and env[first] == env[second]):
            raise _contradiction(first, second, "differ" if first == "MILVUS_DB" else _TWICE)
    whole_token = "MILVUS_TOKEN" in present or "MILVUS_TOKEN_FILE" in present
    raw: Raw = {}
    for variable in present:
        path = _FAMILY[variable]
        if path and not (whole_token and path[0] in ("user", "password")) and path not in raw:
            raw[path] = Value(_read(variable, path, env), Origin("environment", variable))
    return raw, (), alias


_ADDRESSES = ("MILVUS_ADDRESS", "MILVUS_URL", "MILVUS_HOST", "MILVUS_ENDPOINT", "ZILLIZ_URI")


def idle_addresses(env: Mapping[str, str]) -> list[str]:
    """What looks as if it declared a profile, and does not, as a sentence with the remedy; empty where nothing does."""
    names = [name for name in _ADDRESSES if env.get(name)]
    if not names or env.get("MILVUS_URI"):
        return []
    means = "means" if len(names) == 1 else "mean"
    other = milvus_profiles("import", "--from", "env")
    return [f"{' and '.join(names)} {means} nothing here: set MILVUS_URI, or see {other}"]


def secret_values(raw: Raw) -> list[Value]:
    """The values that carry or point to a secret of the environment, keyring entries left out."""
    return [
        value
        for path, value in raw.items()
        if path[0] in SECRET_FIELDS and path[1:2] != ("keyring",) and isinstance(value.value, (SecretText, str, list))
    ]


@dataclass(frozen=True)
class Settings:
    """What holds for all profiles.

    Attributes:
        default_profile: the profile that is taken when nothing names one; that of the nearest file.
        max_connections: live connections at once; the lowest that a file gives.
        keyring_backends: keyring backends allowed beside the operating systems' own, by dotted name.
        profile: ``MILVUS_PROFILE``.
    """

    default_profile: str | None = None
    max_connections: int = MAX_CONNECTIONS
    keyring_backends: list[str] = field(default_factory=list)
    profile: str | None = None
    environment: EnvironmentLayer = field(default_factory=EnvironmentLayer)


def _from_files(documents: tuple[Document, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for document in documents:
        for key, value in document.root.items():
            if key == "max_connections" and isinstance(value, int) and isinstance(found.get(key), int):
                found[key] = min(found[key], value)
            elif key == "keyring_backends" and refusal(document) is not None:
                continue  # it says where secrets go, and everybody may have written it
            else:
                found.setdefault(key, value)
    return found


def load_settings(env: Mapping[str, str], cwd: str, documents: tuple[Document, ...]) -> Settings:
    """The root settings of the environment and the files in force, strongest first; ConfigError if one is wrong."""
    for document in documents:
        _check(document)
    # Of the files only what stands in their roots counts, not the files themselves, which may be large.
    roots = [(document.role, repr(document.root), document.mode) for document in documents]
    digest = _digest(env)
    # The home directory may be one, and none after a chmod, without a variable's changing.
    key = (digest, home_directory(env) if digest else None, cwd, *roots)
    if (known := _CACHE.get(key)) is not None:
        return known
    variables: dict[str, Any] = {
        "environment": read_environment(env, cwd),
        "profile": env.get("MILVUS_PROFILE") or None,
    }
    found = _from_files(documents)
    if found.keys() <= {"default_profile"}:
        settings = Settings(**variables, **found)
    else:
        from .schema import validated

        settings = Settings(**validated(variables, found))
    if len(_CACHE) >= _CACHE_SIZE:
        _CACHE.clear()
    _CACHE[key] = settings
    return settings


# Programs connect more often than variables change, and pydantic-settings takes longer for this than gRPC for opening
# a channel.
_CACHE: dict[tuple[object, ...], Settings] = {}
_CACHE_SIZE = 4


def _digest(env: Mapping[str, str]) -> bytes:
    """Tells one environment from another, as far as settings come from it; a digest, since it may hold secrets.

    The home directory is another matter: it is looked at.
    """
    names = [name for name in env if name.startswith("MILVUS_")]
    if not names:  # as most are
        return b""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{len(name)} {name} {len(env[name])} {env[name]}".encode("utf-8", "surrogatepass"))
    return digest.digest()


_WANTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "default_profile": (lambda v: isinstance(v, str), "must be the alias of a profile, in quotes"),
    "max_connections": (
        lambda v: isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= MAX_CONNECTIONS,
        f"must be a whole number from 1 to {MAX_CONNECTIONS}",
    ),
    "keyring_backends": (
        lambda v: isinstance(v, list) and all(isinstance(name, str) for name in v),
        "must be an array of dotted names in quotes",
    ),
}


def _check(document: Document) -> None:
    """Every file's root is checked, also where a stronger file hides the value."""
    for key, value in document.root.items():
        valid, message = _WANTED[key]
        if not valid(value):
            raise ConfigError(f"{key} {message}", location=document.location((key,), at="value"))
