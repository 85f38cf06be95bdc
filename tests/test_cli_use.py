"""`use` leads nowhere else than it says; names given in two ways; reports never in the place of profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command

PROJECT = '[profiles.here]\nuri = "http://127.0.0.1:1"\n[profiles.other]\nuri = "http://127.0.0.1:2"\n'


@pytest.fixture
def file(project: Path) -> Path:
    path = project / "milvus.toml"
    path.write_text(PROJECT)
    return path


def test_a_profile_of_the_project_alone_is_no_default_elsewhere_unsaid(cli: Command, file: Path) -> None:
    said = cli("use", "here", status=0)
    assert "only the project declares 'here'" in said.stderr
    assert "`milvus-profiles profile use here --project-file`" in said.stderr
    assert "only the project" not in cli("use", "here", "--project-file", status=0).stderr
    assert file.read_text().startswith('default_profile = "here"\n')


def test_a_profile_of_ones_own_is_a_default_without_a_word(cli: Command, file: Path) -> None:
    cli.own_file('[profiles.mine]\nuri = "http://127.0.0.1:3"\n')
    assert cli("use", "mine", status=0).stderr == ""


def test_on_a_terminal_it_asks_whose_default_is_meant(cli: Command, file: Path) -> None:
    cli.own_file('[profiles.mine]\nuri = "http://127.0.0.1:3"\n')
    answers = [("Only the project declares 'here'. Which one is to change?", b"\r")]
    assert "Which one is to change?" in cli.tty("use", "here", answers=answers, status=0).text
    assert file.read_text().startswith('default_profile = "here"\n')
    assert "default_profile" not in cli.user_file.read_text()


def test_there_is_no_way_back_to_what_is_gone(cli: Command) -> None:
    cli.own_file("".join(f'[profiles.{name}]\nuri = "http://127.0.0.1:3"\n' for name in ("one", "two")))
    cli("use", "one", status=0)
    cli("use", "two", status=0)
    cli("rm", "one", "--yes", status=0)
    before = cli.user_file.read_text()
    refused = cli("use", "-", status=3)
    assert "there is no profile 'one'" in refused.stderr
    assert cli.user_file.read_text() == before


def test_what_hides_a_default_is_named_with_its_place(cli: Command, file: Path) -> None:
    said = cli("use", "here", "--project-file", env={"MILVUS_PROFILE": "gone"}, status=0)
    assert "something stronger hides it: MILVUS_PROFILE: there is no profile 'gone'" in said.stderr


@pytest.mark.parametrize("option", ["--html", "--junit"])
def test_no_report_takes_the_place_of_profiles(cli: Command, file: Path, option: str) -> None:
    refused = cli("test", "here", option, "milvus.toml", "--force", status=2)
    assert "milvus.toml holds profiles" in refused.stderr
    assert file.read_text() == PROJECT


def test_a_watch_is_of_the_profile_that_is_named_in_whatever_way(cli: Command, file: Path) -> None:
    words = ["watch", "-c", "1", "--timeout", "0.3", "--json"]
    named = [cli(*words, "here"), cli("--profile", "here", *words), cli(*words, env={"MILVUS_PROFILE": "here"})]
    assert [[one["alias"] for one in outcome.json["reports"]] for outcome in named] == [["here"]] * 3
    assert {one["alias"] for one in cli(*words).json["reports"]} == {"here", "other"}
    assert "there is no profile 'gone'" in cli(*words, env={"MILVUS_PROFILE": "gone"}, status=3).stderr


def test_the_probe_takes_one_name_and_prints_no_json(cli: Command, file: Path) -> None:
    two = cli("ping", "here", "--probe", "--profile", "other", status=2)
    assert "two profiles" in two.stderr
    assert "--probe prints nothing" in cli("ping", "here", "--probe", "--json", status=2).stderr
