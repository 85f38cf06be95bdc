"""What others wrote, as messages show it: texts without what a terminal would act on, and commands to be pasted.

In a command every word is quoted so that any shell gives it back as it is.  What stands there comes from files,
variables and servers.  ``shlex.quote`` is right for POSIX shells alone: within single quotes fish takes a backslash for
an escape, and zsh expands a word that begins with ``=``.  It imports nothing of this package, since completion loads
who asks here.
"""

from __future__ import annotations

import re

__all__ = [
    "IN_QUOTES",
    "UNEXPANDED",
    "command",
    "has_placeholder",
    "is_placeholder",
    "is_quoted",
    "milvus_profiles",
    "printable",
    "quote",
    "quote_path",
]

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


# --- what another program was to change ------------------------------------------------------------------------------

# A milvus.toml expands nothing, and `docker run --env-file` keeps quotes; what is left of them would be sent to the
# server, and looks like a wrong password there.

# As shells, docker compose and python-dotenv write it, with what may stand in for it.
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?:(?::?[-+?=])[^{}]*)?\}")

UNEXPANDED = "nothing is expanded here: have whoever sets the value put it in"
"""What to do about a placeholder in an address or a name."""
IN_QUOTES = "write it without quotes: `docker run --env-file` keeps them, and they are sent"
"""What to do about a text in quotes."""


def has_placeholder(text: str) -> bool:
    """Whether ``${NAME}`` stands somewhere in a text.

    Args:
        text: any.
    """
    return "${" in text and _PLACEHOLDER.search(text) is not None


def is_placeholder(text: str) -> bool:
    """Whether a text is ``${NAME}`` and nothing else.

    Args:
        text: any.
    """
    return text.startswith("${") and _PLACEHOLDER.fullmatch(text) is not None


def is_quoted(text: str) -> bool:
    """Whether a text with something in it begins and ends with the same quote.

    Args:
        text: any.
    """
    return len(text) > 2 and text[0] in "\"'" and text[-1] == text[0]
