"""What the help says beside the options of commands: their groups, exit statuses, variables.

Data alone, as :mod:`.manual_pages`, for the help and for whatever else is made of it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GROUPS", "STATUSES", "VARIABLES", "Example", "Page"]


class Example(NamedTuple):
    """A line for a shell, and what it does."""

    line: str
    says: str


class Page(NamedTuple):
    """The page of a command.

    Attributes:
        summary: what it does, in a line that fits a list of commands.
        docs: its page of the documentation, below its address.
        examples: two or three.
        statuses: the exit statuses that it may have, of :data:`STATUSES`.
        variables: the names of those that matter, of :data:`VARIABLES`.
    """

    summary: str
    docs: str
    examples: tuple[Example, ...]
    statuses: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()


STATUSES = {
    0: "done",
    1: "something unexpected, a limit, or a question answered with no",
    2: "wrong usage",
    3: "configuration that is not valid, or no such profile",
    4: "the secret is not to be had",
    5: "the project file is not trusted",
    6: "the server cannot be reached",
    7: "TLS fails",
    8: "not a Milvus, or one that is not ready",
    9: "authentication fails, or permission is missing",
    10: "there is no such database",
    126: "the program cannot be run",
    127: "there is no such program",
    130: "interrupted",
}
"""What exit statuses mean."""

VARIABLES = {
    "MILVUS_PROFILE": "the profile, where no argument or option names one",
    "MILVUS_PROFILES_FILE": "the one file that is read, as --config",
    "MILVUS_PROFILES__ALIAS__FIELD": "a field of a profile",
    "MILVUS_URI": "declares a profile, with MILVUS_TOKEN or MILVUS_USER",
    "MILVUS_PROFILES_KEYRING_TIMEOUT": "seconds to wait for the keyring",
    "MILVUS_PROFILES_EXEC": "set for the program: the profile's alias",
    "GRPC_DNS_RESOLVER": "native takes the system's resolver",
    "XDG_CONFIG_HOME": "where the user's own file is, else ~/.config",
    "XDG_STATE_HOME": "where it is kept what is trusted, else ~/.local/state",
    "VISUAL": "the editor, before EDITOR",
    "EDITOR": "the editor",
    "SHELL": "whose syntax --shell prints",
    "NO_COLOR": "no colours, as --no-color",
}
"""What variables mean."""

# Statuses: of what reads files, writes them, hands a secret on, and asks a server.

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "": {
        "Connect": ("test", "connect", "ping", "watch", "open"),
        "Profiles": (
            *("list", "show", "add", "use", "current", "edit", "set", "unset", "rename", "copy", "remove"),
            "profile",
        ),
        "Secrets and trust": ("secret", "trust", "untrust"),
        "Other clients": ("exec", "export", "import"),
        "Care": ("doctor", "explain", "config", "completion", "help", "version"),
    },
    "profile": {
        "Connect": ("test", "ping", "watch", "open"),
        "Profiles": ("list", "show", "add", "use", "current", "edit", "set", "unset", "rename", "copy", "remove"),
    },
    "secret": {"Commands": ("set", "status", "delete")},
    "config": {"Commands": ("path", "validate", "schema")},
}
"""The commands of each group of commands, by what people do with them, the most used first."""
