"""Completion of aliases, fields and formats, answered before typer or pydantic is imported: it runs on every tab key.

The shells' side is :mod:`completion_scripts`; this answers its requests where one of those stands, and leaves every
other word to typer, which says what stands in this package and nothing that anybody else wrote.  zsh evaluates the
answer, and bash puts it on the line as it is: whatever is added here must mean nothing to them, as aliases do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..config.aliases import aliases

VARIABLE = "_MILVUS_PROFILES_COMPLETE"
"""The variable in which the shells' scripts ask for completion, by typer's protocol."""

# Commands that take aliases, with how many: a number of positions, or all of them.
_PROFILE = dict.fromkeys(
    ("show", "get", "set", "unset", "rename", "copy", "remove", "rm", "delete", "use", "ping", "open"), 1
) | {"test": 1000, "watch": 1000}
_ALIASES = {
    **dict.fromkeys(("exec", "export", "secret set", "secret delete", "secret status"), 1),
    **_PROFILE,
    **{f"profile {name}": number for name, number in _PROFILE.items()},
}
_VALUED = frozenset(
    {"-a", "--alias", "--config", "--profile", "--timeout", "--wait", "--junit", "--html", "--to", "--from", "--only"}
    | {"--env-prefix", "--watch", "--every", "-c", "--count", "-i", "--interval"}
)
SOURCES = ("milvus-cli", "env", "dotenv", "zilliz", "attu", "pymilvus-uri")
"""What ``import --from`` takes."""


def answer(env: Mapping[str, str], cwd: str) -> tuple[str, int] | None:
    """What to print for the request in an environment, and the exit status; None leaves the request to typer."""
    instruction, _, shell = env.get(VARIABLE, "").partition("_")
    request = _request(shell, env) if instruction == "complete" else None
    if request is None:
        return None
    words, typed = request
    plain, options, naming = _parsed(words)
    before, equals, value = typed.partition("=")
    if equals and before.startswith("--") and naming is None:
        naming, typed, before = before, value, before + equals
    else:
        before = ""
    wanted = None if "--" in words else _wanted(plain, options, naming, typed, env)
    if wanted is None:
        return None
    offered = list(wanted.fixed)
    if wanted.aliases:
        offered = [*aliases(env, cwd, options.get("--config")), *offered]
    # For bash what stands before an = is another word.
    before = "" if shell == "bash" else before
    return _printed(shell, [before + name for name in offered if name.startswith(typed)], env)


def _printed(shell: str, found: list[str], env: Mapping[str, str]) -> tuple[str, int]:
    if shell == "fish" and env.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return "", 0 if found else 1
    if shell != "zsh":
        return "\n".join(found), 0
    if not found:
        return "_files", 0
    whole = [name for name in found if not name.endswith("=")]
    begun = [name for name in found if name.endswith("=")]
    parts = ["_arguments '*: :((" + "\n".join(f'"{name}"' for name in whole) + "))'"] if whole else []
    # No space behind it: the value follows.
    parts += [f"compadd -S '' -- {' '.join(begun)}"] if begun else []
    return "; ".join(parts), 0


def _request(shell: str, env: Mapping[str, str]) -> tuple[list[str], str] | None:
    """The words before the one that is typed, without the program's name, and what is typed of it."""
    if shell == "bash":
        words = _split(env.get("COMP_WORDS", ""))
        position = env.get("COMP_CWORD", "")
        if not position.isdecimal() or len(position) > 6:
            return None
        index = int(position)
        joined = _joined(words[1 : index + 1])
        return (joined[:-1], joined[-1]) if index < len(words) and joined else (joined, "")
    if shell in ("zsh", "fish"):
        line = env.get("_TYPER_COMPLETE_ARGS", "")
        words = _split(line)[1:]
        if words and not line.endswith(" "):
            return words[:-1], words[-1]
        return words, ""
    return None


def _joined(words: list[str]) -> list[str]:
    """The words as they were typed: for bash an = is one of its own."""
    found: list[str] = []
    for index, word in enumerate(words):
        if found and (word == "=" or (words[index - 1] == "=" and found[-1].endswith("="))):
            found[-1] += word
        else:
            found.append(word)
    return found


def _split(line: str) -> list[str]:
    if not set(line) & set("\"'\\#"):
        return line.split()
    import shlex

    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _parsed(words: list[str]) -> tuple[list[str], dict[str, str], str | None]:
    """The words that are no options, the values of options, and the option whose value comes next."""
    plain: list[str] = []
    options: dict[str, str] = {}
    waiting: str | None = None
    for word in words:
        name, equals, value = word.partition("=")
        if waiting is not None:
            options.setdefault(waiting, word)
            waiting = None
        elif word in _VALUED:
            waiting = word
        elif not word.startswith("-"):
            plain.append(word)
        elif equals:
            options.setdefault(name, value)
    return plain, options, waiting


class _Wanted(NamedTuple):
    """What is offered: the aliases, and names that are fixed."""

    aliases: bool = False
    fixed: Sequence[str] = ()


def _wanted(
    plain: list[str], options: Mapping[str, str], naming: str | None, typed: str, env: Mapping[str, str]
) -> _Wanted | None:
    """What may stand where something is typed; None where it is for typer to say."""
    if typed.startswith("-"):
        return None
    if naming is not None:
        return _value(plain, naming)
    if "=" in typed:
        return _Wanted()  # the value of a field, perhaps a file
    for size in (1, 2):
        given = len(plain) - size
        if given < 0 or (allowed := _ALIASES.get(" ".join(plain[:size]))) is None:
            continue
        fields = _fields(plain[size - 1]) if plain[0] != "secret" else ()
        # The alias may be left out where it is named already.
        if given >= allowed or "--profile" in options or env.get("MILVUS_PROFILE"):
            return _Wanted(given < allowed, fields) if fields or given < allowed else None
        return _Wanted(aliases=True)
    return None


def _value(plain: list[str], naming: str) -> _Wanted | None:
    if naming == "--profile" or (naming in ("-a", "--alias") and plain[:1] == ["connect"]):
        return _Wanted(aliases=True)
    if naming == "--to" and plain[:1] == ["export"]:
        from ..interop.exports import FORMATS

        return _Wanted(fixed=tuple(FORMATS))
    return _Wanted(fixed=SOURCES) if naming == "--from" and plain[:1] == ["import"] else None


def _fields(command: str) -> tuple[str, ...]:
    """What may stand behind the alias of ``set`` and ``unset``: fields, and the keys of those that are tables."""
    if command not in ("set", "unset"):
        return ()
    from ..config.fields import FIELDS, find_field

    described = [one for name in FIELDS if (one := find_field((name,))) is not None]
    leaves = [f"{one.path[0]}.{key}" for one in described for key in one.keys]
    if command == "unset":
        return (*FIELDS, *leaves)
    # A table is set key by key, and a secret by a command of its own.
    scalars = [one.path[0] for one in described if one.kind not in (None, "secret")]
    return tuple(f"{name}=" for name in (*scalars, *leaves))


def respond() -> int | None:
    """Answer the request that the process's environment holds; None where there is none for us."""
    if VARIABLE not in os.environ:
        return None
    try:
        response = answer(os.environ, os.getcwd())
    except OSError:
        return None
    if response is None:
        return None
    text, status = response
    if text:
        os.write(1, (text + "\n").encode())
    return status
