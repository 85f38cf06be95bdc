"""No byte in any value ends in an untyped error, and one wrong profile is no other's.

Each text stands in turn in every field of a profile, every variable and every option, and every command that reads
them is run, in this process and through the program's own entry.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles.cli.entry import main
from milvus_profiles.config.fields import FIELDS, SECRET_FIELDS, field
from milvus_profiles.config.settings import CONTROL, FAMILY, PREFIX
from tests.support.files import written

pytestmark = pytest.mark.security

TEXTS = {
    "NUL": "a\0b",
    "home NUL": "~\0x",
    "home": "~",
    "nobody": "~nobody-of-that-name/x",
    "nobody NUL": "~nobody\0/x.db",
    "newline": "a\nb",
    "escape": "\x1b[31m\x9b\x07",
    "bidi": "\u202eabc\u2066\ufeff",
    "half a pair": "a\ud800",
    "byte": "a\udcff",
    "long": "x" * 5000,
    "long path": "./" + "y/" * 5000 + "x.db",
    "long home": "~" + "z" * 5000,
    "quotes": "\"'`$(x)\\ %s{0}",
    "braces": '{ file = "',
    "dots": "..",
    "number": "9" * 4400,
    "dash": "--",
}
PATHS = [
    path
    for name in FIELDS
    for path in (
        [(name,)] + [(name, key) for key in (field((name,)).keys[:3] if name == "pool" else field((name,)).keys)]
    )
]
LISTS = {("token", "command"), ("token", "pass_env"), ("password", "command"), ("password", "pass_env")}


def toml(text: str) -> str:
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08X}" for c in text) + '"'


def table(path: tuple[str, ...], text: str) -> str:
    """The lines of a profile with the text in one of its fields, and with what makes that the one fault."""
    value = f"[{toml('echo')}, {toml(text)}]" if path in LISTS else toml(text)
    lines = [] if path[0] in ("uri", "host", "port") else ['uri = "http://127.0.0.1:1"']
    if path == ("port",):
        lines.append('host = "127.0.0.1"')
    if path[0] == "password":
        lines.append('user = "u"')
    if path[-1] == "pass_env":
        lines.append(f'{path[0]} = {{ command = ["echo", "x"], pass_env = {value} }}')
    else:
        lines.append(f"{path[0]} = {value}" if len(path) == 1 else f"{path[0]} = {{ {path[1]} = {value} }}")
    return "\n".join(lines)


@pytest.fixture(params=TEXTS.values(), ids=list(TEXTS))
def text(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


class Run:
    """Runs the program in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        """Its status and standard output, once both are what they should be."""
        status = main(list(words))
        out, err = self.capsys.readouterr()
        assert "unexpected:" not in err, (words, err)
        assert status != 1, (words, err)
        assert "Traceback" not in err, (words, err)
        assert "\x1b" not in out + err, words
        return status, out


@pytest.fixture
def run(in_process: None, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def writable(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)


@pytest.mark.parametrize("role", ["user", "trusted"])
def test_no_field_of_a_file_is_anybody_elses_trouble(run: Run, home: Path, project: Path, text: str, role: str) -> None:
    if not writable(text):
        return  # no TOML file can hold it
    names = {path: "-".join(path).replace("_", "-") for path in PATHS}
    good = '[profiles.good]\nuri = "http://127.0.0.1:1"\n'
    content = "\n".join(f"[profiles.{names[path]}]\n{table(path, text)}\n" for path in PATHS) + good
    file = project / "milvus.toml" if role != "user" else home / ".config/milvus/milvus.toml"
    written(file, content)
    if role == "trusted":
        assert run("trust", "--json")[0] == 0
    status, listed = run("profile", "list", "--json")
    assert status == 0
    rows = {row["alias"]: row for row in json.loads(listed)}
    assert len(rows) == len(PATHS) + 1
    assert rows["good"]["error"] is None
    assert run("profile", "show", "good")[0] == 0
    for words in (["profile", "list"], ["config", "validate"], ["config", "validate", "--json"], ["doctor", "--json"]):
        run(*words)
    for name in names.values():
        assert run("profile", "show", name, "--json", "--explain")[0] in (0, 3)
        if role == "user":
            assert run("secret", "status", name)[0] in (0, 3, 4)
            assert run("export", name, "--to", "dotenv")[0] in (0, 3, 4)
        profiles = mp.load()
        with pytest.raises(mp.MilvusProfilesError):
            mp.connect(name, profiles=profiles, timeout=0.2)


@pytest.mark.parametrize("where", ["alias", "default_profile", "keyring_backends", "root", "field", "extends chain"])
def test_no_name_in_a_file_ends_in_an_untyped_error(run: Run, project: Path, text: str, where: str) -> None:
    if not writable(text):
        return
    profile = 'uri = "http://127.0.0.1:1"\n'
    content = {
        "alias": f"[profiles.{toml(text)}]\n{profile}",
        "default_profile": f"default_profile = {toml(text)}\n[profiles.p]\n{profile}",
        "keyring_backends": f"keyring_backends = [{toml(text)}]\n[profiles.p]\n{profile}",
        "root": f"{toml(text)} = 1\n[profiles.p]\n{profile}",
        "field": f"[profiles.p]\n{profile}{toml(text)} = 1\nssl = {{ {toml(text)} = 1 }}\n",
        "extends chain": f"[profiles.p]\nextends = 'q'\n[profiles.q]\nextends = {toml(text)}\n",
    }[where]
    (project / "milvus.toml").write_text(content)
    for words in (
        ["profile", "list"], ["profile", "list", "--json"], ["profile", "show"], ["profile", "show", "p", "--json"],
        ["config", "validate"], ["doctor"], ["trust"], ["profile", "set", "p", "timeout=3"], ["config", "path"],
        ["profile", "add", "q", "--uri", "localhost"],
    ):  # fmt: skip
        run(*words)


def variables() -> list[str]:
    fields = [
        PREFIX + "P__" + "__".join(part.upper() for part in path)
        for path in PATHS
        if not (path[0] in SECRET_FIELDS and path[1:] == ("pass_env",))
    ]
    more = [f"{PREFIX}P__TOKEN_FILE", f"{PREFIX}P__PASSWORD_FILE", "HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"]
    others = ["SHELL", "SUDO_UID", "NO_COLOR", "TERM", "PATH", "ZILLIZ_CONFIG_DIR", "LANG", "GRPC_VERBOSITY"]
    return [*FAMILY, *CONTROL, *fields, *more, *others]


def test_no_variable_ends_in_an_untyped_error(
    run: Run, home: Path, project: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "milvus.toml").write_text('[profiles.p]\nuri = "http://127.0.0.1:1"\nuser = "u"\n')
    try:
        os.fsencode(text)
        settable = "\0" not in text
    except UnicodeEncodeError:
        settable = False
    for name in variables():
        if name == "MILVUS_PROFILES_EXEC":
            continue
        with monkeypatch.context() as patch:
            if name in FAMILY and name != "MILVUS_URI":
                patch.setenv("MILVUS_URI", "http://127.0.0.1:1")
            if settable:
                patch.setenv(name, text)
                run("profile", "list", "--json")
                run("profile", "show")
            if settable and not name.startswith(PREFIX) and name not in ("TERM", "LANG", "GRPC_VERBOSITY", "NO_COLOR"):
                for line in ("config path", "config validate", "trust", "untrust", "import --from zilliz", "use p"):
                    run(*line.split())
            env = {"HOME": str(home), name: text}
            if "MILVUS_URI" in os.environ:
                env.setdefault("MILVUS_URI", os.environ["MILVUS_URI"])
        try:
            profiles = mp.load(env=env, cwd=project)
            mp.connect("p", profiles=profiles, timeout=0.2)
        except mp.MilvusProfilesError:
            pass
        else:
            raise AssertionError(name)


def test_no_argument_of_a_call_ends_in_an_untyped_error(home: Path, project: Path, text: str) -> None:
    env = {"HOME": str(home)}
    for path in PATHS:
        value: object = [text, "x"] if path in LISTS else text
        fields: dict[str, Any] = {path[0]: value if len(path) == 1 else {path[1]: value}}
        for base in ({}, {"uri": "http://127.0.0.1:1"}):
            with pytest.raises(mp.MilvusProfilesError):
                mp.connect(profiles=mp.load(env=env, cwd=project), **{"timeout": 0.2, **base, **fields})
    with pytest.raises(mp.MilvusProfilesError):
        mp.load(text, env=env, cwd=project)
    with pytest.raises(mp.MilvusProfilesError):
        mp.connect(text, profiles=mp.load(env=env, cwd=project))
    with contextlib.suppress(mp.MilvusProfilesError):
        mp.load(env=env, cwd=text)


OPTIONS = [
    ["--config", "{}", "profile", "list"],
    ["--config", "{}", "profile", "add", "q", "--uri", "localhost", "--dry-run"],
    ["--config", "{}", "profile", "edit"],
    ["--config", "{}", "config", "path"],
    ["--config", "{}", "config", "validate"],
    ["--config", "{}", "doctor"],
    ["--config", "{}", "profile", "use", "-"],
    ["--profile", "{}", "profile", "show"],
    ["profile", "show", "{}"],
    ["profile", "test", "{}"],
    ["profile", "test", "p", "--timeout", "0.2", "--junit", "{}"],
    ["profile", "test", "p", "--timeout", "0.2", "--html", "{}"],
    ["open", "{}"],
    ["profile", "use", "{}"],
    ["profile", "use", "{}", "--shell"],
    ["profile", "rename", "p", "{}"],
    ["profile", "copy", "p", "{}"],
    ["profile", "remove", "{}"],
    ["profile", "unset", "p", "{}"],
    ["profile", "set", "p", "{}"],
    ["profile", "set", "p", "{}=1"],
    ["profile", "add", "{}", "--uri", "localhost"],
    *(
        ["profile", "add", "q", *(["--uri", "localhost"] if name not in ("--uri", "--host") else []), name, "{}"]
        for name in (
            "--uri", "--host", "--port", "--db-name", "--user", "--token-env", "--token-file", "--token-command",
            "--ca", "--cert", "--key", "--server-name", "--description",
        )
    ),
    *(["profile", "set", "p", f"{'.'.join(path)}={{}}"] for path in PATHS),
    *(["profile", "set", "p", f"{name}.command=[\"{{}}\"]"] for name in SECRET_FIELDS),
    ["secret", "status", "{}"],
    ["secret", "delete", "{}"],
    ["trust", "{}"],
    ["untrust", "{}"],
    ["export", "{}", "--to", "dotenv"],
    ["export", "p", "--to", "{}"],
    ["import", "--from", "{}"],
    *(["import", "--from", name, "{}"] for name in ("milvus-cli", "dotenv", "zilliz", "attu", "pymilvus-uri")),
    ["exec", "p", "--env-prefix", "{}", "--", "/no/such/program"],
    ["exec", "p", "--only", "{}", "--", "/no/such/program"],
    ["exec", "{}", "--", "/no/such/program"],
    ["connect", "-h", "{}", "-a", "q"],
    ["connect", "-p", "{}"],
    ["connect", "-a", "{}"],
    ["connect", "-u", "{}", "-a", "q"],
    ["{}"],
    ["profile", "{}"],
    ["--{}"],
]  # fmt: skip


def test_no_option_ends_in_an_untyped_error(
    run: Run, project: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "true")
    file = project / "milvus.toml"
    for words in OPTIONS:
        file.write_text('[profiles.p]\nuri = "http://127.0.0.1:1"\n')
        run(*(word.replace("{}", text) for word in words))
