"""The short name, commands without `profile`, what those who come from other tools type, and `current`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from milvus_profiles import __version__
from milvus_profiles.cli import early
from milvus_profiles.config.fields import FIELDS
from tests.support.command import Command

FILE = 'default_profile = "prod"\n[profiles.prod]\nuri = "https://h.example/db"\n[profiles.local]\nuri = "./x.db"\n'


def test_the_short_name_is_the_same_program(cli: Command, file: Path) -> None:
    short = Path(sys.executable).with_name("mvp")
    done = subprocess.run(
        [short, "list", "--json"], cwd=file.parent, env=cli.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == cli("profile", "list", "--json").stdout


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("list", "profile list"),
        ("ls", "profile list"),
        ("--json ls", "profile list --json"),
        ("profile --json list", "profile list --json"),
        ("profile ls", "profile list"),
        ("show prod", "profile show prod"),
        ("get prod", "profile show prod"),
        ("test nobody", "profile test nobody"),
        ("use prod --dry-run", "profile use prod --dry-run"),
        ("set prod timeout=5 --dry-run", "profile set prod timeout=5 --dry-run"),
        ("rm local --dry-run", "profile remove local --dry-run"),
        ("delete local --dry-run", "profile remove local --dry-run"),
        ("--config milvus.toml remove local --dry-run", "--config milvus.toml profile remove local --dry-run"),
        ("current --json", "profile current --json"),
        ("version", "--version"),
        ("-V", "--version"),
        ("help", "--help"),
        ("help profile list", "profile list --help"),
    ],
)
def test_a_short_form_does_what_the_long_one_does(cli: Command, file: Path, short: str, long: str) -> None:
    one, other = cli(*short.split()), cli(*long.split())
    assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)


def test_a_value_that_is_called_like_a_command_is_none(cli: Command, file: Path) -> None:
    file.with_name("list").write_text('[profiles.other]\nuri = "h"\n')
    assert [row["alias"] for row in cli("--config", "list", "list", "--json").json] == ["other"]


def test_quiet_leaves_results_warnings_and_errors(cli: Command, file: Path) -> None:
    assert cli("set", "prod", "timeout=5", "--quiet", status=0).stdout == ""
    assert "timeout = 5" in file.read_text()
    assert cli("-q", "list", status=0).stdout
    assert cli("use", "prod", "--shell", "-q", status=0).stdout == "export MILVUS_PROFILE=prod\n"
    assert cli("show", "nobody", "-q", status=3).stderr.startswith("error: there is no profile 'nobody'")


def test_version_says_so_in_json_too(cli: Command, project: Path) -> None:
    assert cli("version", "--json").json == {"version": __version__}
    assert cli("--version").stdout == f"milvus-profiles {__version__}\n"


def test_add_takes_the_address_as_a_second_word(cli: Command, file: Path) -> None:
    cli("add", "new", "http://h:1", "--json", status=0)
    assert '[profiles.new]\nuri = "http://h:1"\n' in file.read_text()
    twice = cli("add", "other", "http://h:1", "--uri", "http://h:2", status=2)
    assert (
        twice.stderr == "error: the address is given twice\nhint: leave --uri out\nsee: milvus-profiles explain usage\n"
    )
    assert "\n  at URI\n" in cli("add", "other", "http://u:c4n4ry@h", status=3).stderr
    assert cli("add", "http://h", status=2).stderr == (
        "error: that is an address, not an alias\nhint: write `milvus-profiles profile add ALIAS --uri URI`\n"
        "see: milvus-profiles explain usage\n"
    )
    assert "uri" in cli("add", "other", "http://h:1", "--host", "h", status=2).stderr


def test_a_profile_that_cannot_be_put_together_is_listed_where_it_stands(cli: Command, file: Path) -> None:
    file.write_text('[profiles.a]\nextends = "b"\n[profiles.b]\nextends = "a"\n')
    rows = cli("list", "--json", status=0).json
    assert [row["origin"] for row in rows] == [f"{file}:1", f"{file}:3"]
    assert {row["error"]["code"] for row in rows} == {"config"}


# --- current ---------------------------------------------------------------------------------------------------------


def test_current_prints_the_alias_alone_on_a_pipe_and_why_on_a_terminal(cli: Command, file: Path) -> None:
    assert cli("current", status=0).stdout == "prod\n"
    assert cli("current", env={"MILVUS_PROFILE": "LOCAL"}, status=0).stdout == "local\n"
    shown = cli.tty("current", env={"MILVUS_PROFILE": "local"})
    assert shown.text == "local  (MILVUS_PROFILE names it)\n"


def test_current_has_a_format_for_prompts(cli: Command, file: Path) -> None:
    assert cli("current", "--format", "{alias} {uri} [{db_name}]").stdout == "prod https://h.example:443 [db]\n"
    assert cli("current", "--format=<{db_name}>", "--profile", "local").stdout == "<>\n"
    wrong = cli("current", "--format", "{token}", status=2)
    assert wrong.stderr == (
        "error: --format has no {token}\nhint: there are {alias}, {uri}, {db_name}, {reason}\n"
        "see: milvus-profiles explain usage\n"
    )


@pytest.mark.parametrize("form", ["{", "}", "{alias}{", "{alias", "a}b", "{{alias}", "{}", "{ alias }", "{alias!r}"])
def test_a_brace_of_a_format_belongs_to_a_field(cli: Command, file: Path, form: str) -> None:
    wrong = cli("current", "--format", form, status=2)
    assert wrong.stdout == ""
    assert wrong.stderr.startswith("error: --format has a '")
    assert "hint: there are {alias}, {uri}, {db_name}, {reason}; a brace itself is written twice\n" in wrong.stderr
    assert cli("current", "--format", '{{"a": "{alias}"}}', status=0).stdout == '{"a": "prod"}\n'


# What files alone tell, and what only the machinery can.
QUICK = [
    ("", {}),
    ("", {"MILVUS_PROFILE": "prod"}),
    ("--profile prod", {}),
    ("--config own.toml", {}),
]
THOROUGH = [
    ("", {"MILVUS_URI": "http://h"}),
    ("", {"MILVUS_PROFILES__PROD__URI": "http://other"}),
    ("--profile nobody", {}),
    ("--profile heir", {}),
    ("--profile tls", {}),
    ("--profile template", {}),
]


@pytest.mark.parametrize(("options", "env"), [*QUICK, *THOROUGH])
def test_current_says_the_same_whichever_way_it_was_found(
    cli: Command, file: Path, options: str, env: dict[str, str]
) -> None:
    more = (
        '[profiles.heir]\nextends = "prod"\n[profiles.tls]\nuri = "h"\nssl = true\n[profiles.template]\ntimeout = 3\n'
    )
    file.write_text(FILE + more)
    file.with_name("own.toml").write_text('[profiles.default]\nuri = "http://own"\n[profiles.b]\nuri = "h"\n')
    quick = cli("current", "--json", *options.split(), env=env)
    listed = cli("list", "--json", *options.split(), env=env)
    assert quick.returncode == (3 if "nobody" in options else 0), quick.stderr
    if quick.returncode == 0:
        [row] = [row for row in listed.json if row["default"]]
        assert (quick.json["alias"], quick.json["uri"]) == (row["alias"], row["uri"])
        assert quick.json["reason"]


def test_current_names_the_address_of_the_file_that_wins(cli: Command, file: Path) -> None:
    cli.own_file('default_profile = "prod"\n[profiles.prod]\nuri = "https://good.example"\n')
    for table in ("[profiles.prod]", "[profiles.PROD]"):
        file.write_text(f'{table}\nuri = "https://other.example"\n')
        cli("trust", status=0)
        assert cli("current", "--format", "{uri}", status=0).stdout == "https://other.example:443\n"
    file.write_text('[profiles.prod]\nextends = "base"\n[profiles.base]\nuri = "https://other.example"\n')
    cli("trust", status=0)
    assert cli("current", "--format", "{uri}", status=0).stdout == "https://other.example:443\n"


# Whatever is wrong with a file, a line of it each.
WRONG_ROOTS = [
    "nonsense = 1", "[pool]\nx = 1", "max_connections = 0", "max_connections = true", "default_profile = 5",
    "profiles = 3", "[profiles.P]\nuri = 'h'", "[profiles.'a b']\nuri = 'h'", "keyring_backends = ['x']",
]  # fmt: skip
WRONG_FIELDS = [
    "timeout = -1", "timeout = true", "timeout = 100000", "timeout = nan", "timeout = '5'", "call_timeout = 0",
    "db_name = 'é'", "db_name = 5", "description = 5", "user = ''", "user = 'a:b'", "user = '${U}'", "user = ['x']",
    "token = ''", "token = '****'", "token = '${T}'", "token = {keyring = false}", "token = {env = '1'}", "token = {}",
    "token = {env = 'T', keyring = true}", "token = 'x'\npassword = 'y'", "password = 'y'", "retry = 1",
    "retry = {attempts = 9}", "keepalive = {time = 1}", "keepalive = true", "allow_insecure = 1", "protected = 'no'",
    "management_port = 0", "pool = {max_channels = 0}", "host = 'h'", "port = 1", "uri = 5", "uri = 'ftp://h'",
    "uri = 'h:99999'", "uri = '${H}'", "proxy = 5", "extends = 'q'", "ssl = 3", "timeot = 3",
]  # fmt: skip


@pytest.mark.parametrize("wrong", [*WRONG_ROOTS, *WRONG_FIELDS])
def test_what_is_wrong_with_a_file_is_wrong_for_current_too(cli: Command, file: Path, wrong: str) -> None:
    profile = "[profiles.p]\n" + ("" if wrong.startswith("uri") else "uri = 'http://h'\n")
    is_root = wrong in WRONG_ROOTS
    file.write_text(f"{wrong}\n{profile}" if is_root and not wrong.startswith("[") else f"{profile}{wrong}\n")
    # -vv is never answered without the machinery.
    quick, thorough = cli("current", "--profile", "p"), cli("current", "--profile", "p", "-vv")
    assert (quick.returncode, quick.stdout) == (3, ""), quick
    assert thorough.returncode == 3
    assert thorough.stderr.endswith(quick.stderr)


@pytest.mark.parametrize(
    "right",
    [
        "timeout = 5", "call_timeout = 0.5", "user = 'root'", "user = 'r'\npassword = 'p w'", "token = 'a:b'",
        "token = {keyring = true}", "token = {env = 'T'}", "retry = false", "protected = true", "description = 'é ü'",
    ],
)  # fmt: skip
def test_usual_fields_are_told_quickly(
    cli: Command, file: Path, right: str, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"[profiles.p]\nuri = 'http://h'\n{right}\n")
    assert early.answer_current(["current", "--profile", "p"]) == 0
    assert capsys.readouterr().out == "p\n"
    assert cli("current", "--profile", "p", "-vv", status=0).stdout == "p\n"


def test_verbose_twice_tells_what_happens_in_whatever_spelling(cli: Command, file: Path) -> None:
    for twice in ("-vv", "-v -v", "--verbose --verbose", "-v --verbose"):
        assert cli("current", *twice.split(), status=0).stderr.startswith("DEBUG: read "), twice
    assert cli("current", "-v", status=0).stderr == ""


def test_the_simple_fields_are_fields() -> None:
    assert set(FIELDS) >= early._SIMPLE.keys()  # no field that the machinery would have to judge by its name


def test_a_broken_file_is_an_error_of_current_too(cli: Command, file: Path) -> None:
    file.write_text("[[[")
    assert "is not valid TOML" in cli("current", status=3).stderr
    file.write_text('default_profile = "other"\n[profiles.prod]\nuri = "h"\n')
    assert "default_profile names 'other', which this project file does not declare" in cli("current", status=5).stderr


@pytest.mark.parametrize("words", ["list foo", "profile list foo", "completion bash", "help help"])
def test_help_refuses_words_that_no_command_has(cli: Command, words: str) -> None:
    *command, _ = words.split()
    error = cli("help", *words.split(), "--json", status=2).error
    assert error["message"] == f"{' '.join(command)} has no commands of its own"
    assert error["hint"] == f"`milvus-profiles help {' '.join(command)}` is about it"
    assert "No such command 'nope'" in cli("help", "profile", "nope", status=2).stderr
