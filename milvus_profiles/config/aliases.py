"""The names of profiles, read without any of the machinery that reads profiles: for completion while someone types.

Whatever is wrong with a file is passed over here; the command that is being typed will say it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from .locations import project_file, user_file

__all__ = ["aliases"]

_PREFIX = "MILVUS_PROFILES__"


def aliases(env: Mapping[str, str], cwd: str, config: str | None = None) -> list[str]:
    """The aliases that are declared, in the order of the layers.

    Args:
        env: the environment.
        cwd: where the search for a project file begins.
        config: the file that was named on the command line.
    """
    named = config or env.get("MILVUS_PROFILES_FILE")
    if named:
        files = [os.path.join(cwd, os.path.expanduser(named))]
    else:
        try:
            found = project_file(cwd, env)
        except Exception:  # naming its class would load what raises it, which takes longer than all the rest
            found = None
        files = ([found] if found else []) + [user_file(env)]
    names: dict[str, None] = {}
    for file in files:
        names |= dict.fromkeys(_in_file(file))
    if env.get("MILVUS_URI"):
        names.setdefault(env.get("MILVUS_CONN_ALIAS") or "default")
    folded = {_fold(name) for name in names}
    for variable in env:
        if variable.startswith(_PREFIX):
            alias = variable[len(_PREFIX) :].split("__")[0].lower()
            if alias and _fold(alias) not in folded:
                names.setdefault(alias)
    return [name for name in names if name.isascii() and name.isprintable() and " " not in name]


def _fold(alias: str) -> str:
    # As profile.fold_alias, whose module loads pydantic.
    return alias.lower().replace("-", "_").replace(".", "_")


def _in_file(path: str) -> list[str]:
    from .toml import loads

    try:
        if not os.path.isfile(path):
            return []
        with open(path, encoding="utf-8") as file:
            profiles = loads(file.read()).get("profiles", {})
    except (OSError, ValueError, RecursionError):
        return []
    return list(profiles) if isinstance(profiles, dict) else []
