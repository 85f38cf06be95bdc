"""Which profiles there are and which is selected, without any of the machinery that reads profiles.

For completion while someone types, and for prompts.  Whatever is wrong with a file is passed over here; the command
that is being typed will say it.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..files.regular_file import FileFault, is_given, read_regular
from ..names import fold_alias, is_alias
from .locations import find_project_file, named, named_file, user_file, user_file_fault

_PREFIX = "MILVUS_PROFILES__"
_LIMIT = 8 << 20
"""Bytes of a file that is read while somebody waits for the tab key; 65,536 profiles take fewer."""


class Choice(NamedTuple):
    """What selects a profile: its alias as it is spelled there; ``"call"``, a variable or the path of a file; why, in
    words."""

    alias: str
    source: str | None
    reason: str


def choices(
    alias: str | None, variable: str | None, uri_alias: str | None, defaults: Iterable[tuple[str, str]]
) -> Iterator[Choice]:
    """All that selects a profile by name, strongest first.

    Args:
        alias: an explicit name.
        variable: what ``MILVUS_PROFILE`` names.
        uri_alias: the profile that ``MILVUS_URI`` declares.
        defaults: the path and the ``default_profile`` of each file that has one, strongest first.
    """
    if alias is not None:
        yield Choice(alias, "call", "it was named")
    if variable is not None:
        yield Choice(variable, "MILVUS_PROFILE", "MILVUS_PROFILE names it")
    if uri_alias is not None:
        yield Choice(uri_alias, "MILVUS_URI", "MILVUS_URI declares it")
    for path, default in defaults:
        yield Choice(default, path, f"default_profile of {path} names it")


def aliases(env: Mapping[str, str], cwd: str, config: str | None = None) -> list[str]:
    """The aliases that are declared, in the order of the layers; ``config`` is a file named on the command line."""
    names: dict[str, None] = {}
    for path in _paths(env, cwd, config):
        names |= dict.fromkeys(_profiles(_read(path)))
    if env.get("MILVUS_URI"):
        names.setdefault(env.get("MILVUS_CONN_ALIAS") or "default")
    folded = {fold_alias(name) for name in names}
    for variable in env:
        if variable.startswith(_PREFIX) and not is_service_link(variable, env[variable]):
            alias = variable[len(_PREFIX) :].split("__")[0].lower()
            if alias and fold_alias(alias) not in folded:
                names.setdefault(alias)
    # What is no alias is no profile either; offered to a shell, it could be a program that pressing tab runs.
    return [name for name in names if is_alias(name)]


def selected(
    env: Mapping[str, str], cwd: str, config: str | None = None, alias: str | None = None
) -> tuple[Choice, str, Mapping[str, Any]] | None:
    """The profile that is meant, where files alone say so and nothing is wrong with them.

    Returns:
        What selects it, with the alias as it is declared, the file, and its table there; None where only the machinery
            can tell.
    """
    if env.get("MILVUS_URI") or any(name.startswith(_PREFIX) for name in env):
        return None
    paths = _paths(env, cwd, config)
    if any(is_given(path) for path in paths):
        return None  # it can be read once
    roots = {path: _read(path) for path in paths}
    if not all(_is_plain(root) for root in roots.values()):
        return None
    defaults = {path: (root or {}).get("default_profile") for path, root in roots.items()}
    named_by = [(path, default) for path, default in defaults.items() if isinstance(default, str)]
    choice = next(choices(alias, env.get("MILVUS_PROFILE") or None, None, named_by), None)
    if choice is None or len(named_by) < sum(default is not None for default in defaults.values()):
        return None
    for path, root in roots.items():
        for name, table in _profiles(root).items():
            if fold_alias(name) == fold_alias(choice.alias):
                # The default of a file may need trust unless it is a profile of its own, and so may a stronger file's
                # profile of that name.
                elsewhere = choice.source in roots and choice.source != path
                plain = is_alias(name) and isinstance(table, dict)
                return (choice._replace(alias=name), path, table) if plain and not elsewhere else None
    return None


def _paths(env: Mapping[str, str], cwd: str, config: str | None) -> list[str]:
    file = named(config, env)
    paths = [] if file or user_file_fault(env) is not None else [user_file(env)]
    # Naming the class of what they raise would load it, which takes longer than all the rest.
    with contextlib.suppress(Exception):
        paths.insert(0, named_file(file, env, cwd) if file else find_project_file(cwd, env)[0])
    return list(filter(None, paths))


def _read(path: str) -> dict[str, Any] | None:
    """What a file says, nothing where there is none; None where something is wrong with it."""
    from ..tomltext.parser import loads

    try:
        root: dict[str, Any] = loads(read_regular(path, _LIMIT).content.decode("utf-8"))
    except FileFault as fault:
        return {} if fault.errno == errno.ENOENT else None
    except (ValueError, RecursionError):
        return None
    return root


def _is_plain(root: Mapping[str, Any] | None) -> bool:
    """Whether nothing is wrong with a file as a whole, beyond doubt: what is wrong is for the machinery to say."""
    if root is None or not root.keys() <= {"default_profile", "profiles"}:
        return False
    profiles = root.get("profiles", {})
    if not isinstance(profiles, dict) or not all(map(is_alias, profiles)):
        return False
    return len(set(map(fold_alias, profiles))) == len(profiles)


def _profiles(root: Mapping[str, Any] | None) -> Mapping[str, Any]:
    profiles = (root or {}).get("profiles", {})
    return profiles if isinstance(profiles, dict) else {}


_ADDRESS = r"[0-9]+(?:\.[0-9]+){3}|[0-9a-f]*:[0-9a-f:.]+"
_URL = rf"(?:tcp|udp|sctp)://(?:{_ADDRESS}|\[[0-9a-f:.]+\]):[0-9]+"
_LINK = re.compile(
    # The name of a service ends with a letter or a digit.
    r"[A-Z][A-Z0-9_]*(?<!_)_(?:"
    rf"SERVICE_HOST=(?:{_ADDRESS})|SERVICE_PORT(?:_[A-Z0-9_]+)?=[0-9]+|PORT={_URL}|"
    rf"PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:={_URL}|_PROTO=(?:tcp|udp|sctp)|_PORT=[0-9]+|_ADDR=(?:{_ADDRESS}))"
    r")"
)


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set a variable for a service.

    It does in every container for each service of its namespace: one named ``milvus-profiles`` gives
    ``MILVUS_PROFILES_PORT=tcp://10.0.0.1:80``, one named ``milvus`` gives ``MILVUS_PORT`` and ``MILVUS_SERVICE_HOST``,
    which nobody meant for us.  They are known by name and value together
    (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
    """
    return ("_PORT" in name or name.endswith("_HOST")) and _LINK.fullmatch(f"{name}={value[:300]}") is not None
