"""Profiles from what people have: the files and variables of other tools, read strictly and shown before they are kept.

Here stands which sources there are, where they are looked for, and what is left of them once their entries were taken
out.  Nothing here writes, asks or prints, and an entry that cannot be used does not spoil the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from ...config.locations import named_file
from ...errors import ConfigError, UsageError
from ...files.paths import home_directory, home_fault, is_absent
from ...masked import as_given
from ...names import suggest
from . import readers
from .found import ImportedProfiles, read_source


@dataclass(frozen=True)
class ImportSource:
    """A source of profiles.

    Attributes:
        parse: reads the content of its file.
        from_env: reads the environment; None where it is not in variables.
        place: where its file is looked for, from the environment and the current directory; None: it must be named.
        remove: what is left of the content without some entries; None where the file is not edited.
        staying: the names of what stays there of their secrets all the same.
    """

    parse: Callable[[bytes, str], ImportedProfiles] | None = None
    from_env: Callable[[Mapping[str, str]], ImportedProfiles] | None = None
    place: Callable[[Mapping[str, str], str], str] | None = None
    remove: Callable[[bytes, Collection[str]], bytes | None] | None = None
    staying: Callable[[bytes], list[str]] = lambda _: []


def _in_home(*parts: str) -> Callable[[Mapping[str, str], str], str]:
    return lambda env, _: os.path.join(_home(env), *parts)


def _zilliz(env: Mapping[str, str], _: str) -> str:
    return os.path.join(env.get("ZILLIZ_CONFIG_DIR") or os.path.join(_home(env), ".zilliz"), "credentials")


def _home(env: Mapping[str, str]) -> str:
    if (home := home_directory(env)) is not None:
        return home
    reason, hint = home_fault(env) or ("there is no home directory", "set HOME")
    raise ConfigError(f"the file is looked for in the home directory, and {reason}", hint=f"name it, or {hint}")


SOURCES: dict[str, ImportSource] = {
    "milvus-cli": ImportSource(
        readers.milvus_cli, place=_in_home(".milvus_cli_connections.json"), remove=readers.without_connections
    ),
    "env": ImportSource(from_env=readers.from_env),
    "dotenv": ImportSource(
        readers.from_dotenv,
        place=lambda _, cwd: os.path.join(cwd, ".env"),
        remove=readers.without_secrets,
        staying=readers.staying,
    ),
    "zilliz": ImportSource(readers.zilliz, place=_zilliz, remove=readers.without_credentials),
    "attu": ImportSource(readers.attu_dotenv, from_env=readers.attu_env),
    "pymilvus-uri": ImportSource(readers.uris, remove=readers.without_uris),
}


def find_source(name: str) -> ImportSource:
    if (found := SOURCES.get(name)) is not None:
        return found
    near = suggest(name, SOURCES)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(SOURCES)}"
    raise UsageError(f"{as_given(name)!a} is not something that profiles are imported from", hint=hint)


def read(name: str, path: str | None, *, env: Mapping[str, str], cwd: str) -> ImportedProfiles:
    """Read one of the :data:`SOURCES`; a path of None takes its file where that usually is.

    Raises:
        UsageError: there is no such source, or it takes no file, or needs one.
        ConfigError: the file cannot be read, or is not of that kind at all.
    """
    source = find_source(name)
    if path is None and source.from_env is not None:
        return source.from_env(env)
    if source.parse is None:
        raise UsageError(f"--from {name} reads variables, not a file", hint="leave the path out")
    if path is None:
        if source.place is None:
            raise UsageError(f"--from {name} needs a file", hint="name it, or - for standard input")
        path = source.place(env, cwd)
    path = named_file(path, env, cwd)
    return source.parse(read_source(path), path)


def found_here(*, env: Mapping[str, str], cwd: str) -> Iterator[tuple[str, str | None, ImportedProfiles | ConfigError]]:
    """Every source that holds something where it usually is: its name, its file (None for variables), and what it holds
    or why it cannot be read."""
    for name, source in SOURCES.items():
        if source.from_env is not None:
            found = source.from_env(env)
            if found.entries:
                yield name, None, found
        elif (path := _usual(source, env, cwd)) is not None:
            try:
                yield name, path, read(name, path, env=env, cwd=cwd)
            except ConfigError as error:
                yield name, path, error


def _usual(source: ImportSource, env: Mapping[str, str], cwd: str) -> str | None:
    with suppress(ConfigError):  # there is no home directory
        if source.place is not None and not is_absent(path := source.place(env, cwd)):
            return path
    return None


def without(name: str, content: bytes, keys: Collection[str]) -> bytes | None:
    """What is left of a source's file without some entries; None where nothing is, so that the file can go."""
    remove = find_source(name).remove
    if remove is None:
        raise UsageError(f"--delete-source does not fit --from {name}", hint="remove the plaintext by hand")
    return remove(content, keys)
