"""`profile list`, `show`, `config` and `trust` as their users see them; nothing here connects.

`list` is one line a profile on a terminal, whole on a pipe, and says why nothing is selected.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from milvus_profiles.cli.output import fit, middle_out
from tests.support.command import Command

FILE = """\
default_profile = "prod"

[profiles.prod]
uri = "HTTPS://In03.Cloud.Example/analytics"
user = "root"

[profiles.lite]
uri = "./milvus.db"

[profiles.base]
timeout = 5

[profiles.gated]
uri = "localhost"
token = { env = "TEAM_TOKEN" }
"""


def test_list_json_has_the_documented_keys(cli: Command, file: Path) -> None:
    outcome = cli("profile", "list", "--json", status=0)
    assert outcome.stderr == ""
    usual = {"alias": "", "uri": None, "db_name": None, "tls": False, "auth": "none", "default": False, "origin": "",
             "trusted": False, "error": None, "description": None}  # fmt: skip
    uri = "https://in03.cloud.example:443"
    wanted: list[dict[str, Any]] = [
        {"alias": "prod", "origin": f"{file}:3", "uri": uri, "db_name": "analytics", "tls": True, "auth": "keyring",
         "default": True},
        {"alias": "lite", "origin": f"{file}:7", "uri": f"{file.parent}/milvus.db"},
        {"alias": "base", "origin": f"{file}:10"},
        {"alias": "gated", "origin": f"{file}:13", "uri": "http://localhost:19530", "auth": "env"},
    ]  # fmt: skip
    assert outcome.json == [usual | one for one in wanted]
    assert list(outcome.json[0]) == list(usual)


def test_list_of_nothing_says_what_to_do(cli: Command) -> None:
    outcome = cli("profile", "list", status=0)
    assert "no profiles yet" in outcome.stdout
    assert "profile add" in outcome.stderr
    assert cli("profile", "list", "--json").json == []


def test_list_shows_invalid_profiles_beside_valid_ones(cli: Command, project: Path) -> None:
    path = project / "milvus.toml"
    path.write_text('[profiles.good]\nuri = "localhost"\n\n[profiles.bad]\nurl = "localhost"\n')
    outcome = cli("profile", "list", "--json", status=0)
    good, bad = outcome.json
    assert good["error"] is None
    assert bad["error"] == {"code": "config", "location": f"{path}:5:1"}
    assert "invalid: unknown key 'url'" in cli("profile", "list").stdout


@pytest.mark.parametrize(("words", "env"), [([], {"NO_COLOR": "1"}), (["--no-color"], {}), ([], {"TERM": "dumb"})])
def test_colours_can_be_turned_off(cli: Command, file: Path, words: list[str], env: dict[str, str]) -> None:
    assert "\x1b[1m" in cli.tty("profile", "list").raw
    assert "\x1b[" not in cli.tty("profile", "list", *words, env=env).raw


def test_show_json_gives_values_with_origins_and_what_a_variable_overrides(cli: Command, file: Path) -> None:
    env = {"MILVUS_PROFILES__PROD__TIMEOUT": "3", "MILVUS_PROFILES__PROD__USER": "alice"}
    shown = cli("profile", "show", "--json", env=env, status=0).json
    assert set(shown) == {"alias", "values", "overridden"}
    assert shown["alias"] == "prod"
    assert shown["values"]["uri"] == {"value": "https://in03.cloud.example:443", "origin": f"{file}:4:1"}
    assert shown["values"]["db_name"] == {"value": "analytics", "origin": f"{file}:4:1"}
    assert shown["values"]["timeout"] == {"value": 3.0, "origin": "MILVUS_PROFILES__PROD__TIMEOUT"}
    assert shown["values"]["user"]["value"] == "alice"
    assert shown["overridden"] == [{"field": "user", "origin": f"{file}:5:1"}]
    explained = cli("profile", "show", "prod", "--explain", env=env).stdout
    assert "user from" in explained
    assert "MILVUS_PROFILES__PROD__USER" in explained


def test_explain_says_why_a_profile_was_selected_and_which_variables_mean_nothing(cli: Command, file: Path) -> None:
    env = {"MILVUS_URI": "http://elsewhere:19530"}
    assert cli("profile", "show", "--json", env=env).json["alias"] == "default"
    outcome = cli("profile", "show", "prod", "--explain", env=env)
    assert "selected because it was named" in outcome.stdout
    assert "MILVUS_URI declares it (default)" in outcome.stdout
    outcome = cli("profile", "show", "prod", "--explain", env={"MILVUS_TOKEN": "hushhush", "MILVUS_DB": "x"})
    assert "ignored, because MILVUS_URI is not set: MILVUS_TOKEN, MILVUS_DB" in outcome.stdout
    assert "hushhush" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["profile", "shwo"],
        ["profile", "show", "a", "b"],
        ["nonsense"],
        ["profile", "add"],
        ["--config", "a.toml", "profile", "list", "--config", "b.toml"],
    ],
)
def test_misuse_is_exit_status_2_with_one_clear_error(cli: Command, words: list[str]) -> None:
    outcome = cli(*words, status=2)
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ")
    assert "Traceback" not in outcome.stderr
    assert cli(*words, "--json").error["error"] == "usage"


def test_config_validate_of_named_files_looks_at_these_alone(cli: Command, project: Path, tmp_path: Path) -> None:
    """As pre-commit calls it: with the files that changed, wherever they are."""
    good, bad, broken = (project / name for name in ("good.toml", "bad.toml", "broken.toml"))
    good.write_text('[profiles.a]\nuri = "https://a.example"\nssl = { ca = "missing.pem" }\n')
    bad.write_text('[profiles.b]\nurl = "https://b.example"\ntimeout = "x"\n[profiles.c]\nport = true\n')
    broken.write_text("profiles = \n")
    (project / "milvus.toml").write_text("is not looked at")
    env = {"MILVUS_PROFILES__A__NOTHING": "neither are variables"}
    report = cli("config", "validate", good, "--json", env=env, status=0).json
    assert report == {"valid": True, "profiles": 1, "files": [str(good)]}
    missing = project / "missing.toml"
    outcome = cli("config", "validate", good, bad, broken, missing, "--json", env=env, status=3)
    places = [error["location"] for error in outcome.error["errors"]]
    assert places == [f"{bad}:3:11", f"{bad}:2:1", f"{bad}:5:8", f"{broken}:1:12", str(missing)]
    # Certificates of a project that nobody trusts are not opened; those of a file that is the user's own are.
    cli.own_file(good.read_text())
    assert "missing.pem" in cli("config", "validate", cli.user_file, status=3).stderr
    assert cli("config", "validate", good, "--config", bad, status=2).stderr.startswith("error: --config and files")


def test_config_validate_of_valid_files(cli: Command, file: Path) -> None:
    assert cli("config", "validate").stdout == "4 profiles: all valid\n"
    assert cli("config", "validate", "--json").json == {"valid": True, "profiles": 4, "files": [str(file)]}


def test_config_path_says_which_files_are_read(cli: Command, file: Path, home: Path) -> None:
    assert cli("config", "path", "--json").json == [
        {"role": "project", "path": str(file), "exists": True, "trusted": False, "target": True},
        {
            "role": "user",
            "path": str(home / ".config/milvus/milvus.toml"),
            "exists": False,
            "trusted": True,
            "target": False,
        },
    ]
    named = cli("config", "path", "--json", "--config", "other.toml").json
    assert [(row["role"], row["path"]) for row in named] == [("named", str(file.parent / "other.toml"))]


def is_trusted(cli: Command) -> bool:
    return bool(cli("profile", "list", "--json").json[0]["trusted"])


def test_trust_pins_the_content_and_untrust_forgets_it(cli: Command, file: Path) -> None:
    assert '+ gated.token.env = "TEAM_TOKEN"' in cli("trust", status=0).stdout
    assert is_trusted(cli)
    assert "already trusted" in cli("trust").stdout
    file.write_text(FILE.replace("TEAM_TOKEN", "HOME"))
    assert not is_trusted(cli)
    assert cli("trust", "--json", file).json["changed"] == {"gated.token.env": ["TEAM_TOKEN", "HOME"]}
    assert is_trusted(cli)
    assert cli("untrust").returncode == 0
    assert not is_trusted(cli)


def test_what_is_trusted_is_listed_and_forgotten_at_once(cli: Command, file: Path, tmp_path: Path) -> None:
    assert cli("trust", "--list").stdout == "no file is trusted\n"
    assert (cli("trust", "--list", "--json").json, cli("untrust", "--all").stdout) == ([], "no file was trusted\n")
    (other := tmp_path / "oth\x1ber" / "milvus.toml").parent.mkdir()
    other.write_text(FILE)
    for path in (file, other):
        cli("trust", path, status=0)
    file.write_text(FILE + "# more\n")
    cli("trust", status=0)
    other.write_text("[")
    listed = cli("trust", "--list", "--json", cwd=tmp_path).json
    rows = [{"file": str(file), "now": "trusted", "contents": 2}, {"file": str(other), "now": "changed", "contents": 1}]
    assert listed == sorted(rows, key=lambda row: str(row["file"]))
    other.unlink()
    shown = cli("trust", "--list").stdout
    assert "missing" in shown
    assert "\x1b" not in shown
    assert cli("trust", "--list", file).returncode == cli("untrust", "--all", file).returncode == 2
    assert [row["file"] for row in cli("untrust", "--all", "--json").json] == [row["file"] for row in listed]
    assert cli("trust", "--list", "--json").json == []
    assert not cli("profile", "list", "--json").json[0]["trusted"]


def test_trust_without_a_project_file(cli: Command) -> None:
    outcome = cli("trust", status=3)
    assert "there is no project file here" in outcome.stderr


@pytest.mark.parametrize("option", ["--config", "--profile"])
def test_an_empty_option_is_a_usage_error(cli: Command, option: str) -> None:
    result = cli(option, "", "profile", "list", status=2)
    assert f"{option} is empty" in result.stderr


def test_trust_without_a_file_is_about_the_one_that_config_names(cli: Command, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "a b.toml"
    other.write_text(FILE)
    assert cli("--config", other, "trust", "--json", status=0).json["file"] == str(other)
    assert [row["file"] for row in cli("trust", "--list", "--json").json] == [str(other)]
    cli("trust", status=0)
    assert cli("untrust", "--config", other, "--json", status=0).json["file"] == str(other)
    assert [row["file"] for row in cli("trust", "--list", "--json").json] == [str(file)]
    # One that is given beats it; and a variable that was set for another purpose chooses nothing.
    assert cli("--config", other, "trust", file, "--json", status=0).json["file"] == str(file)
    for word in ("trust", "untrust"):
        refused = cli(word, "--json", env={"MILVUS_PROFILES_FILE": str(other)}, status=2).error
        assert "MILVUS_PROFILES_FILE names the file that is read" in refused["message"]
        assert f"`milvus-profiles trust '{other}'`" in refused["hint"]
    assert cli("trust", "--json", env={"MILVUS_PROFILES_FILE": ""}, status=0).json["file"] == str(file)
    assert [row["file"] for row in cli("trust", "--list", "--json").json] == [str(file)]


@pytest.mark.parametrize("words", [["trust", ""], ["untrust", ""], ["config", "validate", ""]])
def test_an_empty_path_is_that_of_no_file(cli: Command, file: Path, words: list[str]) -> None:
    assert cli(*words, "--json", status=3).error["message"] == "no file is named: the path is empty"


@pytest.mark.parametrize("word", ["trust", "config validate"])
def test_a_file_that_is_named_and_not_there_is_created_by_the_command_in_the_hint(cli: Command, word: str) -> None:
    path = cli.cwd / "no pe.toml"
    error = cli(*word.split(), "no pe.toml", "--json", status=3).error
    [pasted] = re.findall("`([^`]*)`", error["hint"])
    cli(*shlex.split(pasted.replace("ALIAS", "a").replace("URI", "h"))[1:], status=0)
    assert path.read_text().endswith('[profiles.a]\nuri = "h"\n')


LONG = "https://in03-0123456789abcdef.serverless.gcp-us-west1.cloud.zilliz.example:443"
WIDE = "\u672c\u756a\u74b0\u5883"  # two cells a character


def profiles(number: int, **fields: str) -> str:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    return "".join(f"[profiles.p{index}]\n{lines}" for index in range(number))


@pytest.mark.parametrize("columns", [80, 120])
def test_thirty_profiles_are_thirty_one_lines(cli: Command, columns: int) -> None:
    cli.own_file(profiles(30, uri=LONG, db_name="analytics", user="root", description=f"{WIDE * 9} and more words"))
    screen = cli.tty("list", env={"MILVUS_PROFILE": "p3"}, columns=columns, status=0)
    lines = screen.text.splitlines()
    assert len(lines) == 31
    assert {cell_len(line) <= columns for line in lines} == {True}
    assert "ORIGIN" not in screen.text
    for line in lines[1:]:
        assert "https://in03-" in line
        assert ":443  analytics  keyring  " in line
        assert "\u2026" in line
        assert line.rstrip().endswith("e words")
    assert [line.split()[0] for line in lines[1:] if line.startswith("*")] == ["*"]
    # The columns stand below each other, whatever width the characters have.
    assert {cell_len(line[: line.index("analytics")]) for line in lines[1:]} == {
        cell_len(lines[0][: lines[0].index("DATABASE")])
    }


def test_what_fits_is_whole(cli: Command) -> None:
    cli.own_file(profiles(3, uri="http://h", description="short"))
    assert "\u2026" not in cli.tty("list", columns=80).text


def test_a_pipe_gets_every_word(cli: Command) -> None:
    cli.own_file(profiles(2, uri=LONG, description=WIDE * 40))
    lines = cli("list", status=0).stdout.splitlines()
    assert len(lines) == 3
    assert LONG in lines[1]
    assert WIDE * 40 in lines[1]
    assert all(line == line.rstrip() and "\x1b" not in line for line in lines)


def test_verbose_shows_all_with_the_place_of_each(cli: Command) -> None:
    cli.own_file(profiles(2, uri=LONG, description="words " * 30))
    for place in ("-v list", "list -v", "profile list --verbose"):
        lines = cli(*place.split(), status=0).stdout.splitlines()
        assert lines[0].endswith("ORIGIN")
        assert lines[1].endswith("~/.config/milvus/milvus.toml:1")
    screen = cli.tty("list", "-v", columns=80).text
    assert "\u2026" not in screen
    squeezed = "".join(screen.split())
    assert squeezed.count("words") == 60
    assert squeezed.count("nonewords") == 2


def test_what_is_not_trusted_has_a_mark_that_is_explained(cli: Command, project: Path) -> None:
    cli.own_file('[profiles.own]\nuri = "http://own"\n')
    (project / "milvus.toml").write_text('default_profile = "theirs"\n[profiles.theirs]\nuri = "http://h"\n')
    shown = cli("list", status=0)
    marks = {line.split()[-3]: line[:2].strip() for line in shown.stdout.splitlines()[1:]}
    assert marks == {"theirs": "*!", "own": ""}
    assert shown.stderr == "! not trusted: `milvus-profiles trust`\n"
    cli("trust", status=0)
    again = cli("list", status=0)
    assert "!" not in again.stdout + again.stderr


def test_text_of_a_file_is_one_line_and_does_nothing_to_the_terminal(cli: Command) -> None:
    cli.own_file(profiles(1, uri="http://h", description="a\nb\x1b[31m\u202e[red]c\x00"))
    for shown in (cli("list").stdout, cli.tty("list", "--no-color").raw.replace("\r", "")):
        assert len(shown.splitlines()) == 2
        assert "a\\nb\\x1b[31m\\u202e[red]c\\x00" in shown
    as_json = cli("show", "p0", "--json")
    assert as_json.json["values"]["description"]["value"].startswith("a\nb\x1b[31m")
    assert "\x1b" not in as_json.stdout


def test_why_nothing_is_selected_is_told_and_is_no_failure(cli: Command, project: Path) -> None:
    nothing = cli("list", env={"MILVUS_PROFILE": "nobody"}, status=0)
    assert "there is no profile 'nobody'" in nothing.stderr
    path = cli.own_file('default_profile = "pord"\n' + profiles(2, uri="http://h") + '[profiles.prod]\nuri = "h"\n')
    shown = cli("list", status=0)
    why = f"no profile is selected: {path}:1:19: there is no profile 'pord' (did you mean 'prod'?)"
    assert shown.stderr == f"warning: {why}\n"
    shown = cli("list", env={"MILVUS_PROFILE": "nobody"}, status=0)
    assert "warning: no profile is selected: MILVUS_PROFILE: there is no profile 'nobody'" in shown.stderr
    told = cli("list", "--json", env={"MILVUS_PROFILE": "nobody"}, status=0)
    assert len(told.json) == 3
    assert told.error["warning"].startswith("no profile is selected: MILVUS_PROFILE: ")
    (project / "milvus.toml").write_text('default_profile = "p0"\n[profiles.theirs]\nuri = "h"\n')
    assert "default_profile names 'p0', which this project file does not declare" in cli("list", status=0).stderr


def test_a_terminal_without_unicode_gets_dots(cli: Command) -> None:
    cli.own_file(profiles(1, uri=LONG, description=f"{WIDE} caf\u00e9 {'x' * 60}"))
    screen = cli.tty("list", "--no-color", env={"PYTHONIOENCODING": "ascii"}, columns=80, status=0)
    assert screen.raw.isascii()
    assert len(screen.text.splitlines()) == 2
    assert "..." in screen.text


@given(st.text(st.characters(exclude_categories=["C", "Z"])), st.integers(3, 50))
def test_a_text_without_its_middle_is_no_wider_than_it_may_be(text: str, most: int) -> None:
    short = middle_out(text, most)
    assert cell_len(short) <= most
    if cell_len(text) <= most:
        assert short == text
    else:
        head, _, tail = short.partition("\u2026")
        assert text.startswith(head)
        assert text.endswith(tail)


def test_many_characters_without_width_are_not_all_shown() -> None:
    assert len(middle_out("a" + "\u0301" * 10_000 + "b" * 100, 20)) < 200


def test_the_widest_gives_way_first_and_headings_stay_whole() -> None:
    [row] = fit(["A", "LONG HEADING", "C"], [["x" * 30, "y" * 20, "z" * 10]], [((0, 1), 5), ((2,), 3)], 36)
    assert [len(cell) for cell in row] == [10, 12, 10]


@pytest.mark.security
def test_a_secret_in_a_description_or_in_a_name_that_is_none_is_not_repeated(cli: Command) -> None:
    secret = "c4n4ry-0123456789"
    address = f"https://root:{secret}@h.example"
    cli.own_file(f"default_profile = {json.dumps(address)}\n" + profiles(2, uri="http://h", description=address))
    for words in (["list"], ["list", "-v"], ["list", "--json"]):
        for env in ({}, {"MILVUS_PROFILE": address}):
            shown = cli(*words, env=env, status=0)
            assert secret not in shown.stdout + shown.stderr
            assert "********" in shown.stdout
    for more in ([], ["-v"]):
        assert secret not in cli.tty("list", *more, columns=200).text
    assert secret not in cli("show", "p0", env={"MILVUS_PROFILE": address}, status=0).stderr
