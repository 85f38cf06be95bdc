"""The hooks of this repository and those for others, its action and its workflows, by the tools that are for them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.sdks.test_programs import SDKS
from tests.support.command import Command
from tests.support.requirements import need, unavailable
from tests.test_action import INSTALL, run_step
from tests.test_repository import BIN, ROOT, WORKFLOWS

pytestmark = pytest.mark.sdks

GIT = ("git", "-c", "safe.directory=*", "-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
WHEELS = SDKS / "wheels"


def git(*words: str | Path, cwd: Path) -> str:
    need("git")
    done = subprocess.run([*GIT, *words], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0 and "not a git repository" in done.stderr:
        unavailable("needs a clone: these sources are no git repository")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """The environment in which pip finds what `make test-sdks` fetched, and asks no registry."""
    if not (WHEELS / "fetched").exists():
        unavailable("needs wheels, which `make test-sdks` could not fetch")
    return {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(WHEELS),
        "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"),
    }


def pre_commit(*words: str | Path, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "pre-commit", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def test_the_hooks_of_the_repository_run_clean(offline: dict[str, str], tmp_path: Path) -> None:
    """But for mypy, which takes a minute and is run by `make lint`."""
    # What is committed: a hook that changes a file changes nothing here.
    clone = tmp_path / "clone"
    git("clone", "--quiet", ROOT, clone, cwd=ROOT)
    done = pre_commit("run", "--all-files", cwd=clone, env={**offline, "SKIP": "mypy"})
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Passed") == 4


def test_another_project_has_its_milvus_toml_validated_by_the_hook(offline: dict[str, str], tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "deploy").mkdir(parents=True)
    git("init", "--quiet", cwd=project)
    (project / "other.toml").write_text("timout = 3\n")
    (project / "milvus.toml").write_text('[profiles.a]\nuri = "http://localhost"\n')
    nested = project / "deploy/milvus.toml"
    nested.write_text('[profiles.b]\nuri = "http://localhost"\ntimout = 3\n')
    # As they would: installed from a clone at a commit.
    repository = {
        "repo": str(ROOT),
        "rev": git("rev-parse", "HEAD", cwd=ROOT),
        "hooks": [{"id": "milvus-config-validate"}],
    }
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [repository]}))
    git("add", ".", cwd=project)
    done = pre_commit("run", cwd=project, env=offline)
    assert done.returncode == 1
    assert "deploy/milvus.toml:3" in done.stdout, done.stdout + done.stderr
    assert "timout" in done.stdout
    assert "other.toml" not in done.stdout
    nested.write_text(nested.read_text().replace("timout", "timeout"))
    git("add", ".", cwd=project)
    done = pre_commit("run", cwd=project, env=offline)
    assert done.returncode == 0, done.stdout


def test_the_action_installs_the_package_of_its_own_commit(
    offline: dict[str, str], cli: Command, tmp_path: Path
) -> None:
    action = tmp_path / "action"
    git("clone", "--quiet", ROOT, action, cwd=ROOT)
    output = tmp_path / "output"
    variables = {"RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": str(action), "GITHUB_OUTPUT": str(output)}
    variables |= {name: text for name, text in offline.items() if name.startswith("PIP_")}
    step = {**INSTALL, "env": {**INSTALL["env"], **{name: f"${{{{ env.{name} }}}}" for name in variables}}}
    done = run_step(step, cli, {**variables, "python": str(BIN / "python")})
    assert done.returncode == 0, done.stderr
    name, _, program = output.read_text().strip().partition("=")
    assert name == "program"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert said == cli("--version").stdout


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    program = SDKS / "actionlint/actionlint"
    if not program.exists():
        unavailable("needs actionlint, which `make test-sdks` could not fetch")
    # Without the tools that it runs where it finds them.
    samples = (ROOT / "sample_configs/github-actions").glob("*.yml")
    done = subprocess.run(
        [program, "-no-color", "-shellcheck=", "-pyflakes=", *WORKFLOWS, *samples], capture_output=True, text=True
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
