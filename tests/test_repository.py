"""The repository itself: what stands once, what hooks and workflows do, and what somebody who joins is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import milvus_profiles
from milvus_profiles.tomltext.parser import loads
from tests.support.requirements import need, unavailable

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PROJECT: dict[str, Any] = loads((ROOT / "pyproject.toml").read_text())
URLS: dict[str, str] = PROJECT["project"]["urls"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
NEWEST = "3.14"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What git keeps, and what it would."""
    need("git")
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        unavailable("needs a clone: these sources are no git repository")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# --- once ------------------------------------------------------------------------------------------------------------


def test_the_version_stands_once_and_leads_the_changelog(files: list[Path]) -> None:
    version = milvus_profiles.__version__
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "milvus_profiles/version.py"
    shown = {
        path for path in files if path.suffix in (".py", ".toml") and f'version__ = "{version}"' in path.read_text()
    }
    assert shown == {ROOT / "milvus_profiles/version.py"}
    first = re.search(r"^## \[.*$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first is not None
    assert re.fullmatch(rf"## \[(Unreleased\]|{re.escape(version)}\] - \d{{4}}-\d\d-\d\d)", first[0])


def test_every_address_of_the_project_is_one_of_its_metadata(files: list[Path]) -> None:
    """They are claimed at the first release; where one cannot be had, this finds all places."""
    ours = re.compile(r"(?:https://)?(?:github\.com/milvus-profiles|milvus-profiles\.readthedocs)[^\s\"'`<>)\],;]*")
    for path in files:
        if path.suffix not in (".md", ".py", ".toml", ".yml", ".yaml"):
            continue
        for found in ours.findall(path.read_text()):
            address = found if found.startswith("https://") else f"https://{found}"
            assert address.startswith((URLS["Repository"], URLS["Documentation"])), f"{path}: {found}"
    for name in ("Changelog", "Issues"):
        assert URLS[name].startswith(URLS["Repository"] + "/")


def test_the_pythons_that_are_promised_are_those_of_the_workflow() -> None:
    jobs = load(ROOT / ".github/workflows/tests.yml")["jobs"]
    tested = [job["strategy"]["matrix"]["python"] for job in jobs.values() if "python" in job["strategy"]["matrix"]]
    assert len(tested) == 3  # Linux, macOS, Windows
    promised = [
        line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if re.search(r"Python :: 3\.\d+$", line)
    ]
    for pythons in tested:
        assert [python for python in pythons if python != NEWEST] == [name for name in promised if name != NEWEST]
        assert NEWEST in pythons
    assert PROJECT["project"]["requires-python"] == f">={promised[0]}"
    release = load(ROOT / ".github/workflows/release.yml")["jobs"]["build"]["steps"]
    [setup] = [step for step in release if "setup-python" in step.get("uses", "")]
    assert sorted(setup["with"]["python-version"].split()) == sorted({*promised, NEWEST})


# --- workflows -------------------------------------------------------------------------------------------------------


def test_zizmor_finds_nothing_unsafe_in_workflows_the_action_and_the_sample() -> None:
    sample = ROOT / "sample_configs/github-actions/test.yml"
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--no-progress", "--color=never", ROOT / ".github", ACTION, sample],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"zizmor: *ignore", "".join(path.read_text() for path in [*WORKFLOWS, ACTION]))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_runs_what_its_commits_name(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        publishes = (path.name, name) == ("release.yml", "publish")
        assert job["permissions"] == ({"id-token": "write"} if publishes else {"contents": "read"})
        assert job["timeout-minutes"] <= 60
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


def test_targets_that_workflows_and_documents_name_are_there(files: list[Path]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= set(load(ROOT / ".github/workflows/tests.yml")["jobs"]["linux-more"]["strategy"]["matrix"]["target"])
    texts = [
        *WORKFLOWS,
        ROOT / ".readthedocs.yaml",
        ROOT / "CONTRIBUTING.md",
        ROOT / ".github/pull_request_template.md",
    ]
    named = {
        name
        for path in texts
        for name in re.findall(r"(?:[`$:-] ?|CI |=true )make ([a-z][a-z-]*[a-z])\b", path.read_text())
    }
    assert not named - targets
    assert {"test", "lint", "release-check", "docs"} <= named


def test_what_runs_on_windows_needs_neither_conftest_nor_unix(tmp_path: Path) -> None:
    plugin = (
        # What the package itself has of Unix stands behind sys.platform, and may be loaded here.
        "import milvus_profiles.config.places, milvus_profiles.secrets.command\n"
        "import sys\nfor name in ('fcntl', 'pwd', 'grp', 'pty', 'resource', 'termios'):\n    sys.modules[name] = None\n"
    )
    (tmp_path / "no_unix.py").write_text(plugin)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no_unix", "-p", "no:cacheprovider", "--noconftest", "-q",
         "--setup-plan", "@tests/portable.txt"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


# --- who joins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bug.yml", "idea.yml"])
def test_an_issue_form_is_one_and_asks_for_the_doctor(name: str) -> None:
    form = load(ROOT / ".github/ISSUE_TEMPLATE" / name)
    assert form["name"]
    assert form["description"]
    fields = {field["id"]: field for field in form["body"]}
    assert len(fields) == len(form["body"])
    for field in fields.values():
        assert field["type"] in ("textarea", "input")
        assert field["attributes"]["label"]
        assert set(field) <= {"type", "id", "attributes", "validations"}
    assert "`mvp doctor --json`" in fields["doctor"]["attributes"]["label"]
    assert fields["doctor"]["attributes"]["render"] == "json"


def test_dependabot_knows_every_place_of_dependencies() -> None:
    names = {"package.json": "npm", "go.mod": "gomod", "pom.xml": "maven"}
    wanted = {("pip", "/"), ("github-actions", "/")}
    for path in (ROOT / "tests/sdks").glob("*/*"):
        if path.name in names:
            wanted.add((names[path.name], f"/{path.parent.relative_to(ROOT).as_posix()}"))
    watched = {
        (update["package-ecosystem"], place)
        for update in load(ROOT / ".github/dependabot.yml")["updates"]
        for place in update.get("directories", [update.get("directory")])
    }
    assert watched == wanted


def test_text_files_are_as_the_editorconfig_says(files: list[Path]) -> None:
    for path in files:
        content = path.read_bytes()
        if path.suffix in (".py", ".md", ".toml", ".yml", ".yaml", ".json", ".mjs", ".txt") and content:
            assert content.endswith(b"\n"), path
            assert b"\r" not in content, path
            assert path.suffix == ".py" or not re.search(rb"[ \t]\n", content), path
            content.decode()
