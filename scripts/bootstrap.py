"""Makes what the Makefile's targets need, each thing once; says in one line what it does, nothing when all is there.

    bootstrap.py VENV            the virtual environment, with this project and its development tools in it
    bootstrap.py VENV --servers  and what the tests need besides: Milvus servers, other clients, a few Debian packages
                                 (with --proxies, gateways and a name server too; with --engines, Dask, Ray, Spark and
                                 Java; with --browser, Chromium)
    bootstrap.py VENV --docs     and what builds the site

Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).absolute().parents[1]
sys.path.insert(0, str(PROJECT))

from tests.support import binaries, layers  # noqa: E402  (standard library only, too)
from tests.support.requirements import (  # noqa: E402
    BROWSER_PACKAGES,
    DEBIAN_PACKAGES,
    ENGINE_PACKAGES,
    PROXY_PACKAGES,
    which,
)

OLDEST_PYTHON = (3, 10)


def main() -> None:
    venv = Path(sys.argv[1]).absolute()
    if sys.version_info < OLDEST_PYTHON:
        stop(f"Python 3.10 or newer is needed, this is {python_version()}: make PYTHON=python3.12 …")
    venv.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(venv):
        create(venv)
        install_project(venv)
        compile_project(venv)
        if "--docs" in sys.argv:
            install_group(venv, "docs", "what builds the site")
        if "--servers" in sys.argv:
            engines = "--engines" in sys.argv
            proxies = "--proxies" in sys.argv
            packages = {**(PROXY_PACKAGES if proxies else {}), **(ENGINE_PACKAGES if engines else {})}
            packages |= BROWSER_PACKAGES if "--browser" in sys.argv else {}
            install_debian_packages({**DEBIAN_PACKAGES, **packages})
            install_group(venv, "bench", "the peers of the benchmarks")  # their tests compare with them, too
            for version in binaries.VERSIONS:
                fetch_server(venv, version)
            more = {**(layers.ENGINES if engines else {}), **(layers.PROXIES if proxies else {})}
            for name in {**layers.LAYERS, **more}:
                make_layer(venv, name)


def create(venv: Path) -> None:
    configuration = venv / "pyvenv.cfg"
    if (venv / "bin/pip").exists():
        found = next(
            line.partition("=")[2].strip()
            for line in configuration.read_text().splitlines()
            if line.split("=")[0].strip() in ("version", "version_info")
        )
        if found.split(".")[:2] != python_version().split(".")[:2]:
            stop(
                f"{venv.name} holds Python {found} and PYTHON is {python_version()}: "
                f"choose another directory (make VENV=.venv-{python_version().rpartition('.')[0]} …) or run make clean"
            )
        return
    need_venv_module()
    say(f"Creating {venv.name} with Python {python_version()}")
    run(sys.executable, "-m", "venv", "--clear", str(venv))
    # Dependency groups need pip 25.1.
    pip(venv, "--upgrade", "pip")


def need_venv_module() -> None:
    """Debian has Python without it in one package, and it in another."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        if not can_apt():
            stop(f"Python's venv module is missing. On Debian or Ubuntu, as root: apt-get install {package}")
        apt_install(package)


def install_project(venv: Path) -> None:
    declared = (PROJECT / "pyproject.toml").read_bytes()
    wanted = hashlib.sha256(declared + os.fsencode(PROJECT)).hexdigest()
    stamp = venv / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("Installing milvus-profiles and its development tools")
    os.chdir(PROJECT)  # --group reads ./pyproject.toml
    pip(venv, "--editable", ".[lite,pymilvus]", "--group", "dev")
    stamp.write_text(wanted)


def compile_project(venv: Path) -> None:
    """Compile the package, as pip does what it copies.

    Where PYTHONDONTWRITEBYTECODE is set, each of the thousands of processes of the tests would compile it anew.
    """
    subprocess.run([venv / "bin/python", "-m", "compileall", "-q", PROJECT / "milvus_profiles"], check=False)


def install_group(venv: Path, group: str, what: str) -> None:
    wanted = (venv / "installed").read_text()
    stamp = venv / f"installed-{group}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"Installing {what}")
    os.chdir(PROJECT)
    pip(venv, "--group", group)
    stamp.write_text(wanted)


def fetch_server(venv: Path, version: str) -> None:
    if not binaries.is_carried(version):
        say(f"Fetching Milvus {version}, a server for the tests (about 50 MB)")
        # --no-deps, and outside the venv: only the binaries in it are wanted.
        target = binaries.carrier(version)
        try:
            pip(venv, "--target", str(target), "--upgrade", "--no-deps", "--only-binary", ":all:", f"milvus=={version}")
        except subprocess.CalledProcessError as error:
            # No wheel for this platform, or no network: the tests say what they then cannot do.
            say(f"  not to be had: {last_line(error.stdout)}")
            return
    if not binaries.is_unpacked(version):
        say(f"Unpacking Milvus {version}")
        binaries.binaries(version)


def make_layer(venv: Path, name: str) -> None:
    if layers.is_made(venv, name):
        return
    say(f"Installing {', '.join(layers.PACKAGES[name])} beside the tests")
    try:
        layers.make(venv, name)
    except subprocess.CalledProcessError as error:
        say(f"  not to be had: {last_line(error.stdout)}")


def install_debian_packages(wanted: dict[str, str]) -> None:
    packages = sorted({package for tool, package in wanted.items() if which(tool) is None})
    if not packages:
        return
    if can_apt():
        apt_install(*packages)
    else:
        say(f"Missing, so some tests cannot run: {' '.join(packages)} (Debian or Ubuntu: apt-get install as root)")


def can_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(*packages: str) -> None:
    say(f"Installing Debian packages: {' '.join(packages)}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    quiet = ("-qq", "-o", "Acquire::Retries=3")
    run("apt-get", "update", *quiet)
    with no_service_started():
        run("apt-get", "install", "--yes", "--no-install-recommends", *quiet, *packages)


@contextlib.contextmanager
def no_service_started() -> Iterator[None]:
    """Debian starts a server when it has installed it; this machine was not asked to serve anything."""
    policy = Path("/usr/sbin/policy-rc.d")
    try:
        with policy.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:  # as in containers: the machine has a rule of its own
        yield
        return
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def pip(venv: Path, *arguments: str) -> None:
    run(str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


@contextlib.contextmanager
def one_at_a_time(venv: Path) -> Iterator[None]:
    """Two makes in one checkout wait for each other."""
    descriptor = os.open(venv.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def last_line(output: bytes) -> str:
    return (output.decode(errors="replace").strip().splitlines() or ["no output"])[-1]


def say(line: str) -> None:
    print(line, flush=True)


def stop(line: str) -> None:
    sys.exit(f"error: {line}")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(error.stdout.decode(errors="replace"))
        stop(f"this failed: {' '.join(map(str, error.cmd))}")
