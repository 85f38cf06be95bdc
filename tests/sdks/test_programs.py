"""The exported program of each SDK, written to a file and run as its users would, lists what is in a real Milvus.

Run by `make test-sdks`: the SDKs are some hundred megabytes, which scripts/sdks.py fetches beforehand, since in here
there is no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.support.command import Command
from tests.support.milvus import MilvusServer
from tests.support.requirements import unavailable

pytestmark = pytest.mark.sdks

SDKS = Path(os.environ.get("TEST_SDKS") or Path(__file__).parents[2] / ".sdks").absolute()
SOURCES = Path(__file__).parent
DATABASE, COLLECTION = "films", "exported_to_every_client"


@dataclass(frozen=True)
class Sdk:
    """How the exported program of a client is run.

    Attributes:
        directory: where scripts/sdks.py keeps it; None for what is here anyway.
        tools: the programs that it needs.
        file: what the program is called.
        prepare: puts beside the program what it needs there.
        command: what runs it, in its directory.
        env: variables beside the usual ones.
        servers: the servers that the client can reach; milvus-cli has no client certificates, and curl finds no REST
            over TLS on Milvus 2.3.5.
    """

    directory: str | None
    tools: Sequence[str]
    file: str
    command: Sequence[str]
    prepare: Callable[[Path], None] = lambda directory: None
    env: Callable[[], dict[str, str]] = dict
    servers: Sequence[str] = ("auth", "tls", "mtls")


def prepare_node(directory: Path) -> None:
    (directory / "node_modules").symlink_to(SDKS / "node/node_modules")


def prepare_go(directory: Path) -> None:
    for name in ("go.mod", "go.sum"):
        shutil.copy(SOURCES / "go" / name, directory)


def go_env() -> dict[str, str]:
    path = f"{Path(shutil.which('go') or '').parent}:{os.environ['PATH']}"
    return {
        "PATH": path,
        "GOPATH": f"{SDKS}/go/path",
        "GOCACHE": f"{SDKS}/go/cache",
        "GOPROXY": "off",
        "GOFLAGS": "-buildvcs=false",
    }


JAVA = ["java", "-cp", f"{SDKS}/java/lib/*", "MilvusProfile.java"]
CLI_PATH = f"{SDKS}/milvus-cli/venv/bin:{os.environ['PATH']}"
CLIENTS = {
    "pymilvus": Sdk(None, [], "program.py", [sys.executable, "program.py"]),
    "langchain": Sdk("langchain", [], "program.py", [f"{SDKS}/langchain/venv/bin/python", "program.py"]),
    "node": Sdk("node", ["node"], "program.mjs", ["node", "program.mjs"], prepare_node),
    "go": Sdk("go", ["go"], "main.go", ["go", "run", "."], prepare_go, go_env),
    "java": Sdk("java", ["java"], "MilvusProfile.java", JAVA),
    "curl": Sdk(None, ["curl"], "program.sh", ["sh", "program.sh"], servers=("auth",)),
    "milvus-cli": Sdk(
        "milvus-cli", [], "program.sh", ["sh", "program.sh"], env=lambda: {"PATH": CLI_PATH}, servers=("auth", "tls")
    ),
}
CASES = [(name, server) for name, sdk in CLIENTS.items() for server in sdk.servers]


@pytest.fixture(scope="session")
def servers(milvus_auth: MilvusServer, milvus_tls: MilvusServer, milvus_mtls: MilvusServer) -> dict[str, MilvusServer]:
    """The servers, each with one collection, in a database of its own."""
    found = {"auth": milvus_auth, "tls": milvus_tls, "mtls": milvus_mtls}
    program = """
import sys
from pymilvus import MilvusClient
uri, ca, cert, key, database, collection = sys.argv[1:]
mutual = dict(ca_pem_path=ca, client_pem_path=cert, client_key_path=key)
tls = mutual if cert else dict(server_pem_path=ca) if ca else {}
common = dict(uri=uri, token="root:Milvus", dedicated=True, secure=bool(ca), **tls)
MilvusClient(**common).create_database(database)
MilvusClient(db_name=database, **common).create_collection(collection, dimension=4)
"""
    for server in found.values():
        certs = server.certs
        files: list[Path | str] = [certs.ca, certs.client.cert, certs.client.key] if certs else ["", "", ""]
        if server.tls == "server":
            files[1:] = ["", ""]
        words = [sys.executable, "-c", program, server.uri, *map(str, files), DATABASE, COLLECTION]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return found


def declare(cli: Command, server: MilvusServer, secret: str) -> None:
    """A profile `prod` for a server, in the user's file; its key is in PKCS#8, the only form that Java reads."""
    lines = [f'uri = "{server.uri}"', f'db_name = "{DATABASE}"', f"management_port = {server.metrics_port}", secret]
    if server.certs is not None:
        pairs = {"ca": server.certs.ca}
        if server.tls == "mutual":
            key = load_pem_private_key(server.certs.client.key.read_bytes(), None)
            path = cli.home / "client.key"
            path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            pairs |= {"cert": server.certs.client.cert, "key": path}
        lines.append("ssl = { " + ", ".join(f'{name} = "{path}"' for name, path in pairs.items()) + " }")
    cli.own_file("[profiles.prod]\n" + "\n".join(lines) + "\n")


def prepared(name: str, tmp_path: Path) -> tuple[Sdk, Path]:
    """How the program of a client is run, if it can be here, and the directory for it."""
    sdk = CLIENTS[name]
    if missing := [tool for tool in sdk.tools if shutil.which(tool) is None]:
        pytest.skip(f"there is no {' and no '.join(missing)} on this machine")
    if sdk.directory is not None and not (SDKS / sdk.directory / "fetched").exists():
        unavailable(f"needs the SDK of {name} ('make test-sdks' fetches it)")
    directory = tmp_path / "program"
    directory.mkdir()
    sdk.prepare(directory)
    return sdk, directory


def run(cli: Command, sdk: Sdk, directory: Path) -> subprocess.CompletedProcess[str]:
    env = cli.environment(sdk.env())
    program = [shutil.which(sdk.command[0], path=env["PATH"]) or sdk.command[0], *sdk.command[1:]]
    return subprocess.run(program, cwd=directory, env=env, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize(("name", "server"), CASES, ids=lambda value: value)
def test_the_exported_program_lists_the_collections(
    cli: Command, tmp_path: Path, servers: dict[str, MilvusServer], name: str, server: str
) -> None:
    sdk, directory = prepared(name, tmp_path)
    (tmp_path / "token").write_text("root:Milvus\n")
    # The three ways of naming a secret: written out, in a variable that `exec` sets, in a file.
    secret = {
        "auth": 'user = "root"\npassword = "Milvus"',
        "tls": 'token = "root:Milvus"',
        "mtls": f'token = {{ file = "{tmp_path}/token" }}',
    }[server]
    declare(cli, servers[server], secret)
    more = ["--with-secret", "--yes"] if server == "tls" else []
    exported = cli("export", "prod", "--to", name, "--strict", *more)
    assert exported.returncode == 0, exported.stderr
    assert ("root:Milvus" in exported.stdout) == (server == "tls")
    (directory / sdk.file).write_text(exported.stdout)
    if server == "auth":
        outcome = cli(
            "exec", "prod", "--only", "MILVUS_TOKEN", "--", *sdk.command, cwd=directory, env=sdk.env(), timeout=180
        )
        code, out, err = outcome.returncode, outcome.stdout, outcome.stderr
    else:
        done = run(cli, sdk, directory)
        code, out, err = done.returncode, done.stdout, done.stderr
    assert code == 0, f"{exported.stdout}\n{out}\n{err}"
    assert COLLECTION in out, f"{exported.stdout}\n{out}\n{err}"
    if name == "curl":
        assert out.splitlines()[-1] == "OK"  # the management port
    assert not list(cli.home.glob(".milvus_cli*"))


@pytest.mark.parametrize("name", ["node", "go", "java", "pymilvus"])
def test_the_exported_program_fails_without_its_secret(
    cli: Command, tmp_path: Path, servers: dict[str, MilvusServer], name: str
) -> None:
    """Not with the server's answer to a connection without one."""
    sdk, directory = prepared(name, tmp_path)
    declare(cli, servers["auth"], 'token = { env = "TEAM_TOKEN" }')
    (directory / sdk.file).write_text(cli("export", "prod", "--to", name).stdout)
    done = run(cli, sdk, directory)
    assert done.returncode != 0
    assert "TEAM_TOKEN" in done.stderr
    assert COLLECTION not in done.stdout
