"""What the help says beside the options of commands: groups, exit statuses, variables, and a page of each command.

Data alone, for the help and for whatever else is made of it; a test runs every example.
"""

from __future__ import annotations

from typing import NamedTuple


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
    statuses: tuple[int, ...]
    variables: tuple[str, ...]


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

_PROFILES = ("list", "show", "add", "use", "current", "edit", "set", "unset", "rename", "copy", "remove")
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "": {
        "Connect": ("test", "connect", "ping", "watch", "open"),
        "Profiles": (*_PROFILES, "profile"),
        "Secrets and trust": ("secret", "trust", "untrust"),
        "Other clients": ("exec", "export", "import"),
        "Care": ("doctor", "explain", "config", "completion", "help", "version"),
    },
    "profile": {
        "Connect": ("test", "ping", "watch", "open"),
        "Profiles": _PROFILES,
    },
    "secret": {"Commands": ("set", "status", "delete")},
    "config": {"Commands": ("path", "validate", "schema")},
}
"""The commands of each group of commands, by what people do with them, the most used first."""


_READS = (0, 1, 2, 3)
_TRUSTS = (*_READS, 5)
_HANDS_ON = (*_READS, 4, 5)
_CONNECTS = (*_HANDS_ON, 6, 7, 8, 9, 10, 130)
_SELECTS = ("MILVUS_PROFILE", "MILVUS_PROFILES_FILE", "MILVUS_PROFILES__ALIAS__FIELD", "MILVUS_URI")
_CHOOSES = ("MILVUS_PROFILE", "MILVUS_PROFILES_FILE")
_WRITES = ("MILVUS_PROFILES_FILE", "XDG_CONFIG_HOME")
_KEYRING = ("MILVUS_PROFILES_KEYRING_TIMEOUT",)

# What several commands share: a page of the docs, exit statuses, variables.
_EDITS = "how-to/editing/", _READS, _CHOOSES
_KEEPS_SECRETS = "understanding/secrets/", _HANDS_ON, (*_CHOOSES, *_KEYRING)
_FILES = "understanding/profiles/", _READS, _WRITES
_ASKS = "how-to/diagnose/", _CONNECTS, (*_SELECTS, *_KEYRING)
_LISTS = "understanding/profiles/", _READS, _SELECTS
_PINS = "understanding/trust/", _READS, ("XDG_STATE_HOME",)
_ABOUT = (0, 1, 2), ()
_LOOKS = _CONNECTS, _SELECTS


def _page(summary: str, docs: str, statuses: tuple[int, ...], variables: tuple[str, ...], *examples: Example) -> Page:
    return Page(summary, docs, examples, statuses, variables)


PAGES: dict[str, Page] = {
    "": _page(
        "Named connection profiles for Milvus.",
        "start/lite/",
        _CONNECTS,
        (*_SELECTS, "NO_COLOR"),
        Example("milvus-profiles add films ./films.db --default", "name a Milvus Lite, and make it the default"),
        Example("milvus-profiles test", "see whether the selected profile leads to a Milvus"),
        Example("milvus-profiles exec films -- python search.py", "run a program with it"),
    ),
    "test": _page(
        "Test whether a profile leads to a Milvus, step by step.",
        "how-to/diagnose/",
        _CONNECTS,
        (*_SELECTS, *_KEYRING, "GRPC_DNS_RESOLVER"),
        Example("milvus-profiles test prod", "the steps of connecting, and which one fails"),
        Example("milvus-profiles test --all --timeout 5", "every profile, side by side"),
        Example("milvus-profiles test prod --wait 60 --junit report.xml", "wait for a server that starts, in CI"),
    ),
    "connect": _page(
        "Check a server, name its address, and select it.",
        "how-to/other-clients/",
        _CONNECTS,
        (*_CHOOSES, *_KEYRING),
        Example("milvus-profiles connect -h 127.0.0.1 -p 19530 -u root --password-stdin < pw", "as `default`"),
        Example("milvus-profiles connect -a prod", "check a profile that is there, and select it"),
        Example("milvus-profiles connect -D", "select it no longer"),
    ),
    "ping": _page(
        "Measure how long a server takes to answer.",
        *_ASKS,
        Example("milvus-profiles ping prod -c 3 -i 0.2", "three answers, 0.2 seconds apart"),
        Example("milvus-profiles ping prod -c 2 -i 0.1 --json", "a line of JSON for each answer"),
    ),
    "watch": _page(
        "Test profiles again and again, in a live table.",
        *_ASKS,
        Example("milvus-profiles watch prod --every 1 -c 3", "three rounds, a second apart"),
        Example("milvus-profiles watch -c 2 --every 1 --json", "every profile, a line of JSON a round"),
    ),
    "open": _page(
        "Print the address of a server's web console.",
        "how-to/diagnose/",
        *_LOOKS,
        Example("milvus-profiles open prod", "Attu, Milvus's WebUI, or Zilliz Cloud's"),
        Example("milvus-profiles open prod --json", "with what was looked for"),
    ),
    "list": _page(
        "List the profiles in force.",
        *_LISTS,
        Example("milvus-profiles list", "a line for each; * is selected, ! is not trusted"),
        Example("milvus-profiles list -v", "whole, with the place of each"),
        Example("milvus-profiles list --json", "for programs"),
    ),
    "show": _page(
        "Show a profile; secrets are masked.",
        *_LISTS,
        Example("milvus-profiles show prod", "what it says"),
        Example("milvus-profiles show prod --explain", "where each value comes from, and what it hides"),
    ),
    "add": _page(
        "Add a profile to the project's file, or to your own.",
        "start/server/",
        _CONNECTS,
        (*_WRITES, *_KEYRING),
        Example("milvus-profiles add films ./films.db --default", "a Milvus Lite, the default of the file"),
        Example(
            "milvus-profiles add eu https://eu.example --user root --password-stdin < pw",
            "a server, with the password in the keyring",
        ),
        Example("milvus-profiles add build https://ci.example --token-env CI_TOKEN", "a token from a variable"),
    ),
    "use": _page(
        "Make a profile the default.",
        "understanding/profiles/",
        _TRUSTS,
        (*_CHOOSES, "XDG_CONFIG_HOME", "SHELL"),
        Example("milvus-profiles use prod", "from now on"),
        Example("milvus-profiles use -", "the one before"),
        Example('eval "$(milvus-profiles use prod --shell)"', "in this shell only"),
    ),
    "current": _page(
        "Print the selected profile, for people and prompts.",
        "how-to/prompt/",
        _TRUSTS,
        _SELECTS,
        Example("milvus-profiles current", "its alias, and on a terminal why"),
        Example("milvus-profiles current --format '{alias} {uri}'", "for a prompt"),
    ),
    "edit": _page(
        "Edit the file in your editor; it is checked first.",
        "how-to/editing/",
        _READS,
        ("VISUAL", "EDITOR", *_WRITES),
        Example("milvus-profiles edit", "the project's file where there is one, else yours"),
        Example("milvus-profiles edit --user-file", "yours"),
    ),
    "set": _page(
        "Set fields of a profile.",
        *_EDITS,
        Example("milvus-profiles set prod timeout=5 db_name=default", "two fields"),
        Example("milvus-profiles set prod retry.attempts=3", "a key in a table"),
        Example("milvus-profiles set ci token='{ env = \"CI_TOKEN\" }' --dry-run", "a table, and only show it"),
    ),
    "unset": _page(
        "Remove fields of a profile, so that defaults hold.",
        *_EDITS,
        Example("milvus-profiles unset prod timeout", "the default is 10 seconds"),
        Example("milvus-profiles unset prod description --dry-run", "show the change, make none"),
    ),
    "rename": _page(
        "Rename a profile; what refers to it follows.",
        *_EDITS,
        Example("milvus-profiles rename prod live", "its secret stays where it is"),
        Example("milvus-profiles rename ci build --dry-run", "show the change, make none"),
    ),
    "copy": _page(
        "Copy a profile within its file.",
        *_EDITS,
        Example("milvus-profiles copy prod staging", "to change the copy"),
        Example("milvus-profiles copy ci build --dry-run", "show the change, make none"),
    ),
    "remove": _page(
        "Remove a profile from the file that declares it.",
        "how-to/editing/",
        (*_READS, 4),
        (*_CHOOSES, *_KEYRING),
        Example("milvus-profiles remove ci", "its secret stays in the keyring"),
        Example("milvus-profiles remove prod --with-secret", "its secret too"),
    ),
    "profile": _page(
        "The same commands, by their long names.",
        "how-to/editing/",
        *_LOOKS,
        Example("milvus-profiles profile list", "the same as `milvus-profiles list`"),
        Example("milvus-profiles profile show prod", "the same as `milvus-profiles show prod`"),
    ),
    "secret": _page(
        "Keep secrets in the operating system's keyring.",
        *_KEEPS_SECRETS,
        Example("milvus-profiles secret set prod < pw", "store it"),
        Example("milvus-profiles secret status prod", "see whether it is there"),
    ),
    "secret set": _page(
        "Store a password or token in the keyring.",
        *_KEEPS_SECRETS,
        Example("milvus-profiles secret set prod < pw", "from a file; on a terminal it asks"),
        Example("printenv PASSWORD | milvus-profiles secret set prod", "from another program"),
    ),
    "secret status": _page(
        "Say where a secret comes from, and whether it is there.",
        *_KEEPS_SECRETS,
        Example("milvus-profiles secret status prod", "it is never shown"),
        Example("milvus-profiles secret status prod --json", "with the account in the keyring"),
    ),
    "secret delete": _page(
        "Delete a secret from the keyring.",
        *_KEEPS_SECRETS,
        Example("milvus-profiles secret delete prod", "it asks where others use it too"),
        Example("milvus-profiles --profile prod secret delete --json", "for programs"),
    ),
    "trust": _page(
        "Let a project file use secrets, programs, certificates.",
        *_PINS,
        Example("milvus-profiles trust", "the file in force here, as it is now"),
        Example("milvus-profiles trust --list", "what is trusted"),
    ),
    "untrust": _page(
        "Trust a project file no longer.",
        *_PINS,
        Example("milvus-profiles untrust", "the file in force here"),
        Example("milvus-profiles untrust --all", "none at all"),
    ),
    "exec": _page(
        "Run a program with a profile in its environment.",
        "how-to/other-clients/",
        (*_CONNECTS, 126, 127),
        (*_SELECTS, "MILVUS_PROFILES_EXEC"),
        Example("milvus-profiles exec prod -- python search.py", "with MILVUS_URI, MILVUS_TOKEN and others"),
        Example("milvus-profiles exec prod --only MILVUS_URI -- printenv MILVUS_URI", "one variable alone"),
        Example("milvus-profiles --profile prod exec -- python search.py", "named before"),
    ),
    "export": _page(
        "Print a profile for another client.",
        "how-to/other-clients/",
        _HANDS_ON,
        _SELECTS,
        Example('eval "$(milvus-profiles export ci --to env)"', "set its variables in this shell"),
        Example("milvus-profiles export prod --to go > main.go", "a complete program"),
        Example("milvus-profiles export prod --to k8s-secret --with-secret --yes", "a manifest, with the secret"),
    ),
    "import": _page(
        "Import profiles from other tools.",
        "how-to/migrating/",
        (*_READS, 4),
        (*_WRITES, *_KEYRING),
        Example("milvus-profiles import", "what there is to import"),
        Example("milvus-profiles import --from milvus-cli --yes", "its connections, with their secrets"),
        Example("milvus-profiles import --from dotenv .env --alias old --dry-run", "show it, write nothing"),
    ),
    "doctor": _page(
        "Examine this installation; no server is asked.",
        "how-to/diagnose/",
        _READS,
        (*_SELECTS, *_KEYRING),
        Example("milvus-profiles doctor", "libraries, files, keyring, variables"),
        Example("milvus-profiles doctor --json", "for a bug report"),
    ),
    "explain": _page(
        "Say what an error means, and what to do about it.",
        "errors/",
        *_ABOUT,
        Example("milvus-profiles explain tls", "an error, by its code"),
        Example("milvus-profiles explain 7", "by its exit status"),
        Example("milvus-profiles explain", "all of them"),
    ),
    "config": _page(
        "See and check the configuration files.",
        *_FILES,
        Example("milvus-profiles config path", "which files are read"),
        Example("milvus-profiles config validate", "whether all that is in them is valid"),
    ),
    "config path": _page(
        "Show which files are read, and where new profiles go.",
        *_FILES,
        Example("milvus-profiles config path", "strongest first"),
        Example("milvus-profiles config path --json", "for programs"),
    ),
    "config validate": _page(
        "Check the files, and every profile in them.",
        *_FILES,
        Example("milvus-profiles config validate", "those in force here"),
        Example("milvus-profiles config validate milvus.toml", "these alone, as in a pre-commit hook"),
    ),
    "config schema": _page(
        "Print the JSON schema of the files.",
        "understanding/profiles/",
        *_ABOUT,
        Example("milvus-profiles config schema > milvus.schema.json", "for an editor"),
        Example("milvus-profiles config schema --json", "the same"),
    ),
    "completion": _page(
        "Print the completion of a shell.",
        "how-to/editing/",
        *_ABOUT,
        Example('eval "$(milvus-profiles completion bash)"', "in ~/.bashrc; zsh, after compinit, has it too"),
        Example("milvus-profiles completion fish > milvus-profiles.fish", "for ~/.config/fish/completions"),
    ),
    "help": _page(
        "Print the help of a command.",
        "how-to/editing/",
        (0, 1, 2),
        ("NO_COLOR",),
        Example("milvus-profiles help add", "the same as `milvus-profiles add --help`"),
        Example("milvus-profiles help secret set", "of a command in a group"),
    ),
    "version": _page(
        "Print the version.",
        "",
        *_ABOUT,
        Example("milvus-profiles version", "the same as --version"),
        Example("milvus-profiles version --json", "for programs"),
    ),
}
"""The page of each command, by its name; a group's commands stand behind its name, but those of ``profile`` alone."""
