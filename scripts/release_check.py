"""Whether what would be published is whole, and works where nothing else is installed; `make release-check` runs it.

    release_check.py PYTHON…

Builds both archives into dist/, looks at them, installs the wheel in a bare environment of each of these Pythons, and
runs the demo there.  A Python that is not on this machine is left out, and named.  Standard library only, beside the
tools of the environment that runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PROJECT = Path(__file__).absolute().parents[1]
DIST = PROJECT / "dist"
TOOLS = Path(sys.executable).parent
# What whoever packages or changes this needs beside the package.
IN_THE_SOURCES = (
    "sample_configs/milvus.toml", "tests/conftest.py", "scripts/demo", "benchmarks/__main__.py", "Makefile", "LICENSE",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "CODE_OF_CONDUCT.md",
    "action.yml", ".pre-commit-hooks.yaml", ".github/workflows/release.yml",
)  # fmt: skip


def main() -> None:
    version = released_version()
    shutil.rmtree(DIST, ignore_errors=True)
    say(f"Building {version}")
    run(sys.executable, "-m", "build", "--outdir", str(DIST), str(PROJECT))
    archives = sorted(DIST.iterdir())
    wheel, sources = (DIST / f"milvus_profiles-{version}{end}" for end in ("-py3-none-any.whl", ".tar.gz"))
    if set(archives) != {wheel, sources}:
        sys.exit(f"error: built {', '.join(path.name for path in archives)}")
    look_at(wheel, sources)
    tried = [python for python in sys.argv[1:] if try_out(wheel, version, python)]
    if not tried:
        sys.exit("error: none of these Pythons is here")
    say(f"{version} can be released: tried with {', '.join(tried)}")


def released_version() -> str:
    """The one version there is, if it is dated in the changelog, and is that of the tag where there is one."""
    [version] = re.findall(
        r'^__version__ = "(.+)"$', (PROJECT / "milvus_profiles/version.py").read_text(), re.MULTILINE
    )
    latest = re.search(r"^## \[(.+?)\](.*)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if latest is None or latest[1] != version or not re.fullmatch(r" - \d{4}-\d\d-\d\d", latest[2]):
        sys.exit(f"error: the changelog must begin with `## [{version}] - YEAR-MONTH-DAY`")
    if os.environ.get("GITHUB_REF_TYPE") == "tag" and (tag := os.environ["GITHUB_REF_NAME"]) != f"v{version}":
        sys.exit(f"error: the tag is {tag}, and the version {version}")
    return version


def look_at(wheel: Path, sources: Path) -> None:
    say("Looking at the archives")
    run(str(TOOLS / "twine"), "check", "--strict", str(wheel), str(sources))
    run(str(TOOLS / "check-wheel-contents"), str(wheel))
    with tarfile.open(sources) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if missing := [name for name in IN_THE_SOURCES if name not in names]:
        sys.exit(f"error: {sources.name} lacks {', '.join(missing)}")
    with zipfile.ZipFile(wheel) as packed:
        others = {name.split("/")[0] for name in packed.namelist()} - {"milvus_profiles"}
    if {name.rpartition(".")[2] for name in others} != {"dist-info"}:
        sys.exit(f"error: {wheel.name} holds {', '.join(sorted(others))}")


def try_out(wheel: Path, version: str, python: str) -> bool:
    """Whether the Python is here; ends this program where the wheel does not work on it."""
    found = shutil.which(python)
    # One that a version manager knows by name only is not here.
    if found is None or subprocess.run([found, "--version"], capture_output=True).returncode != 0:
        say(f"{python} is not here")
        return False
    say(f"Trying the wheel with {python}")
    with tempfile.TemporaryDirectory(prefix="milvus-profiles-release-") as directory:
        venv = Path(directory, "venv")
        run(found, "-m", "venv", str(venv))
        pip = (str(venv / "bin/python"), "-m", "pip", "--disable-pip-version-check")
        run(*pip, "install", "--quiet", f"{wheel}[lite]")
        run(*pip, "check")
        said = run(str(venv / "bin/mvp"), "--version", cwd=directory)
        if said.split()[-1] != version:
            sys.exit(f"error: the program says {said!r}")
        # A copy: beside the original stands the package of this checkout.
        demo = shutil.copy(PROJECT / "scripts/demo", directory)
        env = {"PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": directory}
        said = run(str(venv / "bin/python"), demo, cwd=directory, env=env)
        if "found: The Third Man" not in said:
            sys.exit(f"error: the demo printed\n{said}")
    return True


def run(*command: str, cwd: str | None = None, env: dict[str, str] | None = None) -> str:
    """What a program printed; ends this one with it where it failed."""
    done = subprocess.run(
        command, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{done.stdout}error: this failed: {' '.join(command)}")
    return done.stdout


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
