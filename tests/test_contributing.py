"""The commands of CONTRIBUTING.md: the cheap ones run as they are printed, the others are at least what make knows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import commands
from tests.support.requirements import need, unavailable

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^( *)```console\n(.*?)^ *```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [command for indent, block in BLOCKS for command, _, _ in commands(re.sub(rf"(?m)^{indent}", "", block))]
# They take minutes, or change what is outside of a clone; tests/sdks/test_hooks.py runs the hooks.
LONG = ("make ", "git push ", "pre-commit run ")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what is committed, set up as `make setup` does it: with an environment in .venv."""
    need("git", "make")
    directory = tmp_path_factory.mktemp("contributing") / "clone"
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "clone", "--quiet", ROOT, directory], capture_output=True, text=True
    )
    if done.returncode != 0:
        unavailable("needs a clone: these sources are no git repository")
    (directory / ".venv").symlink_to(sys.prefix)
    return directory


def run(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "somebody", "GIT_AUTHOR_EMAIL": "somebody@example.com",
        "GIT_COMMITTER_NAME": "somebody", "GIT_COMMITTER_EMAIL": "somebody@example.com",
        "PRE_COMMIT_HOME": str(clone.parent / "pre-commit"),
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-euc", f". .venv/bin/activate\n{command}"], cwd=clone, env=env, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


def test_it_shows_every_step_of_working_here() -> None:
    shown = "\n".join(COMMANDS)
    for needed in (
        "make setup",
        "-k ",
        "make test",
        "make lint",
        "make docs",
        "make bench",
        "make release-check",
        "git tag",
    ):
        assert needed in shown


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(LONG)])
def test_what_is_cheap_runs_as_printed(command: str, clone: Path) -> None:
    if command.startswith("git tag --sign"):
        command = command.replace("--sign", "--annotate")  # nobody's key is here
    done = run(command, clone)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_the_rest(command: str, clone: Path) -> None:
    done = run(f"make --dry-run {command.removeprefix('make ')}", clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_tag_is_that_of_the_version() -> None:
    from milvus_profiles import __version__

    assert f'git tag --sign --message "{__version__}" v{__version__}' in COMMANDS
    assert f"git push origin v{__version__}" in COMMANDS


def test_every_file_that_it_names_is_there() -> None:
    for text in (ROOT / "CONTRIBUTING.md", ROOT / "CODE_OF_CONDUCT.md"):
        for target in re.findall(r"\]\(([^):]+)\)", text.read_text()):
            assert (ROOT / target).exists(), target
