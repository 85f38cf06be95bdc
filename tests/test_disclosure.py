"""One answer to what may be shown of a file: in diffs, errors and their messages, `trust`, `show` and `list` alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_profiles.cli.entry import main
from milvus_profiles.config.edit import replace_file

from .support.command import Command

pytestmark = pytest.mark.security

CANARY = "hunter2canary"
KEY = f"-----BEGIN PRIVATE KEY-----MIIE{CANARY}"
COMMANDS = [
    ["profile", "set", "a", "timeout=5", "--dry-run"],
    ["profile", "set", "b", "timeout=5", "--dry-run"],
    ["profile", "remove", "b", "--dry-run"],
    ["profile", "copy", "b", "c", "--dry-run"],
    ["profile", "list"],
    ["profile", "show", "b"],
    ["profile", "show", "b", "--explain"],
    ["profile", "test", "b"],
    ["config", "validate"],
    ["doctor"],
    ["trust"],
    ["export", "b", "--format", "env"],
]
LINES = {
    "a user with its password": f'user = "root:{CANARY}"',
    "a key in place of its path": f'ssl.cert = "x"\nssl.key = "{KEY}"',
    "a key of several lines": f'ssl.cert = "x"\nssl.key = """\n{KEY}\n{CANARY}\n"""',
    "a key in the description": f'description = "{KEY}"',
    "a key in a secret's file": f'token = {{ file = "{KEY}" }}',
    "userinfo in the address": f'#\nuri = "root:{CANARY}@h:1"',
    "a password in place of the port": f'#\nuri = "http://root:{CANARY}"',
    "userinfo in escapes": f'proxy = "http://root:{CANARY}\\u0040p:1"',
    "userinfo of a proxy": f'proxy = "http://root:{CANARY}@p:1"',
    "userinfo in a host": f'#\nhost = "root:{CANARY}@h"',
    "userinfo in a database": f'#\nuri = "http://h/x"\ndb_name = "root:{CANARY}@h"',
    "userinfo in a description": f'description = "see http://root:{CANARY}@h"',
    "userinfo in a parent's name": f'extends = "root:{CANARY}@h"',
    "a misspelt field": f'tokn = "{CANARY}"',
    "a misspelt key of a table": f'ssl = {{ kee = "{CANARY}" }}',
    "an argument of a command": f'token = {{ command = ["op", "{CANARY}"] }}',
    "a name of a variable that is none": f'token = {{ command = ["op"], pass_env = ["{CANARY} x"] }}',
    "a literal": f'token = "{CANARY}"',
    "a literal in a comment": f'# tokn = "{CANARY}"',
    "a user in a comment": f'# user = "root:{CANARY}"',
    "userinfo in a comment": f"timeout = 5 # root:{CANARY}@h",
    "a command in a comment": f'# command = ["op", "{CANARY}"]',
    "a key in a comment": f"# -----BEGIN PRIVATE KEY-----\n# {CANARY}\n# -----END PRIVATE KEY-----",
}


def text_of(lines: str) -> str:
    address = "" if lines.startswith("#\n") else 'uri = "https://h"\n'
    return f'[profiles.a]\nuri = "https://h"\n[profiles.b]\n{address}{lines.removeprefix("#" + chr(10))}\n'


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", LINES)
def test_no_command_shows_what_may_be_a_secret(project: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "milvus.toml").write_text(text_of(LINES[name]))
    for words in COMMANDS:
        for option in ([], ["--json"]):
            if words[0] == "export" and "token" in LINES[name]:
                continue  # there a secret is asked for
            main([*option, *words])
            said = "".join(capfd.readouterr())
            assert said, words
            assert CANARY not in said, (words, option, said)


def test_what_is_harmless_is_shown(cli: Command, project: Path) -> None:
    harmless = [
        'description = "owner: ops@example.com, see https://wiki.example.com"',
        'user = "alice@example.com"',
        'ssl = { ca = "certs/ca@2.pem", server_name = "h.example.com" }',
        'db_name = "analytics"',
        "# timeout = 5",
        "# --------------------------------------------------",
    ]
    text = text_of("\n".join(harmless))
    (project / "milvus.toml").write_text(text)
    diff = cli("profile", "remove", "b", "--dry-run").stdout
    for line in harmless:
        assert f"-{line}\n" in diff
    shown = cli("--json", "profile", "copy", "a", "c", "--dry-run").stdout
    assert "https://h" in shown


def test_a_database_of_any_name_is_shown_with_its_path(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "./a (b)+c@d,é.db"\n')
    for words in (["profile", "list"], ["profile", "show", "a"], ["profile", "set", "a", "timeout=5", "--dry-run"]):
        assert "a (b)+c@d,é.db" in cli(*words).stdout


def test_of_a_broken_text_only_names_of_fields_are_shown(project: Path) -> None:
    file = project / "milvus.toml"
    # A line of base64 in a text of several lines looks like the entry of a field without a value.
    file.write_text(f'[profiles.a]\ntoken = """\n{CANARY}==\n""\nuri = x\n')
    diff = replace_file(file, b"[profiles.b]\n", expect=None, dry_run=True).diff
    assert CANARY not in diff
    assert "-uri = " in diff
