"""What the command line says when an exception that is none of ours comes up: the code ``internal``, and no traceback.

The words of such an exception may hold anything, a secret too, so none of them is shown: its class, where it was
raised, and the operating system's own message where it is one of that, or the import system's, which has its words from
the loader.  It imports as little as can be, since a
library that cannot be imported is one of the causes.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from typing import NamedTuple, TextIO

from ..text import printable

VALUED = frozenset({"--config", "--profile"})
FLAGS = frozenset({"--json", "--no-color", "--verbose", "-v", "-vv", "--quiet", "-q"})
"""The options of every command, those with a value and those without, for who reads words before typer does."""
GLOBAL_PANEL = "Every command"
"""Where the help has them."""

SYNONYMS = {"ls": "list", "get": "show", "rm": "remove", "delete": "remove"}
"""What those who come from other tools type first; the help leaves them out."""

_VALUED_OF_EXEC = VALUED | {"--only", "--env-prefix"}
_FAILED = 1
_LONGEST = 300


class Words(NamedTuple):
    """The words of a command line that is answered without typer."""

    plain: list[str]
    flags: frozenset[str]
    values: dict[str, str]


def taken_apart(words: Sequence[str], flags: Collection[str], valued: Collection[str]) -> Words | None:
    """The words as typer takes them, where it could take them in no other way; None where it is for typer to say.

    What -vv tells is told by the machinery, so twice -v is none.
    """
    plain, found, values = [], [], {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in flags and word != "-vv":
            found.append("-v" if word == "--verbose" else word)
        elif name in valued:
            given = value if equals else next(rest, "")
            if not given or name in values:
                return None
            values[name] = given
        elif word.startswith("-"):
            return None
        else:
            plain.append(word)
    return Words(plain, frozenset(found), values) if found.count("-v") < 2 else None


def own_words(words: Sequence[str]) -> Sequence[str]:
    """The words that are this program's, not those of the program that ``exec`` runs."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in VALUED else 1
    if list(words[at : at + 1]) == ["exec"] and (place := program_at(words[at + 1 :])) is not None:
        return words[: at + 1 + place]
    return words[: words.index("--")] if "--" in words else words


def program_at(words: Sequence[str]) -> int | None:
    """Where, behind the word ``exec``, our own options end: at a ``--``, or with the program, the second plain word.

    As of env(1) and `docker exec`: what stands behind the program is the program's, and no ``--`` is needed.  None
    where there is no program.
    """
    plain, is_value = 0, False
    for index, word in enumerate(words):
        if is_value:
            is_value = False
        elif word == "--":
            return index
        elif word.startswith("-"):
            is_value = word in _VALUED_OF_EXEC
        else:
            plain += 1
            if plain == 2:
                return index
    return None


def report_internal(error: Exception, words: Sequence[str]) -> int:
    """Say on stderr that something unexpected happened, as the words of the command line want it; the exit status."""
    options = own_words(words)
    message = f"unexpected: {_described(error)}"
    verbose = bool({"--verbose", "-v", "-vv"} & set(options))
    report = f"report it with {'the lines above' if verbose else 'what `--verbose` shows'}"
    if isinstance(error, OSError) and error.errno is not None:
        hint = f"see to that and run it again; if nothing is wrong with this machine, {report}"
    elif isinstance(error, ImportError):
        hint = f"install what is missing, or that library anew; `milvus-profiles doctor` loads them all; else {report}"
    else:
        hint = f"a defect of milvus-profiles, or of a library: see `milvus-profiles doctor`, and {report}"
    try:
        if "--json" in options:
            record = {"error": "internal", "message": message, "hint": hint, "location": _place(error)}
            sys.stderr.write(json.dumps(record) + "\n")
        else:
            if verbose:
                sys.stderr.write(_trace(error))
            page = "" if {"--quiet", "-q"} & set(options) else "see: milvus-profiles explain internal\n"
            sys.stderr.write(f"error: {message}\nhint: {hint}\n{page}")
        sys.stderr.flush()
    except OSError:
        pass  # then there is nowhere to say it
    silence()
    return _FAILED


def _described(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name}: {os.strerror(error.errno)}"
    if isinstance(error, ImportError) and error.name:
        # Whoever raises one himself gives no name.
        return f"{name}: the module {error.name} cannot be imported: {printable(str(error))[:_LONGEST]}"
    return name


def _place(error: BaseException) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _trace(error: BaseException) -> str:
    """The frames, without locals and without the exception's own words, of the error and of what is behind it."""
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and not any(behind is one for one in chain):
        chain.append(behind)
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
    parts = ["".join(traceback.format_tb(one.__traceback__)) + f"  {_described(one)}\n" for one in reversed(chain)]
    return "  then:\n".join(parts)


def silence() -> None:
    """Have the interpreter not stumble over what could not be written, when it flushes at its end."""
    _silence(1, sys.stdout)
    _silence(2, sys.stderr)


def _silence(descriptor: int, stream: TextIO) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
