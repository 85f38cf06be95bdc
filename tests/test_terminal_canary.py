"""Nothing that a file, a path or a variable brings reaches a terminal as more than text: no command, in no form.

Every command of the program is run on files in which each text holds what a terminal acts on: escapes, controls of
both sets, line ends of every kind, zero-width and bidirectional characters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from milvus_profiles.cli.app import application
from milvus_profiles.cli.entry import main
from milvus_profiles.cli.internal import SYNONYMS
from milvus_profiles.config.settings import FAMILY, PREFIX
from milvus_profiles.interop.exports import FORMATS
from tests.support.command import Command
from tests.support.files import written
from tests.test_nasty_text import PATHS, table, toml

pytestmark = pytest.mark.security

# ESC: a CSI, an OSC 8 link and a title; BEL, BS, CR, VT, DEL, C1 (CSI, OSC, NEL), separators, zero-width, bidi, BOM.
ACTIVE = (
    "\x1b[31337m\x1b]8;;http://evil\x1b\\\x1b]0;owned\x07\x08\r\x0b\x0c\x7f\x9b31337m\x9d0;x\x9c\x85"
    "\u2028\u2029\u200b\u200f\u202e\u2066\u2069\ufeff\u00ad\u061c\U000e0041"
)
CANARY = f"k7q{ACTIVE}z"
FILE_NAME = CANARY.replace("/", "")
# What TOML lets stand unescaped, in comments and in names.
RAW = "".join(c for c in CANARY if ord(c) >= 0x20 and c != "\x7f")
NAMES = {path: "-".join(path).replace("_", "-") for path in PATHS}


def active(text: str) -> list[str]:
    """What a terminal would act on."""
    return sorted({ascii(c) for c in text if c != "\n" and not c.isprintable()})


def every_command() -> set[tuple[str, ...]]:
    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words
        for name, part in (inner or {}).items():
            yield from walk(part, (*words, name))

    return set(walk(get_command(application([])), ()))


def commands(alias: str, field: str = "timeout") -> list[list[str]]:
    """Each command at least once, for an alias and a field's name."""
    return [
        ["profile", "list"], ["profile", "show", alias], ["profile", "show", alias, "--explain"],
        ["profile", "test", alias, "--timeout", "0.2"], ["profile", "test", alias, "--timeout", "0.2", "--verbose"],
        ["profile", "set", alias, f"{field}=3", "--dry-run"], ["profile", "unset", alias, field, "--dry-run"],
        ["profile", "set", alias, f"description={CANARY}", "--dry-run"],
        ["profile", "rename", alias, "other", "--dry-run"], ["profile", "copy", alias, CANARY, "--dry-run"],
        ["profile", "copy", alias, "other", "--dry-run"], ["profile", "remove", alias, "--dry-run"],
        ["profile", "remove", alias], ["profile", "use", alias, "--shell"], ["profile", "use", alias],
        ["profile", "add", alias, "--uri", "localhost", "--dry-run"], ["profile", "edit"],
        ["profile", "add", "new", "--uri", CANARY, "--dry-run"],
        ["profile", "add", "new", "--uri", "localhost", "--description", CANARY, "--dry-run"],
        ["profile", "current", "--profile", alias], ["current", "--format", CANARY], ["version"], ["help", CANARY],
        ["profile", "ping", alias, "-c", "1", "--timeout", "0.2"], ["completion", CANARY],
        ["profile", "open", alias], ["profile", "watch", alias, "-c", "1", "--timeout", "0.2"],
        ["profile", "test", alias, "--timeout", "0.2", "--html", "-"],
        ["secret", "status", alias], ["secret", "set", alias], ["secret", "delete", alias],
        ["config", "path"], ["config", "validate"], ["config", "schema"], ["trust"], ["trust", "--list"], ["untrust"],
        ["untrust", "--all"], ["doctor"], ["explain"], ["explain", "tls"], ["explain", "1"], ["explain", CANARY],
        ["connect", "-a", alias], ["connect", "-D"], ["exec", alias, "--", CANARY], ["exec", alias, "--", "true"],
        *(["export", alias, "--to", name] for name in (*FORMATS, CANARY)),
        *(["import", "--from", name, "--dry-run"] for name in ("env", "milvus-cli", "zilliz", CANARY)),
        *(["import", "--from", name, FILE_NAME, "--dry-run"] for name in ("dotenv", "attu", "pymilvus-uri")),
        [CANARY], ["profile", CANARY], [f"--{CANARY}"],
    ]  # fmt: skip


def test_every_command_is_among_those_that_are_run() -> None:
    run = {tuple(words[:2]) for words in commands("a")} | {(words[0],) for words in commands("a")}
    every = every_command()
    # Other names of the same functions.
    other = {words for words in every if words[-1] in SYNONYMS and words[0] != "secret"}
    other |= {words for words in every if ("profile", *words) in every}
    assert every - other <= run


class Run:
    """Runs commands in this process, and looks at all that they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> str:
        status = main(list(words))
        out, err = self.capsys.readouterr()
        assert not active(out), (words, out)
        assert not active(err), (words, err)
        assert "Traceback" not in err, (words, err)
        assert status != 1 or "error" not in err or "unexpected" not in err, (words, err)
        if "--json" in words:
            assert out.isascii(), words
        return out + err

    def all(self, alias: str, field: str = "timeout") -> None:
        for words in commands(alias, field):
            self(*words)
            if "--" not in words:
                self(*words, "--json")


@pytest.fixture
def run(in_process: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("EDITOR", "true")
    return Run(capsys)


def every_field(comment: str = f"# {RAW}\n") -> str:
    """A profile for each field, with the canary in it, and a good one with what may stand in one."""
    good = f'[profiles.good]\nuri = "http://127.0.0.1:1"\ndescription = {toml(CANARY)}\n'
    return comment + good + "".join(f"{comment}[profiles.{NAMES[p]}]\n{table(p, CANARY)}\n" for p in PATHS)


ROLES = ["user", "untrusted", "trusted"]


@pytest.mark.parametrize("role", ROLES)
def test_no_field_of_a_profile_does(run: Run, home: Path, project: Path, role: str) -> None:
    file = home / ".config/milvus/milvus.toml" if role == "user" else project / "milvus.toml"
    written(file, every_field())
    if role == "trusted":
        run("trust")
    for alias in NAMES.values():
        for words in (
            ["profile", "show", alias, "--explain"], ["profile", "test", alias, "--timeout", "0.2", "--verbose"],
            ["export", alias, "--to", "env"], ["secret", "status", alias],
            ["profile", "set", alias, "timeout=3", "--dry-run"], ["profile", "copy", alias, "other", "--dry-run"],
        ):  # fmt: skip
            run(*words)
    run.all("good", "description")
    written(file, every_field())
    junit = home / "report.xml"
    run("profile", "test", "--all", "--timeout", "0.2", "--junit", str(junit))
    assert not active(junit.read_text())


NAMED = {
    "alias": f'[profiles.{toml(CANARY)}]\nuri = "http://127.0.0.1:1"\n',
    "default_profile": f"default_profile = {toml(CANARY)}\n",
    "keyring_backends": f"keyring_backends = [{toml(CANARY)}]\n",
    "root key": f"{toml(CANARY)} = 1\n",
    "root table": f"[{toml(CANARY)}]\n{toml(CANARY)} = 1\n",
    "field": f'[profiles.p]\nuri = "http://127.0.0.1:1"\n{toml(CANARY)} = {toml(CANARY)}\n',
    "key of a table": f'[profiles.p]\nuri = "http://127.0.0.1:1"\nssl = {{ {toml(CANARY)} = 1 }}\n',
    "key of the pool": f'[profiles.p]\nuri = "http://127.0.0.1:1"\n[profiles.p.pool]\n{toml(CANARY)} = 1\n',
    "extends": f"[profiles.p]\nextends = {toml(CANARY)}\n",
    "heir": f'[profiles.p]\nuri = "http://127.0.0.1:1"\n[profiles.{toml(CANARY)}]\nextends = "p"\n',
    "kind": f"profiles = {toml(CANARY)}\n",
    "no TOML": f'[profiles.p]\nuri = "{CANARY}\n',
    "raw escape": f"[profiles.p]\nuri = '{CANARY}'\n",
    "raw separators": f"[profiles.p]\nuri = '{RAW}'\n'{RAW}' = 1\n",
    "NUL": '[profiles.p]\nuri = "a\\u0000\\u001b[2J"\n"\\u0000\\u001b" = 1\n',
    "raw NUL": '[profiles.p]\nuri = "a\0\x1b[2J"\n',
    "no UTF-8": '[profiles.p]\nuri = "a\udc9b\x1b[2J"\n',
    "twice": f"[profiles.p]\n{toml(CANARY)} = 1\n{toml(CANARY)} = 2\n",
}


@pytest.mark.parametrize("role", ["user", "project"])
@pytest.mark.parametrize("name", NAMED)
def test_no_name_or_broken_file_does(run: Run, home: Path, project: Path, name: str, role: str) -> None:
    file = home / ".config/milvus/milvus.toml" if role == "user" else project / "milvus.toml"
    for words in [*commands("p"), *([["profile", "show", CANARY], ["profile", "remove", CANARY, "--dry-run"]])]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(NAMED[name].encode("utf-8", "surrogateescape"))
        file.chmod(0o600)
        if words[0] in ("export", "import") and words[-1] != CANARY and words[3] != "env":
            continue
        run(*words)
        if "--" not in words:
            run(*words, "--json")


def test_no_name_of_a_directory_or_a_file_does(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory := tmp_path / FILE_NAME).mkdir()
    (directory / ".git").mkdir()
    monkeypatch.chdir(directory)
    written(directory / "milvus.toml", every_field())
    (directory / FILE_NAME).write_text(f"MILVUS_URI='{RAW}'\n{RAW}\n")
    run.all("good")
    for alias in NAMES.values():
        run("profile", "show", alias)
    for content in (None, every_field(), "no toml", f"# {CANARY}"):
        named = directory / f"{FILE_NAME}.toml"
        if content is not None:
            written(named, content)
        for words in commands("good"):
            run("--config", str(named), *words)


def test_no_variable_does(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(project / "milvus.toml", '[profiles.p]\nuri = "http://127.0.0.1:1"\n')
    fields = [PREFIX + "P__" + "__".join(part.upper() for part in path) for path in PATHS]
    names = [*FAMILY, *fields, f"{PREFIX}{RAW}__URI", f"{PREFIX}P__{RAW}", f"MILVUS_{RAW}", "MILVUS_PROFILE",
             "MILVUS_PROFILES_FILE", "MILVUS_PROFILES_KEYRING_TIMEOUT", "HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME",
             "SHELL", "EDITOR", "http_proxy", "PATH"]  # fmt: skip
    for name in names:
        with monkeypatch.context() as patch:
            if name in FAMILY and name != "MILVUS_URI":
                patch.setenv("MILVUS_URI", "http://127.0.0.1:1")
            patch.setenv(name, CANARY)
            for words in (
                ["profile", "list"], ["profile", "show", "p", "--explain"], ["profile", "show"], ["config", "path"],
                ["config", "validate"], ["profile", "test", "p", "--timeout", "0.2"], ["trust"], ["profile", "edit"],
                ["export", "p", "--to", "env"], ["import", "--from", "env", "--dry-run"],
            ):  # fmt: skip
                run(*words)
                run(*words, "--json")


def test_on_a_terminal_neither(cli: Command, project: Path) -> None:
    written(project / "milvus.toml", every_field())
    written(cli.user_file, NAMED["alias"])
    for words in (["profile", "list"], ["profile", "show", "good"], ["profile", "test", "good", "uri"],
                  ["config", "validate"], ["doctor"], ["trust"]):  # fmt: skip
        raw = cli.tty(*words, columns=200).raw
        for piece in ("\x1b[31337", "\x1b]8", "\x1b]0", "\x07", "\x08", "\x0b", "\x0c", "\x7f", "\x9b", "\x9d", "\x85"):
            assert piece not in raw, (words, piece)
        assert not [c for c in raw if ord(c) > 0x9F and not c.isprintable()], words


PROGRAM = """\
import logging, sys, traceback, warnings
logging.basicConfig(level=logging.DEBUG)
import milvus_profiles as mp
for alias in sys.argv[1:]:
    try:
        mp.connect(alias, timeout=0.2)
    except mp.MilvusProfilesError as error:
        print(str(error), repr(error), file=sys.stderr)
        traceback.print_exc()
        logging.getLogger("app").exception("failed: %s", error)
        print(mp.diagnose(alias, timeout=0.2) if alias == "good" else "")
"""


def test_no_message_log_or_traceback_of_a_program_does(cli: Command, tmp_path: Path) -> None:
    (directory := tmp_path / FILE_NAME).mkdir()
    written(directory / ".git" / "x", "")
    written(directory / "milvus.toml", every_field())
    (path := tmp_path / "program.py").write_text(PROGRAM)
    done = Command([sys.executable, path], cli.home, directory)("good", *NAMES.values(), "nobody")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Traceback") > 40
    assert not active(done.stdout)
    assert not [line for line in done.stderr.split("\n") if active(line)]
