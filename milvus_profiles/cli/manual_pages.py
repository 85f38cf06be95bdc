"""What the help says of each command: a summary, examples, exit statuses, variables, a page of the docs.

Data alone, for the help and for whatever else is made of it; a test runs every example.
"""

from __future__ import annotations

from .manual import Example, Page

__all__ = ["PAGES"]

_READS = (0, 1, 2, 3)
_TRUSTS = (*_READS, 5)
_HANDS_ON = (*_READS, 4, 5)
_CONNECTS = (*_HANDS_ON, 6, 7, 8, 9, 10, 130)
_SELECTS = ("MILVUS_PROFILE", "MILVUS_PROFILES_FILE", "MILVUS_PROFILES__ALIAS__FIELD", "MILVUS_URI")
_CHOOSES = ("MILVUS_PROFILE", "MILVUS_PROFILES_FILE")
_WRITES = ("MILVUS_PROFILES_FILE", "XDG_CONFIG_HOME")
_KEYRING = ("MILVUS_PROFILES_KEYRING_TIMEOUT",)

PAGES: dict[str, Page] = {
    "": Page(
        "Named connection profiles for Milvus.",
        "start/lite/",
        (
            Example("milvus-profiles add films ./films.db --default", "name a Milvus Lite, and make it the default"),
            Example("milvus-profiles test", "see whether the selected profile leads to a Milvus"),
            Example("milvus-profiles exec films -- python search.py", "run a program with it"),
        ),
        _CONNECTS,
        (*_SELECTS, "NO_COLOR"),
    ),
    "test": Page(
        "Test whether a profile leads to a Milvus, step by step.",
        "how-to/diagnose/",
        (
            Example("milvus-profiles test prod", "the steps of connecting, and which one fails"),
            Example("milvus-profiles test --all --timeout 5", "every profile, side by side"),
            Example("milvus-profiles test prod --wait 60 --junit report.xml", "wait for a server that starts, in CI"),
        ),
        _CONNECTS,
        (*_SELECTS, *_KEYRING, "GRPC_DNS_RESOLVER"),
    ),
    "connect": Page(
        "Check a server, name its address, and select it.",
        "how-to/other-clients/",
        (
            Example("milvus-profiles connect -h 127.0.0.1 -p 19530 -u root --password-stdin < pw", "as `default`"),
            Example("milvus-profiles connect -a prod", "check a profile that is there, and select it"),
            Example("milvus-profiles connect -D", "select it no longer"),
        ),
        _CONNECTS,
        (*_CHOOSES, *_KEYRING),
    ),
    "ping": Page(
        "Measure how long a server takes to answer.",
        "how-to/diagnose/",
        (
            Example("milvus-profiles ping prod -c 3 -i 0.2", "three answers, 0.2 seconds apart"),
            Example("milvus-profiles ping prod -c 2 -i 0.1 --json", "a line of JSON for each answer"),
        ),
        _CONNECTS,
        (*_SELECTS, *_KEYRING),
    ),
    "watch": Page(
        "Test profiles again and again, in a live table.",
        "how-to/diagnose/",
        (
            Example("milvus-profiles watch prod --every 1 -c 3", "three rounds, a second apart"),
            Example("milvus-profiles watch -c 2 --every 1 --json", "every profile, a line of JSON a round"),
        ),
        _CONNECTS,
        (*_SELECTS, *_KEYRING),
    ),
    "open": Page(
        "Print the address of a server's web console.",
        "how-to/diagnose/",
        (
            Example("milvus-profiles open prod", "Attu, Milvus's WebUI, or Zilliz Cloud's"),
            Example("milvus-profiles open prod --json", "with what was looked for"),
        ),
        _CONNECTS,
        _SELECTS,
    ),
    "list": Page(
        "List the profiles in force.",
        "understanding/profiles/",
        (
            Example("milvus-profiles list", "a line for each; * is selected, ! is not trusted"),
            Example("milvus-profiles list -v", "whole, with the place of each"),
            Example("milvus-profiles list --json", "for programs"),
        ),
        _READS,
        _SELECTS,
    ),
    "show": Page(
        "Show a profile; secrets are masked.",
        "understanding/profiles/",
        (
            Example("milvus-profiles show prod", "what it says"),
            Example("milvus-profiles show prod --explain", "where each value comes from, and what it hides"),
        ),
        _READS,
        _SELECTS,
    ),
    "add": Page(
        "Add a profile to the project's file, or to your own.",
        "start/server/",
        (
            Example("milvus-profiles add films ./films.db --default", "a Milvus Lite, the default of the file"),
            Example(
                "milvus-profiles add eu https://eu.example --user root --password-stdin < pw",
                "a server, with the password in the keyring",
            ),
            Example("milvus-profiles add build https://ci.example --token-env CI_TOKEN", "a token from a variable"),
        ),
        _CONNECTS,
        (*_WRITES, *_KEYRING),
    ),
    "use": Page(
        "Make a profile the default.",
        "understanding/profiles/",
        (
            Example("milvus-profiles use prod", "from now on"),
            Example("milvus-profiles use -", "the one before"),
            Example('eval "$(milvus-profiles use prod --shell)"', "in this shell only"),
        ),
        _TRUSTS,
        (*_CHOOSES, "XDG_CONFIG_HOME", "SHELL"),
    ),
    "current": Page(
        "Print the selected profile, for people and prompts.",
        "how-to/prompt/",
        (
            Example("milvus-profiles current", "its alias, and on a terminal why"),
            Example("milvus-profiles current --format '{alias} {uri}'", "for a prompt"),
        ),
        _TRUSTS,
        _SELECTS,
    ),
    "edit": Page(
        "Edit the file in your editor; it is checked first.",
        "how-to/editing/",
        (
            Example("milvus-profiles edit", "the project's file where there is one, else yours"),
            Example("milvus-profiles edit --user-file", "yours"),
        ),
        _READS,
        ("VISUAL", "EDITOR", *_WRITES),
    ),
    "set": Page(
        "Set fields of a profile.",
        "how-to/editing/",
        (
            Example("milvus-profiles set prod timeout=5 db_name=default", "two fields"),
            Example("milvus-profiles set prod retry.attempts=3", "a key in a table"),
            Example("milvus-profiles set ci token='{ env = \"CI_TOKEN\" }' --dry-run", "a table, and only show it"),
        ),
        _READS,
        _CHOOSES,
    ),
    "unset": Page(
        "Remove fields of a profile, so that defaults hold.",
        "how-to/editing/",
        (
            Example("milvus-profiles unset prod timeout", "the default is 10 seconds"),
            Example("milvus-profiles unset prod description --dry-run", "show the change, make none"),
        ),
        _READS,
        _CHOOSES,
    ),
    "rename": Page(
        "Rename a profile; what refers to it follows.",
        "how-to/editing/",
        (
            Example("milvus-profiles rename prod live", "its secret stays where it is"),
            Example("milvus-profiles rename ci build --dry-run", "show the change, make none"),
        ),
        _READS,
        _CHOOSES,
    ),
    "copy": Page(
        "Copy a profile within its file.",
        "how-to/editing/",
        (
            Example("milvus-profiles copy prod staging", "to change the copy"),
            Example("milvus-profiles copy ci build --dry-run", "show the change, make none"),
        ),
        _READS,
        _CHOOSES,
    ),
    "remove": Page(
        "Remove a profile from the file that declares it.",
        "how-to/editing/",
        (
            Example("milvus-profiles remove ci", "its secret stays in the keyring"),
            Example("milvus-profiles remove prod --with-secret", "its secret too"),
        ),
        (*_READS, 4),
        (*_CHOOSES, *_KEYRING),
    ),
    "profile": Page(
        "The same commands, by their long names.",
        "how-to/editing/",
        (
            Example("milvus-profiles profile list", "the same as `milvus-profiles list`"),
            Example("milvus-profiles profile show prod", "the same as `milvus-profiles show prod`"),
        ),
        _CONNECTS,
        _SELECTS,
    ),
    "secret": Page(
        "Keep secrets in the operating system's keyring.",
        "understanding/secrets/",
        (
            Example("milvus-profiles secret set prod < pw", "store it"),
            Example("milvus-profiles secret status prod", "see whether it is there"),
        ),
        _HANDS_ON,
        (*_CHOOSES, *_KEYRING),
    ),
    "secret set": Page(
        "Store a password or token in the keyring.",
        "understanding/secrets/",
        (
            Example("milvus-profiles secret set prod < pw", "from a file; on a terminal it asks"),
            Example("printenv PASSWORD | milvus-profiles secret set prod", "from another program"),
        ),
        _HANDS_ON,
        (*_CHOOSES, *_KEYRING),
    ),
    "secret status": Page(
        "Say where a secret comes from, and whether it is there.",
        "understanding/secrets/",
        (
            Example("milvus-profiles secret status prod", "it is never shown"),
            Example("milvus-profiles secret status prod --json", "with the account in the keyring"),
        ),
        _HANDS_ON,
        (*_CHOOSES, *_KEYRING),
    ),
    "secret delete": Page(
        "Delete a secret from the keyring.",
        "understanding/secrets/",
        (
            Example("milvus-profiles secret delete prod", "it asks where others use it too"),
            Example("milvus-profiles --profile prod secret delete --json", "for programs"),
        ),
        _HANDS_ON,
        (*_CHOOSES, *_KEYRING),
    ),
    "trust": Page(
        "Let a project file use secrets, programs, certificates.",
        "understanding/trust/",
        (
            Example("milvus-profiles trust", "the file in force here, as it is now"),
            Example("milvus-profiles trust --list", "what is trusted"),
        ),
        _READS,
        ("XDG_STATE_HOME",),
    ),
    "untrust": Page(
        "Trust a project file no longer.",
        "understanding/trust/",
        (
            Example("milvus-profiles untrust", "the file in force here"),
            Example("milvus-profiles untrust --all", "none at all"),
        ),
        _READS,
        ("XDG_STATE_HOME",),
    ),
    "exec": Page(
        "Run a program with a profile in its environment.",
        "how-to/other-clients/",
        (
            Example("milvus-profiles exec prod -- python search.py", "with MILVUS_URI, MILVUS_TOKEN and others"),
            Example("milvus-profiles exec prod --only MILVUS_URI -- printenv MILVUS_URI", "one variable alone"),
            Example("milvus-profiles --profile prod exec -- python search.py", "named before"),
        ),
        (*_CONNECTS, 126, 127),
        (*_SELECTS, "MILVUS_PROFILES_EXEC"),
    ),
    "export": Page(
        "Print a profile for another client.",
        "how-to/other-clients/",
        (
            Example('eval "$(milvus-profiles export ci --to env)"', "set its variables in this shell"),
            Example("milvus-profiles export prod --to go > main.go", "a complete program"),
            Example("milvus-profiles export prod --to k8s-secret --with-secret --yes", "a manifest, with the secret"),
        ),
        _HANDS_ON,
        _SELECTS,
    ),
    "import": Page(
        "Import profiles from other tools.",
        "how-to/migrating/",
        (
            Example("milvus-profiles import", "what there is to import"),
            Example("milvus-profiles import --from milvus-cli --yes", "its connections, with their secrets"),
            Example("milvus-profiles import --from dotenv .env --alias old --dry-run", "show it, write nothing"),
        ),
        (*_READS, 4),
        (*_WRITES, *_KEYRING),
    ),
    "doctor": Page(
        "Examine this installation; no server is asked.",
        "how-to/diagnose/",
        (
            Example("milvus-profiles doctor", "libraries, files, keyring, variables"),
            Example("milvus-profiles doctor --json", "for a bug report"),
        ),
        _READS,
        (*_SELECTS, *_KEYRING),
    ),
    "explain": Page(
        "Say what an error means, and what to do about it.",
        "errors/",
        (
            Example("milvus-profiles explain tls", "an error, by its code"),
            Example("milvus-profiles explain 7", "by its exit status"),
            Example("milvus-profiles explain", "all of them"),
        ),
        (0, 1, 2),
    ),
    "config": Page(
        "See and check the configuration files.",
        "understanding/profiles/",
        (
            Example("milvus-profiles config path", "which files are read"),
            Example("milvus-profiles config validate", "whether all that is in them is valid"),
        ),
        _READS,
        _WRITES,
    ),
    "config path": Page(
        "Show which files are read, and where new profiles go.",
        "understanding/profiles/",
        (
            Example("milvus-profiles config path", "strongest first"),
            Example("milvus-profiles config path --json", "for programs"),
        ),
        _READS,
        _WRITES,
    ),
    "config validate": Page(
        "Check the files, and every profile in them.",
        "understanding/profiles/",
        (
            Example("milvus-profiles config validate", "those in force here"),
            Example("milvus-profiles config validate milvus.toml", "these alone, as in a pre-commit hook"),
        ),
        _READS,
        _WRITES,
    ),
    "config schema": Page(
        "Print the JSON schema of the files.",
        "understanding/profiles/",
        (
            Example("milvus-profiles config schema > milvus.schema.json", "for an editor"),
            Example("milvus-profiles config schema --json", "the same"),
        ),
        (0, 1, 2),
    ),
    "completion": Page(
        "Print the completion of a shell.",
        "how-to/editing/",
        (
            Example('eval "$(milvus-profiles completion bash)"', "in ~/.bashrc; zsh, after compinit, has it too"),
            Example("milvus-profiles completion fish > milvus-profiles.fish", "for ~/.config/fish/completions"),
        ),
        (0, 1, 2),
    ),
    "help": Page(
        "Print the help of a command.",
        "how-to/editing/",
        (
            Example("milvus-profiles help add", "the same as `milvus-profiles add --help`"),
            Example("milvus-profiles help secret set", "of a command in a group"),
        ),
        (0, 1, 2),
        ("NO_COLOR",),
    ),
    "version": Page(
        "Print the version.",
        "",
        (
            Example("milvus-profiles version", "the same as --version"),
            Example("milvus-profiles version --json", "for programs"),
        ),
        (0, 1, 2),
    ),
}
"""The page of each command, by its name; a group's commands stand behind its name, but those of ``profile`` alone."""
