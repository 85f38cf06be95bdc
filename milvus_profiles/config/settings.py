"""The root settings and the environment.

What is more than text is judged by pydantic-settings (:mod:`.settings_model`), which takes as long to import as a fifth
of everything that connecting imports: a text that :func:`_check` let through is what it is, whoever looks at it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from .documents import Document
from .environment import EnvironmentLayer, read_environment
from .fields import MAX_CONNECTIONS
from .locations import home_directory
from .permissions import refusal

__all__ = ["Settings", "load_settings"]


@dataclass(frozen=True)
class Settings:
    """What holds for all profiles.

    Attributes:
        default_profile: the profile that is taken when nothing names one; that of the nearest file.
        max_connections: live connections at once, at most 65,536; the lowest that a file gives.
        keyring_backends: keyring backends allowed beside the operating systems' own, by dotted name.
        profile: ``MILVUS_PROFILE``.
        environment: what the environment says about profiles.
    """

    default_profile: str | None = None
    max_connections: int = MAX_CONNECTIONS
    keyring_backends: list[str] = field(default_factory=list)
    profile: str | None = None
    environment: EnvironmentLayer = field(default_factory=EnvironmentLayer)


_TEXTS = {"default_profile"}


def _from_environment(env: Mapping[str, str], cwd: str) -> dict[str, Any]:
    """The settings that variables make."""
    found: dict[str, Any] = {"environment": read_environment(env, cwd)}
    if name := env.get("MILVUS_PROFILE"):
        found["profile"] = name
    return found


def _from_files(documents: tuple[Document, ...]) -> dict[str, Any]:
    """The settings that files make, strongest first."""
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
    roots = [(document.role, repr(document.root), document.mode) for document in documents]
    digest = _digest(env)
    # The home directory may be one, and none after a chmod, without a variable's changing.
    key = (digest, home_directory(env) if digest else None, cwd, *roots)
    if (known := _CACHE.get(key)) is not None:
        return known
    found = _from_environment(env, cwd), _from_files(documents)
    if found[1].keys() <= _TEXTS:
        settings = Settings(**found[0], **found[1])
    else:
        from .settings_model import validated

        settings = Settings(**validated(*found))
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
