"""action.yml, the GitHub Action: its scripts, run as a runner runs them, with the inputs as variables."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.support.command import Command

ACTION: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "action.yml").read_text())
INSTALL, TEST = ACTION["runs"]["steps"]


def run_step(step: dict[str, Any], cli: Command, values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script of a step; its expressions have these values, and where none is given the input's default."""

    def value(expression: str) -> str:
        inner = expression.removeprefix("${{").removesuffix("}}").strip()
        given, name = inner.rpartition(".")[0], inner.rpartition(".")[2]
        return values[name] if name in values else str(ACTION[given][name]["default"])

    env = {name: value(expression) for name, expression in step["env"].items()}
    assert step["shell"] == "bash"
    (cli.home / "step.sh").write_text(step["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", cli.home / "step.sh"],
        env={**cli.environment(), **env}, cwd=cli.cwd, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def run_test(cli: Command, **inputs: str) -> subprocess.CompletedProcess[str]:
    return run_step(TEST, cli, {"program": cli.program[0], **inputs})


@pytest.fixture
def lite(cli: Command) -> Command:
    (cli.cwd / "milvus.toml").write_text('[profiles.local]\nuri = "./milvus.db"\n')
    return cli


@pytest.fixture
def gone(cli: Command) -> Command:
    (cli.cwd / "milvus.toml").write_text('[profiles.gone]\nuri = "http://127.0.0.1:1"\n')
    return cli


def test_no_input_stands_in_a_script() -> None:
    assert "{{" not in INSTALL["run"] + TEST["run"]
    expressions = {text for step in (INSTALL, TEST) for text in step["env"].values()}
    assert {f"${{{{ inputs.{name} }}}}" for name in ACTION["inputs"]} <= expressions


def test_it_tests_the_profile_and_writes_the_junit_file(lite: Command) -> None:
    done = run_test(lite)
    assert done.returncode == 0, done.stderr
    suite = ElementTree.parse(lite.cwd / ACTION["inputs"]["junit"]["default"]).getroot()
    assert [case.get("name") for case in suite.iter("testcase")][:2] == ["config", "secret"]
    assert not list(suite.iter("failure"))


def test_every_input_reaches_the_command(lite: Command, tmp_path: Path) -> None:
    named = tmp_path / "other file.toml"
    named.write_text(f'[profiles.b]\nuri = "{tmp_path}/b.db"\n[profiles.a]\nuri = "{tmp_path}/a.db"\n')
    done = run_test(lite, config=str(named), profile="a", wait="5", timeout="30", junit="a b.xml")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^a\b", done.stdout, re.MULTILINE)
    assert (lite.cwd / "a b.xml").exists()
    assert run_test(lite, config=str(named)).returncode == 3  # two, and none is named


def test_a_failure_fails_the_step_with_the_file_written(gone: Command) -> None:
    done = run_test(gone)
    assert done.returncode == 6
    assert list(ElementTree.parse(gone.cwd / "milvus-profiles.xml").getroot().iter("failure"))


@pytest.mark.parametrize("name", [name for name in ACTION["inputs"] if name not in ("extras", "python")])
@pytest.mark.parametrize("text", ['"; touch hit; $(touch hit) `touch hit`\ntouch hit #', "--help"])
def test_nothing_in_an_input_is_run_or_read_as_an_option(name: str, text: str, gone: Command) -> None:
    done = run_test(gone, **{name: text})
    assert not (gone.cwd / "hit").exists()
    assert "Usage:" not in done.stdout
    assert done.returncode != 0


@pytest.mark.parametrize("name", ["extras", "python"])
def test_nothing_of_an_input_is_run_by_the_installation(name: str, cli: Command, tmp_path: Path) -> None:
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> "$RUNNER_TEMP/said"\n')
    stub.chmod(0o755)
    values = {"python": str(stub), name: "$(touch hit); touch hit"}
    variables = {"RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": "/action", "GITHUB_OUTPUT": os.devnull}
    step = {**INSTALL, "env": {**INSTALL["env"], **{key: f"${{{{ x.{key} }}}}" for key in variables}}}
    done = run_step(step, cli, {**values, **variables})
    assert done.returncode != 0  # no environment was made
    assert not (cli.cwd / "hit").exists()
