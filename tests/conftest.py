"""The fixtures of every test: real servers, a real keyring, certificates, the installed command."""

from __future__ import annotations

# Before everything else: grpc, keyring and pymilvus read the environment when they are imported.
from tests.support.environment import nowhere, shield

_SESSION_HOME = shield()

import io  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402

import milvus_profiles as mp  # noqa: E402
from milvus_profiles.secrets.resolution import forget  # noqa: E402
from tests.support import binaries  # noqa: E402
from tests.support import certificates as certificate_files  # noqa: E402
from tests.support.certificates import Certificates  # noqa: E402
from tests.support.channels import any_channels, speaking_at_once  # noqa: E402
from tests.support.command import Command  # noqa: E402
from tests.support.connections import any_shell, declared_prod, each_server  # noqa: E402
from tests.support.fork_server import ForkServer  # noqa: E402
from tests.support.milvus import MilvusServer, need_milvus  # noqa: E402
from tests.support.reaper import Reaper  # noqa: E402
from tests.support.requirements import need  # noqa: E402
from tests.support.scripted_grpc import ScriptedServer, milvus_answer, scripted_server  # noqa: E402
from tests.support.secret_service import KeyringSession  # noqa: E402
from tests.support.world import World  # noqa: E402

__all__ = ["any_channels", "any_shell", "declared_prod", "each_server", "speaking_at_once"]  # fixtures

_PROGRAM = Path(sys.executable).with_name("milvus-profiles")


# How many examples a property is tried with: in `make test`, and in `make campaign`, which names the other profile.
hypothesis.settings.register_profile("small", deadline=None, max_examples=50)
hypothesis.settings.register_profile("large", deadline=None, max_examples=1_000)
hypothesis.settings.load_profile("small")


def pytest_report_header() -> str:
    isolated = {name for _, name in socket.if_nameindex()} == {"lo"}
    return f"network: {'loopback only' if isolated else 'NOT isolated, test servers listen on every interface'}"


def pytest_unconfigure() -> None:
    shutil.rmtree(_SESSION_HOME, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def reaper() -> Iterator[Reaper]:
    """Ends what is left should this session die without its teardown."""
    watching = Reaper()
    watching.watch_path(_SESSION_HOME)
    yield watching
    watching.close()


# --- directories and the command ---------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A fresh, empty home directory."""
    directory = tmp_path / "home"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh directory in which the search for a project file ends."""
    directory = tmp_path / "project"
    (directory / ".git").mkdir(parents=True)
    return directory


@pytest.fixture
def world(home: Path, project: Path) -> World:
    return World(home, project)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for the examples of properties, each of which writes its files anew."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory for every user: not in pytest's own, which each session closes to others again."""
    directory = Path(tempfile.mkdtemp(prefix="milvus-profiles-open-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def file(project: Path, request: pytest.FixtureRequest) -> Path:
    """The file of the project, with the text that the module of the test has as `FILE`."""
    path = project / "milvus.toml"
    path.write_text(request.module.FILE)
    return path


@pytest.fixture
def in_process(home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is in `project`, with `home` as its home directory and nothing on its standard input."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.chdir(project)
    yield
    mp.disconnect_all()


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """For a `Command` of the console script that a test makes itself."""
    server = ForkServer(str(_PROGRAM), Command([], _SESSION_HOME, _SESSION_HOME).environment())
    yield server
    server.close()


@pytest.fixture
def cli(home: Path, project: Path, fork_server: ForkServer) -> Command:
    """The installed console script, run in `project` with `home` as its home directory."""
    return Command([_PROGRAM], home, project, fork_server)


# --- keyrings ------------------------------------------------------------------------------------------------------


def _keyring(reaper: Reaper) -> Iterator[KeyringSession]:
    need("dbus-daemon", "dbus-send", "gnome-keyring-daemon", "secret-tool")
    session = KeyringSession(reaper)
    session.start()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def keyring_session(reaper: Reaper) -> Iterator[KeyringSession]:
    """One real, unlocked keyring for all tests: leave it running and unlocked."""
    yield from _keyring(reaper)


@pytest.fixture
def fresh_keyring(reaper: Reaper) -> Iterator[KeyringSession]:
    """A real, unlocked, empty keyring that the test may lock, suspend or stop."""
    yield from _keyring(reaper)


@pytest.fixture
def no_keyring_env(home: Path) -> dict[str, str]:
    """A whole environment in which there is no session bus, so no keyring."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **nowhere(home)}


@pytest.fixture
def nothing_kept() -> Iterator[None]:
    """No secret that was fetched before, or by this test for the next."""
    forget()
    yield
    forget()


# --- certificates and servers --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificate_files.issue(tmp_path_factory.mktemp("certificates"))


StartMilvus = Callable[..., MilvusServer]
"""With the keywords of `MilvusServer`."""


def _factory(reaper: Reaper, certificates: Certificates) -> Iterator[StartMilvus]:
    servers: list[MilvusServer] = []

    def start(**options: Any) -> MilvusServer:
        need_milvus(options.get("version", binaries.CURRENT))
        server = MilvusServer(reaper, certificates=certificates, **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.remove()


@pytest.fixture
def start_milvus(reaper: Reaper, certificates: Certificates) -> Iterator[StartMilvus]:
    """Starts servers of the test's own, to be stopped, killed and restarted at will."""
    yield from _factory(reaper, certificates)


@pytest.fixture(scope="session")
def _start_shared(reaper: Reaper, certificates: Certificates) -> Iterator[StartMilvus]:
    yield from _factory(reaper, certificates)


@pytest.fixture(scope="session")
def milvus_plain(_start_shared: StartMilvus) -> MilvusServer:
    """Neither authorization nor TLS."""
    return _start_shared()


@pytest.fixture(scope="session")
def milvus_auth(_start_shared: StartMilvus) -> MilvusServer:
    """Authorization, no TLS."""
    return _start_shared(auth=True)


@pytest.fixture(scope="session")
def milvus_tls(_start_shared: StartMilvus) -> MilvusServer:
    """Authorization and TLS."""
    return _start_shared(auth=True, tls="server")


@pytest.fixture(scope="session")
def milvus_mtls(_start_shared: StartMilvus) -> MilvusServer:
    """Authorization and mutual TLS."""
    return _start_shared(auth=True, tls="mutual")


@pytest.fixture(scope="session")
def milvus_228(_start_shared: StartMilvus) -> MilvusServer:
    """An old server without the Connect RPC; neither authorization nor TLS."""
    return _start_shared(version=binaries.OLD)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Answers as a healthy, empty Milvus does."""
    with scripted_server(milvus_answer) as one:
        yield one
