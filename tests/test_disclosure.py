"""One answer to what may be shown of a file: in diffs, errors and their messages, `trust`, `show` and `list` alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from milvus_profiles.cli.entry import main

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
    ["export", "b", "--to", "env"],
    ["--profile", "b", "current"],
    ["--profile", "b", "current", "--format", "{db_name} {uri}"],
]
EXPORTED = ("a pair in the database", "an encoded colon")
"""What another client is told as it stands: its name of a database, or of a user."""
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
    "a password in a comment": f'# pw = "{CANARY}"',
    "a password after a colon": f"# username: root, pass: {CANARY}",
    "a password without a sign": f"# the password is {CANARY}",
    "a command in words": f"# curl -u root:{CANARY} https://h",
    "a switched-off address": f'# uri = "http://root:{CANARY}"',
    "an option in a comment": f"# --token {CANARY}",
    "a token in the next comment": f"# token:\n#   {CANARY}",
    "a key that begins behind an entry": f"timeout = 4 # -----BEGIN KEY-----\n# {CANARY}\n# -----END KEY-----",
    "a key that begins where another ends": f"# ----BEGIN A----\n# ----END A--------BEGIN B----\n# {CANARY}",
    "an empty line in a key": f"# -----BEGIN KEY-----\n# Proc-Type: 4\n\n# {CANARY}",
    "a password in the description": f'description = "password: {CANARY}"',
    "a pair in the description": f'description = "root:{CANARY}"',
    "a pair in the database": f'db_name = "root:{CANARY}"',
    "spaces in a password": f'description = "http://root:p {CANARY}@h"',
    "a backslash in a password": f"description = 'root:\\{CANARY}@h'",
    "an encoded colon": f'user = "root%3a{CANARY}"',
    "an encoded colon and an at": f'description = "root%3A{CANARY}@h"',
    "a whole command in one text": f'token = {{ command = ["op --pw={CANARY}"] }}',
    "the body of a key as a path": f'ssl.cert = "x"\nssl.key = "MIIE{CANARY * 10}"',
    "userinfo as a name": f'"root:{CANARY}@h" = 1',
    "userinfo as a long name": f'"root:{CANARY}{"x" * 60}@h" = 1',
    "userinfo as a name, escaped": f'"root:{CANARY}\\u0040h" = 1',
    "userinfo as an alias": f'[profiles."root:{CANARY}@h"]',
    "a pair as a name": f'"root:{CANARY}" = 1',
    "a pair as a name in a table": f'user = {{ "root:{CANARY}" = 3 }}',
    "a pair as an alias": f'[profiles."root:{CANARY}"]',
    "a pair as a table": f'["root:{CANARY}"]',
    "a pair for a database that the address names": f'#\nuri = "http://h/x"\ndb_name = "root:{CANARY}"',
    "a long name of a parent": f'extends = "root:{CANARY}{"x" * 60}@h"',
    "a text for a number": f'timeout = "{CANARY}"',
    "a text for a switch": f'protected = "{CANARY}"',
    "a text for a table": f'ssl = "{CANARY}"',
    "an array for a text": f'description = ["{CANARY}"]',
    "a user of two lines": f'user = "root\\n{CANARY}"',
    "a broken description": f"description = password:{CANARY}",
    "a broken port": f"port = 19530:{CANARY}",
    "a broken user": f'user = "root:{CANARY}',
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
            if words[0] == "export" and ("token" in LINES[name] or name in EXPORTED):
                continue  # there a secret is asked for
            main([*option, *words])
            said = "".join(capfd.readouterr())
            assert said, words
            assert CANARY not in said, (words, option, said)


@pytest.mark.usefixtures("in_process")
def test_nor_do_a_default_and_what_is_imported(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (project / "milvus.toml").write_text(f'default_profile = "root:{CANARY}"\n[profiles.a]\nuri = "https://h"\n')
    (project / ".env").write_text(f"MILVUS_URI=http://h\nMILVUS_DB_NAME=root:{CANARY}\nMILVUS_USER=root:{CANARY}\n")
    for words in (
        ["list"], ["show", "a"], ["test"], ["current"], ["config", "validate"], ["connect", "-D"],
        ["import", "--from", "dotenv", ".env", "--dry-run"],
    ):  # fmt: skip
        for option in ([], ["--json"]):
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
        '# token = { env = "MILVUS_TOKEN" }',
        "# author: Jane Doe, at 10:00, see https://wiki.example.com:8443/x",
        "# keys: a, b; localhost:19530",
        "# --------------------------------------------------",
    ]
    (project / "milvus.toml").write_text(text_of("\n".join(harmless)))
    diff = cli("profile", "remove", "b", "--dry-run").stdout
    for line in harmless:
        assert f"-{line}\n" in diff
    assert "https://h" in cli("--json", "profile", "copy", "a", "c", "--dry-run").stdout


def test_a_database_of_any_name_is_shown_with_its_path(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "./a (b)+c@d,é.db"\n')
    for words in (["profile", "list"], ["profile", "show", "a"], ["profile", "set", "a", "timeout=5", "--dry-run"]):
        assert "a (b)+c@d,é.db" in cli(*words).stdout
