"""`list` is one line a profile on a terminal, whole on a pipe, and says why nothing is selected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from milvus_profiles.cli.output import fit, middle_out
from tests.support.command import Command

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


def test_json_has_the_description_and_no_mark(cli: Command) -> None:
    cli.own_file(profiles(1, uri="http://h", description="words"))
    [row] = cli("list", "--json", status=0).json
    keys = ["alias", "uri", "db_name", "tls", "auth", "default", "origin", "trusted", "error", "description"]
    assert list(row) == keys
    assert row["description"] == "words"


def test_a_secret_in_a_description_is_no_more_in_json_than_in_the_table(cli: Command) -> None:
    cli.own_file(profiles(1, uri="http://h", description="see https://root:c4n4ry@h"))
    shown = [cli("list", *more, status=0).stdout for more in ([], ["--json"])]
    assert all("c4n4ry" not in one and "********" in one for one in shown)


def test_why_nothing_is_selected_is_told_and_is_no_failure(cli: Command, project: Path) -> None:
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


def test_why_nothing_is_selected_is_told_where_there_is_no_profile_at_all(cli: Command) -> None:
    shown = cli("list", env={"MILVUS_PROFILE": "nobody"}, status=0)
    assert "there is no profile 'nobody'" in shown.stderr


def test_a_terminal_without_unicode_gets_dots(cli: Command) -> None:
    cli.own_file(profiles(1, uri=LONG, description=f"{WIDE} caf\u00e9 {'x' * 60}"))
    screen = cli.tty("list", "--no-color", env={"PYTHONIOENCODING": "ascii"}, columns=80, status=0)
    assert screen.raw.isascii()
    assert len(screen.text.splitlines()) == 2
    assert "..." in screen.text


# --- cells -----------------------------------------------------------------------------------------------------------


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


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.security
def test_a_secret_in_a_description_or_in_a_name_that_is_none_is_not_repeated(cli: Command) -> None:
    secret = "c4n4ry-0123456789"
    address = f"https://root:{secret}@h.example"
    cli.own_file(f"default_profile = {json.dumps(address)}\n" + profiles(2, uri="http://h", description=address))
    for words in (["list"], ["list", "-v"], ["list", "--json"]):
        for env in ({}, {"MILVUS_PROFILE": address}):
            shown = cli(*words, env=env, status=0)
            assert secret not in shown.stdout + shown.stderr
    for more in ([], ["-v"]):
        assert secret not in cli.tty("list", *more, columns=200).text
    assert secret not in cli("show", "p0", env={"MILVUS_PROFILE": address}, status=0).stderr
