"""Real gateways between the client and a real Milvus: what they answer by themselves is told from what Milvus answers.

nginx and haproxy, with and without TLS, with and without HTTP/2, with Milvus behind them and with nothing.
`mp.connect`, `mp.aio.connect`, `mp.diagnose` and `profile test` are asked about each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from tests.support import faults, gateways, ports
from tests.support.certificates import Certificates, Identity
from tests.support.command import Command, asking
from tests.support.fork_server import ForkServer
from tests.support.gateways import Site
from tests.support.milvus import MilvusServer
from tests.support.reaper import Reaper
from tests.support.waiting import until

pytestmark = pytest.mark.proxies

LONG = 6500
"""Characters of a token that no header of nginx has room for, unless it is told so."""


@dataclass(frozen=True)
class Case:
    """A profile whose address is a gateway's, and what is said of it.

    Attributes:
        port: `nginx:SITE` or `haproxy:SITE`.
        status: the exit status.
        code: the error's code; "ok" where it connects.
        stage: where the test fails; empty where it does not.
        said: words of the failure; a name for the gateway and its HTTP status among them.
        hint: words of the remedy.
        tls: whether the profile has TLS.
        more: more lines of the profile.
        path: of the uri.
        client: which of the certificates the profile has; empty for none.
    """

    port: str
    status: int = 0
    code: str = "ok"
    stage: str = ""
    said: str = ""
    hint: str = ""
    tls: bool = False
    more: str = 'token = "root:Milvus"'
    path: str = ""
    client: str = ""


def refused(port: str, http_status: int, status: int, code: str, hint: str, **more: Any) -> Case:
    """A gateway answers with an HTTP status."""
    return Case(port, status, code, "grpc", f"HTTP status {http_status}", hint, **more)


UNREADY = 8, "not_ready"
NO_MILVUS = 8, "not_milvus"

CASES = {
    # What works.
    "nginx": Case("nginx:h2c"),
    "nginx-tls": Case("nginx:h2", tls=True),
    "haproxy": Case("haproxy:h2c"),
    "haproxy-tls": Case("haproxy:h2", tls=True),
    "nginx-mutual-tls": Case("nginx:mutual", tls=True, client="client"),
    "haproxy-mutual-tls": Case("haproxy:mutual", tls=True, client="client"),
    # Milvus's own refusals, through a gateway, stay Milvus's.
    "wrong-password-behind-a-gateway": Case(
        "nginx:h2", 9, "auth", "auth", "does not accept the user and the password", tls=True,
        more='token = "root:wrong"',
    ),
    "no-database-behind-a-gateway": Case(
        "nginx:h2", 10, "database", "database", "has no database 'milvus'", "gRPC has no path prefix", tls=True,
        path="/milvus",
    ),
    # TLS and HTTP/2.
    "plaintext-to-tls-of-nginx": Case("nginx:h2", 7, "tls", "tls", "speaks TLS, and the profile has none", "https://"),
    "plaintext-to-tls-without-http2-of-nginx": Case(
        "nginx:https", 7, "tls", "tls", "speaks TLS, and the profile has none", "https://"
    ),
    "plaintext-to-tls-of-haproxy": Case("haproxy:h2", 7, "tls", "tls", "speaks TLS, and the profile", "https://"),
    "tls-to-plaintext-of-nginx": Case("nginx:h2c", 7, "tls", "tls", "speaks plaintext", "http://", tls=True),
    "tls-to-plaintext-of-haproxy": Case("haproxy:h2c", 7, "tls", "tls", "speaks plaintext", "http://", tls=True),
    "nginx-without-http2": Case("nginx:http", *NO_MILVUS, "grpc", "(HTTP status 400)", "has to speak HTTP/2"),
    "nginx-with-tls-without-http2": Case(
        "nginx:https", *NO_MILVUS, "grpc", "speaks TLS but not HTTP/2", "has to speak HTTP/2", tls=True
    ),
    "haproxy-with-tls-without-http2": Case(
        "haproxy:https", *NO_MILVUS, "grpc", "speaks TLS but not HTTP/2", "has to speak HTTP/2", tls=True
    ),
    "mutual-tls-of-nginx": refused("nginx:mutual", 400, *NO_MILVUS, "ssl.cert=PATH", tls=True),
    "certificate-that-nginx-refuses": refused(
        "nginx:mutual", 400, *NO_MILVUS, "refuses the client certificate", tls=True, client="foreign_client"
    ),
    "certificate-that-haproxy-refuses": Case(
        "haproxy:mutual", 7, "tls", "tls", "refuses the client certificate", "ssl.cert=PATH", tls=True,
        client="foreign_client",
    ),
    "mutual-tls-of-haproxy": Case("haproxy:mutual", 7, "tls", "tls", "wants a client cert", "ssl.cert=PATH", tls=True),
    "whole-chain": Case("nginx:chained", tls=True),
    "no-intermediate-certificate": Case(
        "nginx:unchained", 7, "tls", "tls", "the chain is incomplete", "send the whole chain", tls=True
    ),
    "name-that-nginx-does-not-serve": Case(
        "nginx:nameless", 7, "tls", "tls", "unrecognized name", "ssl.server_name", tls=True
    ),
    # What a gateway answers by itself.
    **{
        f"{status}-of-{who}{'-with-tls' if tls else ''}": refused(
            f"{who}:{'tls-' if tls else ''}{status}", status, *meaning, hint, tls=tls
        )
        for who in ("nginx", "haproxy")
        for tls in (False, True)
        for status, meaning, hint in (
            (401, (9, "auth"), "Milvus was not asked"),
            (403, (9, "permission"), "Milvus was not asked"),
            (404, NO_MILVUS, "milvus.proto.milvus.MilvusService"),
            (413, NO_MILVUS, "client_max_body_size"),
            (429, UNREADY, "raise the gateway's limit"),
            (503, UNREADY, "whether the Milvus behind it runs"),
        )
    },
    "redirect-of-nginx": refused("nginx:redirect", 301, *NO_MILVUS, "follows no redirects"),
    "redirect-of-haproxy": refused("haproxy:redirect", 302, *NO_MILVUS, "follows no redirects"),
    "page-of-nginx": Case("nginx:page", *NO_MILVUS, "grpc", "is not a Milvus", "check the port"),
    "password-of-nginx": refused("nginx:password", 401, 9, "auth", "Milvus was not asked"),
    "limit-of-size-of-nginx": refused("nginx:small", 413, *NO_MILVUS, "client_max_body_size"),
    "dead-behind-nginx": refused("nginx:dead", 502, *UNREADY, "whether the Milvus behind it runs"),
    "dead-behind-haproxy": refused("haproxy:dead", 503, *UNREADY, "whether the Milvus behind it runs"),
    "dead-behind-tcp-of-haproxy": Case(
        "haproxy:tcp", 6, "unreachable", "grpc", "closes every connection", "a gateway does so", more="timeout = 2"
    ),
    "long-headers-to-nginx": Case(
        "nginx:h2c", *NO_MILVUS, "grpc", "limit of the headers' length", "large_client_header_buffers",
        more=f'token = "root:{"x" * LONG}"',
    ),
    "long-headers-to-nginx-with-tls": Case(
        "nginx:h2", *NO_MILVUS, "grpc", "limit of the headers' length", "large_client_header_buffers",
        more=f'token = "root:{"x" * LONG}"', tls=True,
    ),
    "long-headers-to-haproxy": Case(
        "haproxy:h2c", *NO_MILVUS, "grpc", "limit of the headers' length", "tune.bufsize",
        more=f'token = "root:{"x" * 2 * LONG}"',
    ),
    # A path, which gRPC has none of.
    "path-prefix": refused("nginx:prefix", 404, *NO_MILVUS, "host or port of its own", tls=True, path="/milvus"),
}  # fmt: skip


def nginx_sites(milvus: MilvusServer, certificates: Certificates, directory: Path, late: int) -> dict[str, Site]:
    to_milvus, shown = f"location / {{ grpc_pass grpc://{milvus.address}; }}", certificates.server
    (directory / "passwords").write_text("")
    answers = {str(status): f"location / {{ return {status}; }}" for status in (401, 403, 404, 413, 429, 503)}
    return {
        "h2c": Site(to_milvus),
        "h2": Site(to_milvus, shown),
        "http": Site(to_milvus, http2=False),
        "https": Site(to_milvus, shown, http2=False),
        "mutual": Site(f"ssl_verify_client on; ssl_client_certificate {certificates.ca}; {to_milvus}", shown),
        **{name: Site(rules) for name, rules in answers.items()},
        **{f"tls-{name}": Site(rules, shown) for name, rules in answers.items()},
        "nameless": Site(f"ssl_reject_handshake on; {to_milvus}", shown),
        "chained": Site(to_milvus, certificates.chained_server),
        "unchained": Site(to_milvus, certificates.unchained_server),
        "redirect": Site("location / { return 301 https://milvus.example/; }"),
        "page": Site("location / { return 200 welcome; }"),
        "password": Site(f'auth_basic "gateway"; auth_basic_user_file {directory}/passwords; {to_milvus}'),
        "small": Site(f"client_max_body_size 10; {to_milvus}"),
        **{
            # As long as a file is there.
            f"busy-{status}": Site(
                f"access_log {directory}/busy-{status}.log; if (-f {directory}/busy) {{ return {status}; }} {to_milvus}"
            )
            for status in (429, 503)
        },
        "late": Site(f"access_log {directory}/late.log; location / {{ grpc_pass grpc://127.0.0.1:{late}; }}"),
        "dead": Site("location / { grpc_pass grpc://127.0.0.1:1; }"),
        "prefix": Site(f"location /milvus/ {{ grpc_pass grpc://{milvus.address}; }}", shown),
    }  # fmt: skip


def haproxy_sites(certificates: Certificates) -> dict[str, Site]:
    to_milvus = "    default_backend milvus"
    answers = {str(status): f"    http-request return status {status}" for status in (401, 403, 404, 413, 429, 503)}
    return {
        "h2c": Site(to_milvus, listen="proto h2"),
        "h2": Site(to_milvus, certificates.server),
        "https": Site(to_milvus, certificates.server, http2=False),
        "mutual": Site(to_milvus, certificates.server, listen=f"verify required ca-file {certificates.ca}"),
        **{name: Site(rules) for name, rules in answers.items()},
        **{f"tls-{name}": Site(rules, certificates.server) for name, rules in answers.items()},
        "redirect": Site("    http-request redirect location https://milvus.example/"),
        "dead": Site("    default_backend dead"),
        "tcp": Site("    mode tcp\n    default_backend dead-tcp"),
    }


def haproxy_backends(milvus: MilvusServer) -> str:
    return f"""\
backend milvus
    server milvus {milvus.address} proto h2
backend dead
    retries 0
    server dead 127.0.0.1:1 proto h2
backend dead-tcp
    mode tcp
    retries 0
    server dead 127.0.0.1:1
"""


@dataclass
class Stand:
    """All of the gateways, and a home with a profile for each case.

    Attributes:
        directory: nginx's.
        late: a port on which nobody listens, behind one of nginx's.
    """

    cli: Command
    ports: dict[str, int]
    directory: Path
    late: int
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    programs: dict[str, Any] = field(default_factory=dict)

    def failed(self, name: str) -> dict[str, Any] | None:
        found = [stage for stage in self.reports[name]["stages"] if stage["status"] == "failed"]
        return dict(found[0]) if found else None


@pytest.fixture(scope="module")
def stand(
    tmp_path_factory: pytest.TempPathFactory,
    milvus_auth: MilvusServer,
    certificates: Certificates,
    reaper: Reaper,
    fork_server: ForkServer,
) -> Iterator[Stand]:
    directory = tmp_path_factory.mktemp("gateways")
    home, cwd, of_nginx, of_haproxy = (directory / name for name in ("home", "cwd", "nginx", "haproxy"))
    for made in (home, cwd / ".git", of_nginx, of_haproxy):
        made.mkdir(parents=True)
    late = ports.ports().take()
    with contextlib.ExitStack() as stack:
        stack.callback(ports.ports().give_back, late)
        sites = nginx_sites(milvus_auth, certificates, of_nginx, late)
        nginx = stack.enter_context(gateways.nginx(reaper, of_nginx, sites))
        haproxy = stack.enter_context(
            gateways.haproxy(reaper, of_haproxy, haproxy_sites(certificates), haproxy_backends(milvus_auth))
        )
        at = {f"nginx:{name}": port for name, port in nginx.items()}
        at |= {f"haproxy:{name}": port for name, port in haproxy.items()}
        cli = Command([fork_server.program], home, cwd, fork_server)
        stand = Stand(cli, at, of_nginx, late)
        cli.own_file("".join(_declared(name, case, at, certificates) for name, case in CASES.items()))
        tested = cli("profile", "test", *CASES, "--json", timeout=120)
        stand.reports = {report["alias"]: report for report in tested.json}
        stand.programs = asking(home, cwd)(*CASES, timeout=120, status=0).json
        yield stand


def _declared(name: str, case: Case, at: dict[str, int], certificates: Certificates) -> str:
    pair = ""
    if case.client:
        identity: Identity = getattr(certificates, case.client)
        pair = f', cert = "{identity.cert}", key = "{identity.key}"'
    tls = f'ssl = {{ ca = "{certificates.ca}"{pair} }}\n' if case.tls else ""
    uri = f"{'https' if case.tls else 'http'}://127.0.0.1:{at[case.port]}{case.path}"
    return f'[profiles.{name}]\nuri = "{uri}"\n{tls}{case.more}\n'


@pytest.mark.parametrize("name", CASES)
def test_a_gateway_is_named_and_not_taken_for_milvus(stand: Stand, name: str) -> None:
    case, failed = CASES[name], stand.failed(name)
    assert stand.reports[name]["exit_code"] == case.status, failed
    if failed is None:
        assert case.code == "ok"
        return
    assert failed["name"] == case.stage, failed
    assert case.said in failed["detail"]
    assert case.hint in failed["hint"]
    if "HTTP status" in case.said:
        assert "gateway" in failed["detail"] + failed["hint"]
        assert "password" not in failed["detail"]
        assert "privilege" not in failed["detail"]


@pytest.mark.parametrize("name", CASES)
def test_connect_and_its_awaited_form_say_the_same(stand: Stand, name: str) -> None:
    case, told = CASES[name], stand.programs[name]
    assert told["connect"] == told["aio"]
    code, status, message, _ = told["connect"]
    assert (code, status) == (case.code, case.status)
    assert case.said in message
    assert told["report"]["exit_code"] == case.status


@pytest.mark.parametrize("status", [429, 503])
def test_a_gateway_that_takes_no_calls_for_now_is_waited_for(stand: Stand, in_process: None, status: int) -> None:
    uri, busy = f"http://127.0.0.1:{stand.ports[f'nginx:busy-{status}']}", stand.directory / "busy"
    log, token = stand.directory / f"busy-{status}.log", "root:Milvus"
    busy.touch()
    with pytest.raises(mp.ServerNotReadyError, match=f"HTTP status {status}"):
        mp.connect(uri=uri, token=token)
    before = log.stat().st_size
    with ThreadPoolExecutor(1) as worker:
        waiting = worker.submit(mp.connect, uri=uri, token=token, wait_ready=60)
        until(lambda: log.stat().st_size > before)
        busy.unlink()
        with waiting.result(60) as connection:
            assert connection.server_version


def test_a_milvus_that_is_not_behind_its_gateway_yet_is_waited_for(stand: Stand, milvus_auth: MilvusServer) -> None:
    uri, log = f"http://127.0.0.1:{stand.ports['nginx:late']}", stand.directory / "late.log"
    stand.cli.own_file(f'[profiles.late]\nuri = "{uri}"\ntoken = "root:Milvus"\n')
    waiting = stand.cli.popen("profile", "test", "late", "--wait", "60", "--json")
    try:
        until(lambda: log.stat().st_size > 0)
        with faults.tcp_proxy(milvus_auth.port, stand.late):
            stdout, stderr = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
        waiting.wait()
    assert waiting.returncode == 0, (stdout, stderr)
