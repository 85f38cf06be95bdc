"""Where the files are: the user's, the project's, the one that was named, and the state directory.

Pure functions of an environment and a directory.  platformdirs is not used, because it reads the process's own
environment and puts the user file elsewhere on macOS than the documented ``~/.config/milvus``.

Completion asks here on every press of the tab key, so the errors are imported where they are raised.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

__all__ = ["FILE_NAME", "current_directory", "home_directory", "project_file", "state_directory", "user_file"]

FILE_NAME = "milvus.toml"


def home_directory(env: Mapping[str, str]) -> str:
    """The home directory that ``env`` names, else the operating system's answer."""
    name = "USERPROFILE" if sys.platform == "win32" else "HOME"
    return env.get(name) or os.path.expanduser("~")


def user_file(env: Mapping[str, str]) -> str:
    """Path of the user's own file, whether it exists or not."""
    if sys.platform == "win32":
        base = env.get("APPDATA") or os.path.join(home_directory(env), "AppData", "Roaming")
    else:
        base = _xdg(env, "XDG_CONFIG_HOME", ".config")
    return os.path.join(base, "milvus", FILE_NAME)


def state_directory(env: Mapping[str, str]) -> str:
    """Directory of what the program remembers: which project files are trusted, which profile was selected before."""
    if sys.platform == "win32":
        base = env.get("LOCALAPPDATA") or os.path.join(home_directory(env), "AppData", "Local")
    else:
        base = _xdg(env, "XDG_STATE_HOME", os.path.join(".local", "state"))
    return os.path.join(base, "milvus")


def _xdg(env: Mapping[str, str], name: str, default: str) -> str:
    # The XDG specification says that a relative path in these variables is to be ignored.
    value = env.get(name, "")
    return value if os.path.isabs(value) else os.path.join(home_directory(env), default)


def current_directory() -> str:
    """The process's current directory.

    Raises:
        ConfigError: it was deleted.
    """
    try:
        return os.getcwd()
    except OSError as error:
        from ..errors import ConfigError

        raise ConfigError(
            f"the current directory cannot be read: {error.strerror}", hint="change to a directory that exists"
        ) from None


def project_file(cwd: str, env: Mapping[str, str]) -> str | None:
    """The nearest ``milvus.toml`` from a directory upwards.

    The directory that holds ``.git`` and the home directory are the last ones searched.  The user's own file is not a
    project file, even where the search meets it.

    Args:
        cwd: absolute directory to begin at.
        env: the environment, for the home directory.

    Raises:
        ConfigError: a directory on the way cannot be looked into.
    """
    home = None
    directory = cwd
    while True:
        candidate = os.path.join(directory, FILE_NAME)
        try:
            os.stat(candidate)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            from ..errors import ConfigError, Location

            raise ConfigError(
                f"cannot look for a project file: {error.strerror}",
                hint="name the file with --config or MILVUS_PROFILES_FILE",
                location=Location(candidate),
            ) from None
        else:
            if os.path.realpath(candidate) != os.path.realpath(user_file(env)):
                return candidate
        parent = os.path.dirname(directory)
        if parent == directory or os.path.lexists(f"{directory}/.git"):
            return None
        # Every connect comes here, so links are followed only where it has to be known.
        home = home or os.path.realpath(home_directory(env))
        if os.path.realpath(directory) == home:
            return None
        directory = parent
