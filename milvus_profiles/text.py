"""What others wrote, as messages show it: texts without what a terminal would act on, and commands to be pasted.

In a command every word is quoted so that any shell gives it back as it is.  What stands there comes from files,
variables and servers.  ``shlex.quote`` is right for POSIX shells alone: within single quotes fish takes a backslash for
an escape, and zsh expands a word that begins with ``=``.  It imports nothing of this package, since completion loads
who asks here.
"""

from __future__ import annotations

import re

__all__ = ["command", "milvus_profiles", "printable", "quote", "quote_path"]

_PLAIN = re.compile(r"[A-Za-z0-9_@:,./+-][A-Za-z0-9_@:,./+=-]*")
_PARTS = re.compile(r"\\+|'+|[^\\']+")


def printable(text: str) -> str:
    """The text with every character spelled out that a terminal would not simply show.

    Those are controls, escapes, line breaks, zero-width and bidirectional characters, halves of surrogate pairs, and
    what Unicode has not assigned.

    Args:
        text: any text; one that is printable already comes back as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def quote(word: str) -> str:
    """A word for bash, dash, zsh and fish alike.

    Args:
        word: any text; characters that do not print are spelled out, since nothing that is pasted should hold one.
    """
    if _PLAIN.fullmatch(word):
        return word
    return "".join(_quoted(part) for part in _PARTS.findall(printable(word))) or "''"


def _quoted(part: str) -> str:
    # Double quotes for what single ones do not hold everywhere; nothing else stands in them.
    if part[0] == "\\":
        return f'"{part}{part}"'
    return f'"{part}"' if part[0] == "'" else f"'{part}'"


def quote_path(path: str) -> str:
    """A path as a word that no program takes for an option.

    Args:
        path: absolute or relative.
    """
    return quote(f"./{path}" if path.startswith("-") else path)


def command(*words: str) -> str:
    """A command between backticks, as messages show it.

    Args:
        words: the program and its arguments, unquoted.
    """
    return f"`{' '.join(map(quote, words))}`"


def milvus_profiles(*words: str) -> str:
    """A command of this program, between backticks.

    Args:
        words: its arguments, unquoted.
    """
    return command("milvus-profiles", *words)
