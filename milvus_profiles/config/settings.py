"""The root settings and the environment, read by pydantic-settings through sources of our own.

The built-in sources are not used: the environment source makes phantom profiles, the dotenv source lets a repository's
``.env`` in, and merging files field by field would send one file's secret to another file's address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, GetPydanticSchema
from pydantic.fields import FieldInfo
from pydantic_core import core_schema
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ..errors import ConfigError
from .documents import Document
from .environment import EnvironmentLayer, read_environment
from .locations import home_directory
from .permissions import refusal

__all__ = ["MAX_CONNECTIONS", "Settings", "load_settings"]

MAX_CONNECTIONS = 65_536
"""The most connections that the Milvus documentation allows at once."""


class Settings(BaseSettings):
    """What holds for all profiles.

    Attributes:
        default_profile: the profile that is taken when nothing names one; that of the nearest file.
        max_connections: live connections at once, at most 65,536; the lowest that a file gives.
        keyring_backends: keyring backends allowed beside the operating systems' own, by dotted name.
        profile: ``MILVUS_PROFILE``.
        environment: what the environment says about profiles.
    """

    model_config = SettingsConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    default_profile: str | None = None
    max_connections: Annotated[int, Field(ge=1, le=MAX_CONNECTIONS)] = MAX_CONNECTIONS
    keyring_backends: list[str] = []
    profile: str | None = None
    # Made by our own source, so there is nothing to validate, nor to describe to pydantic at every start.
    environment: Annotated[EnvironmentLayer, GetPydanticSchema(lambda *_: core_schema.any_schema())] = (
        EnvironmentLayer()
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the files; see the module's text for what is left out."""
        given: Any = init_settings
        env, cwd, documents = given.init_kwargs["read_from"]
        return _Environment(settings_cls, env, cwd), _Files(settings_cls, documents)


class _Source(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        raise AssertionError("the sources answer for all fields at once")


class _Environment(_Source):
    def __init__(self, settings_cls: type[BaseSettings], env: Mapping[str, str], cwd: str) -> None:
        super().__init__(settings_cls)
        self._env, self._cwd = env, cwd

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {"environment": read_environment(self._env, self._cwd)}
        if name := self._env.get("MILVUS_PROFILE"):
            found["profile"] = name
        return found


class _Files(_Source):
    def __init__(self, settings_cls: type[BaseSettings], documents: tuple[Document, ...]) -> None:
        super().__init__(settings_cls)
        self._documents = documents

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for document in self._documents:
            for key, value in document.root.items():
                if key == "max_connections" and isinstance(value, int) and isinstance(found.get(key), int):
                    found[key] = min(found[key], value)
                elif key == "keyring_backends" and refusal(document) is not None:
                    continue  # it says where secrets go, and everybody may have written it
                else:
                    found.setdefault(key, value)
        return found


def load_settings(env: Mapping[str, str], cwd: str, documents: tuple[Document, ...]) -> Settings:
    """Read the root settings.

    Args:
        env: the environment.
        cwd: what relative paths in variables count from.
        documents: the files in force, strongest first.

    Raises:
        ConfigError: a root key or a variable is wrong.
    """
    for document in documents:
        _check(document)
    # Of the files only what stands in their roots counts, not the files themselves, which may be large.
    roots = ((document.role, repr(document.root), document.mode) for document in documents)
    # The home directory may be one, and none after a chmod, without a variable's changing.
    key = (_digest(env), home_directory(env), cwd, *roots)
    if (known := _CACHE.get(key)) is not None:
        return known
    settings = Settings(read_from=(env, cwd, documents))  # type: ignore[call-arg]  # for the sources
    if len(_CACHE) >= _CACHE_SIZE:
        _CACHE.clear()
    _CACHE[key] = settings
    return settings


# Programs connect more often than variables change, and pydantic-settings takes longer for this than gRPC for opening
# a channel.
_CACHE: dict[tuple[object, ...], Settings] = {}
_CACHE_SIZE = 4


def _digest(env: Mapping[str, str]) -> bytes:
    """Tells one environment from another, as far as settings come from it; a digest, since it may hold secrets."""
    digest = hashlib.sha256()
    for name in sorted(env):
        if name.startswith("MILVUS_") or name in ("HOME", "USERPROFILE"):
            digest.update(f"{len(name)} {name} {len(env[name])} {env[name]}".encode("utf-8", "surrogatepass"))
    return digest.digest()


def _check(document: Document) -> None:
    """Every file's root is checked, also where a stronger file hides the value."""
    wanted: dict[str, tuple[Callable[[Any], bool], str]] = {
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
    for key, value in document.root.items():
        valid, message = wanted[key]
        if not valid(value):
            raise ConfigError(f"{key} {message}", location=document.location((key,), at="value"))
