"""``open``: which web console is found, what is said where there is none, and what a browser is given."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from milvus_profiles.probe.http import zilliz_cloud
from tests.support import faults
from tests.support.command import Command
from tests.support.files import written
from tests.support.milvus import MilvusServer

ATTU = "<!doctype html><html><head><title>Attu</title></head></html>"
WEBUI = "<!doctype html>\n<html><head>\n<title>Milvus WebUI - Home</title></head></html>"
LATER_WEBUI = "<!doctype html><html><head><title>Milvus Management</title></head></html>"
Pages = Callable[[int, str, str], None]

HOST = f"127.{os.getpid() >> 16 & 0x7F}.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF or 9}"
"""An address of this process alone: Attu's ports are fixed ones."""


@contextmanager
def answering(port: int, talk: Callable[[bytes, socket.socket], None]) -> Iterator[None]:
    """A port on which each request is given to a function."""

    def serve(connection: socket.socket) -> None:
        talk(connection.recv(65536), connection)
        faults.until_closed(connection)

    with faults.listener(serve, port, HOST):
        yield


def page(path: str, text: str) -> Callable[[bytes, socket.socket], None]:
    def talk(request: bytes, connection: socket.socket) -> None:
        known = request.startswith(f"GET {path} ".encode())
        body = text if known else "404 page not found"
        head = f"HTTP/1.1 {'200 OK' if known else '404 Not Found'}\r\nContent-Length: {len(body.encode())}"
        connection.sendall(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
        connection.shutdown(socket.SHUT_WR)

    return talk


@pytest.fixture
def pages(cli: Command) -> Iterator[Pages]:
    """Serves a page at a port and a path; the user's profile `prod` has the host."""
    cli.own_file(f'[profiles.prod]\nuri = "http://{HOST}:19530/films"\nmanagement_port = 9091\n')
    with ExitStack() as stack:
        yield lambda port, path, text: stack.enter_context(answering(port, page(path, text)))


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """A browser that writes down its arguments and its environment, and says something."""
    script = f'#!/bin/sh\nprintf "%s\\n" "$#" "$@" > {tmp_path}/argv\nenv > {tmp_path}/environment\necho hello\n'
    return written(tmp_path / "browser", script, 0o755)


@pytest.mark.parametrize(
    ("port", "path", "text", "name"),
    [
        (8000, "/", ATTU, "attu"),
        (3000, "/", ATTU, "attu"),
        (9091, "/webui/", WEBUI, "webui"),
        (9091, "/webui/", LATER_WEBUI, "webui"),
    ],
)
def test_the_console_that_is_there_is_printed(
    cli: Command, pages: Pages, port: int, path: str, text: str, name: str
) -> None:
    pages(port, path, text)
    outcome = cli("open", "prod", status=0)
    assert outcome.stdout == f"http://{HOST}:{port}{path}\n"
    assert outcome.stderr.startswith("Attu of prod" if name == "attu" else "Milvus WebUI of prod")
    record = cli("profile", "open", "--json", status=0).json
    looked = record.pop("looked_for")
    assert record == {"alias": "prod", "console": name, "url": f"http://{HOST}:{port}{path}", "opened": False}
    assert [(one["console"], one["found"]) for one in looked] == [
        ("attu", port == 8000), ("attu", port == 3000), ("webui", name == "webui"),
    ]  # fmt: skip


def test_attu_comes_before_what_only_shows_and_both_are_said(cli: Command, pages: Pages) -> None:
    pages(8000, "/", ATTU)
    pages(9091, "/webui/", WEBUI)
    outcome = cli("open", status=0)
    assert outcome.stdout == f"http://{HOST}:8000/\n"
    assert f"also Milvus WebUI: http://{HOST}:9091/webui/" in outcome.stderr
    assert cli("open", "-q", status=0).stderr == ""


@pytest.mark.parametrize(
    ("host", "console"),
    [
        ("in01-1234.aws-us-west-2.vectordb.zillizcloud.com:19530", "https://cloud.zilliz.com/"),
        ("in03-1234.serverless.gcp-us-west1.cloud.zilliz.com.cn", "https://cloud.zilliz.com.cn/"),
    ],
)
def test_zilliz_clouds_console_is_known_without_a_look(cli: Command, host: str, console: str) -> None:
    cli.own_file(f'[profiles.cloud]\nuri = "https://{host}"\n')
    assert cli("open", status=0).stdout == f"{console}\n"


def test_what_only_looks_like_zilliz_cloud_is_looked_at_as_any_other() -> None:
    assert zilliz_cloud("in01.vectordb.zillizcloud.com") == "https://cloud.zilliz.com/"
    for host in ("notzillizcloud.com", "zillizcloud.com.evil.example", "zillizcloud.com", "zilliz.com.cn"):
        assert zilliz_cloud(host) is None


def test_where_there_is_none_it_says_what_it_looked_for(cli: Command, pages: Pages) -> None:
    pages(3000, "/", "<title>Grafana</title>")
    pages(9091, "/healthz", "OK")
    outcome = cli("open", status=6)
    assert outcome.stdout == ""
    for part in (
        f"http://{HOST}:8000/",
        f"http://{HOST}:3000/",
        f"http://{HOST}:9091/webui/",
        "`milvus-profiles profile set prod management_port=PORT`",
    ):
        assert part in outcome.stderr
    assert "a page of something else" in outcome.stderr
    assert "HTTP status 404; Milvus has it from 2.5 on" in outcome.stderr
    failed = cli("open", "--json", status=6)
    assert failed.stdout == ""
    assert failed.error["error"] == "unreachable"
    assert [one["found"] for one in failed.error["looked_for"]] == [False] * 3


def test_a_real_milvus_from_before_it_has_none(cli: Command, milvus_plain: MilvusServer) -> None:
    cli.own_file(f'[profiles.prod]\nuri = "{milvus_plain.uri}"\nmanagement_port = {milvus_plain.metrics_port}\n')
    assert f":{milvus_plain.metrics_port}/webui/ (HTTP status 404" in cli("open", status=6).stderr


def test_a_file_or_a_socket_has_none(cli: Command, project: Path) -> None:
    cli.own_file('[profiles.local]\nuri = "/tmp/m.db"\n[profiles.socket]\nuri = "unix:/tmp/m.sock"\n')
    for alias in ("local", "socket"):
        assert "there is no web console" in cli("open", alias, status=6).stderr


def test_the_browser_gets_the_address_and_nothing_else(cli: Command, pages: Pages, browser: Path) -> None:
    pages(9091, "/webui/", WEBUI)
    env = {"BROWSER": str(browser), "MILVUS_PROFILES__OTHER__TOKEN": "s3cr3t", "MILVUS_TOKEN": "s3cr3t"}
    outcome = cli.real("open", "--browser", "--json", env=env, status=0)
    assert outcome.json["opened"] is True
    assert (browser.parent / "argv").read_text().splitlines() == ["1", f"http://{HOST}:9091/webui/"]
    given = (browser.parent / "environment").read_text()
    assert "s3cr3t" not in given
    assert f"HOME={cli.home}" in given
    assert outcome.stderr == "hello\n"


def test_the_variable_that_holds_the_secret_is_not_handed_on(cli: Command, pages: Pages, browser: Path) -> None:
    pages(8000, "/", ATTU)
    cli.own_file(f'[profiles.prod]\nuri = "http://{HOST}:19530"\ntoken = {{ env = "TEAM_KEY" }}\n')
    cli.real("open", "--browser", env={"BROWSER": str(browser), "TEAM_KEY": "s3cr3t"}, status=0)
    assert "s3cr3t" not in (browser.parent / "environment").read_text()


def test_a_browser_that_does_not_start_is_told(cli: Command, pages: Pages) -> None:
    pages(8000, "/", ATTU)
    for program in ("/nowhere/browser", "'"):
        outcome = cli.real("open", "--browser", env={"BROWSER": program, "PATH": "/nowhere"}, status=2)
        assert f"http://{HOST}:8000/" in outcome.stderr
        assert "set BROWSER" in outcome.stderr


@pytest.mark.security
def test_no_program_of_the_current_directory_is_the_browser(
    cli: Command, project: Path, pages: Pages, browser: Path
) -> None:
    pages(8000, "/", ATTU)
    for name in ("www-browser", "xdg-open", "firefox", "lynx"):
        (project / name).symlink_to(browser)
    cli.real("open", "--browser", env={"PATH": ".:", "DISPLAY": ":9"}, status=2)
    assert not (browser.parent / "argv").exists()


@pytest.mark.security
def test_no_browser_opens_an_address_of_an_untrusted_project(
    cli: Command, project: Path, pages: Pages, browser: Path
) -> None:
    pages(8000, "/", ATTU)
    (project / "milvus.toml").write_text(f'[profiles.theirs]\nuri = "http://{HOST}:19530"\n')
    assert cli("open", "theirs", status=0).stdout == f"http://{HOST}:8000/\n"
    env = {"BROWSER": str(browser)}
    assert "is not trusted" in cli.real("open", "theirs", "--browser", env=env, status=5).stderr
    assert not (browser.parent / "argv").exists()


def _silent(request: bytes, connection: socket.socket) -> None:
    pass


def _drip(request: bytes, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n<title>Attu")
    while True:
        connection.sendall(b" ")
        threading.Event().wait(0.05)


def _flood(request: bytes, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n<title>")
    while True:
        connection.sendall(b" " * 65536)


def _redirect(request: bytes, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n")


def _escapes(request: bytes, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 \x1b[31m\r\n\r\n<title>Attu\x1b]0;owned\x07</title><script>evil</script>")
    connection.shutdown(socket.SHUT_WR)


@pytest.mark.security
@pytest.mark.parametrize("talk", [_silent, _drip, _flood, _redirect, _escapes])
def test_a_hostile_answer_ends_in_time_and_is_not_shown(
    cli: Command, pages: Pages, talk: Callable[[bytes, socket.socket], None]
) -> None:
    with answering(8000, talk):
        outcome = cli("open", "--json", timeout=20)
    said = outcome.stdout + outcome.stderr
    assert outcome.returncode in (0, 6), said
    assert "evil" not in said
    assert "\x1b" not in said
    assert json.loads(said)
