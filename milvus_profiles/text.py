"""What others wrote, as messages show it: texts without what a terminal would act on, and commands to be pasted.

In a command every word is quoted so that any shell gives it back as it is.  What stands there comes from files,
variables and servers.  ``shlex.quote`` is right for POSIX shells alone: within single quotes fish takes a backslash for
an escape, and zsh expands a word that begins with ``=``.  On Windows it is PowerShell, cmd and git's bash that agree on
little.  It imports nothing of this package, since completion loads who asks here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

DOCUMENTATION = "https://milvus-profiles.readthedocs.io"
"""Where the documentation is, for all that names it."""


def page_of(code: str) -> str:
    """Where the web explains the errors of a code."""
    return f"{DOCUMENTATION}/errors/{code}/"


_PLAIN = re.compile(r"[A-Za-z0-9_@:,./+-][A-Za-z0-9_@:,./+=-]*")
_PARTS = re.compile(r"\\+|'+|[^\\']+")
_PLAIN_ON_WINDOWS = re.compile(r"-[A-Za-z]|--[A-Za-z0-9-]*|[A-Za-z0-9_:./+][A-Za-z0-9_:./+-]*")
# Between double quotes these do something in one of its shells at least; PowerShell ends a text at curly ones too.
_ACTIVE_ON_WINDOWS = re.compile('[$`"%!\u201c\u201d\u201e]')
_NEVER_LITERAL = re.compile(r"\\{2,}|\\\Z")


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


def unprintable(text: str) -> str | None:
    """The first character of a text that :func:`printable` spells out, by number and name; None where there is none."""
    if text.isprintable():
        return None
    return numbered(next(c for c in text if not c.isprintable()))


def numbered(char: str) -> str:
    """A character by its number and name: it may not be seen, or look like another one."""
    import unicodedata  # here, as completion asks for none

    is_control = unicodedata.category(char) == "Cc"  # these have no names
    return f"U+{ord(char):04X} ({unicodedata.name(char, 'a control character' if is_control else 'without a name')})"


def counted(number: float, noun: str) -> str:
    """A number of things, in words.

    Args:
        number: how many.
        noun: what one of them is called; more of them have an s.
    """
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {noun}{'' if shown == '1' else 's'}"


def quote(word: str) -> str:
    """A word for bash, dash, zsh and fish alike, and on Windows for PowerShell, cmd and git's bash.

    Args:
        word: any text; characters that do not print are spelled out, since nothing that is pasted should hold one.  On
            Windows so are those that no quotes hold in all of its shells, and backslashes in a row, or at the end, are
            slashes, which are the same in a path.
    """
    if sys.platform == "win32":
        return _quoted_on_windows(word)
    if _PLAIN.fullmatch(word):
        return word
    return "".join(_quoted(part) for part in _PARTS.findall(printable(word))) or "''"


def _quoted(part: str) -> str:
    # Double quotes for what single ones do not hold everywhere; nothing else stands in them.
    if part[0] == "\\":
        return f'"{part}{part}"'
    return f'"{part}"' if part[0] == "'" else f"'{part}'"


def _quoted_on_windows(word: str) -> str:
    if _PLAIN_ON_WINDOWS.fullmatch(word):
        return word
    word = _ACTIVE_ON_WINDOWS.sub(lambda found: f"\\u{ord(found[0]):04x}", printable(word))
    return f'"{_NEVER_LITERAL.sub(lambda found: "/" * len(found[0]), word)}"'


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


def removal(path: str) -> str:
    """How a file is removed, for hints: by a command, but on Windows, where each shell has another, in words.

    Args:
        path: of the file.
    """
    return f"remove {printable(path)}" if sys.platform == "win32" else f"remove it: {command('rm', path)}"


def milvus_profiles(*words: str) -> str:
    """A command of this program, between backticks.

    Args:
        words: its arguments, unquoted.
    """
    return command("milvus-profiles", *words)


CALL, OPTIONS, ANSWERS = "=", "--", "?"
"""In the place of a prefix of variables: a call of ``connect`` makes the profile, or options of the command line do, or
answers to questions."""

ARGUMENT = "=…"
"""The end of the name of what an argument of ``profile set`` gives."""

# What `add` has options for, and what it asks; another field is set once the profile is written.
_OPTIONS = frozenset({"uri", "host", "port", "db_name", "user", "description", "ssl", "allow_insecure"})
_ASKED = {
    "uri": "the address",
    "host": "the address",
    "port": "the address",
    "db_name": "the database",
    "user": "how you sign in",
    "ssl.ca": "what is trusted",
}


class Standing:
    """Where a profile and its fields stand: which command changes them, or which variable, argument or option does.

    Two are always equal, and equal to none: where it stands makes no profile another one.

    Args:
        file: the file that declares it, if that was named, so that a command must name it too.
        prefix: how the variables of its fields begin, if the environment declares it; :data:`CALL` or :data:`OPTIONS`
            if no file and no variable does; the path of what a shell gave in the place of a file, if that does.
        variables: field to the variable (``NAME``), the argument of a call (``uri=``) or of ``profile set``
            (``uri=…``), or the option (``--uri``) that sets it.
        source: the profiles that it was taken from, something else if another process did; None where it was not taken.
    """

    __slots__ = ("file", "prefix", "source", "variables")

    def __init__(
        self,
        file: str | None = None,
        prefix: str | None = None,
        variables: Mapping[str, str] | None = None,
        source: object | None = None,
    ) -> None:
        self.file = file
        self.prefix = prefix
        self.variables = dict(variables or {})
        self.source = source

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Standing)

    def __hash__(self) -> int:
        return hash(None)

    def __reduce__(self) -> tuple[object, ...]:
        # The files are those of this process.
        return Standing, (self.file, self.prefix, self.variables, None if self.source is None else "elsewhere")

    def __deepcopy__(self, memo: object) -> Standing:
        return self

    def command(self, *words: str) -> str:
        """A command of this program about the profile, between backticks; words as for :func:`milvus_profiles`."""
        return milvus_profiles(*(() if self.file is None else ("--config", self.file)), *words)

    def adding(self, alias: str = "ALIAS", uri: str = "URI", *options: str) -> str:
        """The command that adds a profile, between backticks."""
        return self.command("profile", "add", alias, "--uri", uri, *options)

    def into_keyring(self, alias: str, field: str) -> str:
        """How its token or password, which stands in a file in the clear, goes into the keyring."""
        refer = self.command("profile", "set", alias, f"{field}={{ keyring = true }}")
        return f"{refer}, then {self.command('secret', 'set', alias)}"

    def change(self, alias: str, *assignments: str) -> str:
        """How fields of it are changed (``FIELD=VALUE`` each): commands and variables between backticks."""
        variables, arguments, options, given, answers, rest = [], [], [], [], [], []
        for assignment in assignments:
            field, _, value = assignment.partition("=")
            name = self._name(field)
            if name is None or name.endswith(ARGUMENT):
                rest.append(assignment)
            elif name == ANSWERS:
                answers.append(f"correct {_ASKED[field]}" + (f": {value}" if field in ("uri", "db_name") else ""))
            elif name.startswith("/"):
                given.append(assignment)
            elif name.endswith("="):
                arguments.append(f"{field}=True" if value == "true" else assignment)
            elif name.startswith("--"):
                options.append(name if value == "true" else f"{name} {quote(value)}")
            else:
                variables.append(f"{name}={quote(value)}")
        steps = [f"`{' '.join(variables)}`"] if variables else []
        steps += [f"connect with {' '.join(arguments)}"] if arguments else []
        steps += [f"give `{' '.join(options)}`"] if options else []
        steps += [f"write {' '.join(given)} where {self.prefix} comes from"] if given else []
        steps += answers
        if rest:
            if self.prefix in (OPTIONS, ANSWERS):
                steps.append("add it without a test" if self.prefix == OPTIONS else "add it all the same")
            steps.append(self.command("profile", "set", alias, *rest))
        return ", then ".join(steps)

    def _name(self, field: str) -> str | None:
        if self.prefix == ANSWERS:
            return ANSWERS if field in _ASKED else None
        if (name := self.variables.get(field)) is not None or self.prefix is None:
            return name
        if self.prefix == CALL:
            return f"{field}="
        if self.prefix == OPTIONS:
            if field not in _OPTIONS and not field.startswith("ssl."):
                return None
            return f"--{field.removeprefix('ssl.').replace('_', '-')}"
        if self.prefix.startswith("/"):
            return self.prefix
        return self.prefix + field.upper().replace(".", "__")

    def unset(self, alias: str, field: str) -> str:
        """How a field of it, or a table, is taken away."""
        if self.prefix == ANSWERS:
            return f"start again without what says {field}"
        names = [name for path, name in self.variables.items() if path.split(".")[0] == field]
        if not names and self.prefix is not None and self.prefix.startswith("/"):
            return f"remove {field} where {self.prefix} comes from"
        if not names:
            return self.command("profile", "unset", alias, field)
        if names[0].endswith("="):
            return f"connect without {field}="
        if names[0].startswith("--") or names[0].endswith(ARGUMENT):
            return f"leave {names[0]} out"
        return f"remove the variable {' and '.join(names)}" if sys.platform == "win32" else command("unset", *names)


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
