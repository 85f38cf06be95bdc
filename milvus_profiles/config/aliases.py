"""The names of profiles, read without any of the machinery that reads profiles: for completion while someone types.

Whatever is wrong with a file is passed over here; the command that is being typed will say it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from ..alias import fold_alias, is_alias
from ..files.regular_file import FileFault, read_regular
from .locations import named, named_file, project_file, user_file, user_file_fault
from .service_links import is_service_link

__all__ = ["aliases"]

_PREFIX = "MILVUS_PROFILES__"
_LIMIT = 8 << 20
"""Bytes of a file that is read while somebody waits for the tab key; 65,536 profiles take fewer."""


def aliases(env: Mapping[str, str], cwd: str, config: str | None = None) -> list[str]:
    """The aliases that are declared, in the order of the layers.

    Args:
        env: the environment.
        cwd: where the search for a project file begins.
        config: the file that was named on the command line.
    """
    file = named(config, env)
    paths = [] if file or user_file_fault(env) is not None else [user_file(env)]
    # Naming the class of what they raise would load it, which takes longer than all the rest.
    with contextlib.suppress(Exception):
        paths.insert(0, named_file(file, env, cwd) if file else project_file(cwd, env))
    names: dict[str, None] = {}
    for path in filter(None, paths):
        names |= dict.fromkeys(_in_file(path))
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


def _in_file(path: str) -> list[str]:
    from ..tomltext.parser import loads

    try:
        profiles = loads(read_regular(path, _LIMIT).content.decode("utf-8")).get("profiles", {})
    except (FileFault, ValueError, RecursionError):
        return []
    return list(profiles) if isinstance(profiles, dict) else []
