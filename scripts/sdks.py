"""Fetches the SDKs and tools that tests/sdks runs, by the ordinary client of each registry, and says so in a line each.

    sdks.py DIRECTORY [NAME …]

Without names all of them but the peers of the benchmarks.  What is there already, in the wanted version, is left alone;
where a toolchain is missing, or a registry cannot be reached, this says so, and so does the test then.  Standard
library only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

SOURCES = Path(__file__).absolute().parents[1] / "tests/sdks"
MILVUS_CLI = "milvus-cli==1.2.1"
AWSCLI, SNOWFLAKE = "awscli==1.46.3", "snowflake-cli==3.30.0"
LANGCHAIN = ("langchain-milvus>=0.2", "langchain-core")
PEERS = {"awscli", "snowflake-cli"}
"""What only the benchmarks run: `make bench` names them."""


def main() -> None:
    directory = Path(sys.argv[1]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    known: dict[str, tuple[list[str], Callable[[Path], None], bytes]] = {
        "node": (["node", "npm"], node, (SOURCES / "node/package.json").read_bytes()),
        "pyright": (["node", "npm"], node, (SOURCES / "pyright/package.json").read_bytes()),
        "taplo": (["node", "npm"], node, (SOURCES / "taplo/package.json").read_bytes()),
        "go": (["go"], go, b"".join(path.read_bytes() for path in go_files("go"))),
        "java": (["java", "mvn"], java, (SOURCES / "java/pom.xml").read_bytes()),
        "milvus-cli": ([], lambda target: python(target, MILVUS_CLI), MILVUS_CLI.encode()),
        "actionlint": (["go"], actionlint, b"".join(path.read_bytes() for path in go_files("actionlint"))),
        "wheels": ([], wheels, (SOURCES.parents[1] / "pyproject.toml").read_bytes() + sys.version.encode()),
        "awscli": ([], lambda target: python(target, AWSCLI), AWSCLI.encode()),
        "snowflake-cli": ([], lambda target: python(target, SNOWFLAKE), SNOWFLAKE.encode()),
        "langchain": ([], lambda target: python(target, *LANGCHAIN), repr(LANGCHAIN).encode()),
    }
    for name in sys.argv[2:] or [name for name in known if name not in PEERS]:
        once(directory / name, *known[name])


def once(target: Path, tools: list[str], fetch: Callable[[Path], None], wanted: bytes) -> None:
    """Fetch into a directory, unless its stamp says that this was done."""
    stamp = target / "fetched"
    digest = hashlib.sha256(wanted + os.fsencode(target)).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        print(f"The SDK for {target.name} is left out: there is no {' and no '.join(missing)}", flush=True)
        return
    print(f"Fetching the SDK for {target.name}", flush=True)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    try:
        fetch(target)
    except subprocess.CalledProcessError as error:
        lines = error.stdout.decode(errors="replace").strip().splitlines()
        print(f"  not to be had: {lines[-1] if lines else error}", flush=True)
        return
    stamp.write_text(digest)


def node(target: Path) -> None:
    shutil.copy(SOURCES / target.name / "package.json", target)
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=target)


def go_files(name: str) -> list[Path]:
    return sorted(path for path in (SOURCES / name).iterdir() if path.suffix in (".go", ".mod", ".sum"))


def go(target: Path) -> None:
    shutil.copytree(SOURCES / "go", target / "program")
    go_build(target, os.devnull, ".", target / "program")


def actionlint(target: Path) -> None:
    # From Go's proxy: the package of that name in Python's registry fetches a binary from GitHub.
    go_build(target, str(target / "actionlint"), "github.com/rhysd/actionlint/cmd/actionlint", SOURCES / "actionlint")
    for made in ("path", "cache"):
        shutil.rmtree(target / made)


def go_build(target: Path, output: str, package: str, directory: Path) -> None:
    # Writable, so that it can be removed like everything else.
    env = {"GOPATH": str(target / "path"), "GOCACHE": str(target / "cache"), "GOFLAGS": "-modcacherw -buildvcs=false"}
    run("go", "build", "-o", output, package, cwd=directory, env=env)


def java(target: Path) -> None:
    shutil.copy(SOURCES / "java/pom.xml", target)
    run(
        "mvn", "--batch-mode", "--quiet", f"-Dmaven.repo.local={target / 'repository'}",
        "dependency:copy-dependencies", f"-DoutputDirectory={target / 'lib'}", cwd=target,
    )  # fmt: skip


def python(target: Path, *packages: str) -> None:
    run(sys.executable, "-m", "venv", str(target / "venv"))
    run(str(target / "venv/bin/pip"), "install", "--quiet", "--disable-pip-version-check", *packages)


def wheels(target: Path) -> None:
    """What this project needs to be built and installed from its sources without a network."""
    needed = [line for line in requires("milvus-profiles") or () if "extra ==" not in line]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    run(*pip, "--only-binary", ":all:", "--dest", str(target), "hatchling", *needed)


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, check=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


if __name__ == "__main__":
    main()
