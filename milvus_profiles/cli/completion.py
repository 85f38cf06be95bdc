"""Completion of aliases, answered before typer or pydantic is imported: it runs on every press of the tab key.

The shells' side is :mod:`completion_install`; this answers its requests where an alias stands, and leaves every other
word to typer, which says what stands in this package and nothing that anybody else wrote.  zsh evaluates the answer,
and bash puts it on the line as it is: whatever is added here must mean nothing to them, as aliases do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..config.aliases import aliases

__all__ = ["VARIABLE", "answer", "respond"]

VARIABLE = "_MILVUS_PROFILES_COMPLETE"
"""The variable in which the shells' scripts ask for completion, by typer's protocol."""

# Commands that take aliases, with how many: a number of positions, or all of them.
_PROFILE = dict.fromkeys(
    ("show", "get", "set", "unset", "rename", "copy", "remove", "rm", "delete", "use", "ping", "open"), 1
)
_PROFILE["test"] = _PROFILE["watch"] = 1000
_ALIASES: dict[tuple[str, ...], int] = {
    ("exec",): 1,
    ("export",): 1,
    **{(name,): number for name, number in _PROFILE.items()},
    **{("profile", name): number for name, number in _PROFILE.items()},
    ("secret", "set"): 1,
    ("secret", "delete"): 1,
    ("secret", "status"): 1,
}
_NAMING = frozenset({"--profile", "--alias"})
_VALUED = frozenset(
    {"-a", "--alias", "--config", "--profile", "--timeout", "--wait", "--junit", "--to", "--only", "--env-prefix"}
    | {"--html", "--watch", "--every", "--count", "-c", "--interval", "-i"}
)


def answer(env: Mapping[str, str], cwd: str) -> tuple[str, int] | None:
    """What to print for the request in an environment, and the exit status; None leaves the request to typer."""
    instruction, _, shell = env.get(VARIABLE, "").partition("_")
    request = _request(shell, env) if instruction == "complete" else None
    if request is None:
        return None
    words, typed = request
    plain, options, naming = _parsed(words)
    before, equals, value = typed.partition("=")
    if equals and before in _NAMING and naming is None:
        naming, typed, before = before, value, before + equals
    else:
        before = ""
    if not _wants_alias(words, plain, naming, typed):
        return None
    config = options.get("--config")
    found = [before + alias for alias in aliases(env, cwd, config) if alias.startswith(typed)]
    if shell == "fish" and env.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return "", 0 if found else 1
    if shell == "zsh":
        return ("_arguments '*: :((" + "\n".join(f'"{alias}"' for alias in found) + "))'" if found else "_files"), 0
    return "\n".join(found), 0


def _request(shell: str, env: Mapping[str, str]) -> tuple[list[str], str] | None:
    """The words before the one that is typed, without the program's name, and what is typed of it."""
    if shell == "bash":
        words = _split(env.get("COMP_WORDS", ""))
        position = env.get("COMP_CWORD", "")
        if not position.isdecimal() or len(position) > 6:
            return None
        index = int(position)
        # For bash an = is a word of its own, and what follows it is what it completes.
        typed = words[index] if index < len(words) else ""
        return [word for word in words[1:index] if word != "="], "" if typed == "=" else typed
    if shell in ("zsh", "fish"):
        line = env.get("_TYPER_COMPLETE_ARGS", "")
        words = _split(line)[1:]
        if words and not line.endswith(" "):
            return words[:-1], words[-1]
        return words, ""
    return None


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


def _wants_alias(words: list[str], plain: list[str], naming: str | None, typed: str) -> bool:
    if "--" in words or typed.startswith("-"):
        return False
    if naming is not None:
        return naming == "--profile" or ("connect" in words and naming in ("-a", "--alias"))
    for size in (1, 2):
        if len(plain) >= size and (allowed := _ALIASES.get(tuple(plain[:size]))) is not None:
            return len(plain) - size < allowed
    return False


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
