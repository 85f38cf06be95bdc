"""Real nginx, haproxy and dnsmasq in front of a server, or of nothing: one process of each, and a port for each case;
and the gateways of sample_configs/.

The programs come from Debian's packages, envoy and traefik from the layer `gateways`.  What they write goes to a
directory of the test's own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .certificates import Identity
from .layers import need_layer
from .ports import ports
from .reaper import Reaper
from .requirements import need, unavailable, which
from .waiting import until

HOST = "127.0.0.1"
SAMPLES = Path(__file__).parents[2] / "sample_configs/gateways"


@dataclass(frozen=True)
class Site:
    """A port of a gateway.

    Attributes:
        rules: what it does: directives of a `server` of nginx, or lines of a `frontend` of haproxy.
        tls: what it shows; None for plaintext.
        http2: whether it speaks HTTP/2.
        listen: more words for the line on which it listens.
    """

    rules: str
    tls: Identity | None = None
    http2: bool = True
    listen: str = ""


@contextlib.contextmanager
def nginx(reaper: Reaper, directory: Path, sites: dict[str, Site], more: str = "") -> Iterator[dict[str, int]]:
    """One nginx for all of the sites, and for what else stands in its `http`; their ports."""
    need("nginx")
    with _ports_for(sites) as taken:
        servers = "\n".join(_nginx_server(taken[name], site) for name, site in sites.items())
        # As one process it is ended by ending that, and needs no other user.
        (directory / "nginx.conf").write_text(f"""\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log info;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{servers}
{more}
}}
""")
        program = ["nginx", "-p", str(directory), "-c", f"{directory}/nginx.conf", "-e", f"{directory}/nginx.log"]
        with _running(reaper, program, directory / "nginx.out", taken.values()):
            yield taken


def _nginx_server(port: int, site: Site) -> str:
    words = " ".join(word for word in ("ssl" if site.tls else "", "http2" if site.http2 else "", site.listen) if word)
    keys = f"ssl_certificate {site.tls.cert}; ssl_certificate_key {site.tls.key};" if site.tls else ""
    return f"    server {{ listen {HOST}:{port} {words}; {keys}\n{site.rules}\n    }}"


@contextlib.contextmanager
def haproxy(reaper: Reaper, directory: Path, sites: dict[str, Site], backends: str = "") -> Iterator[dict[str, int]]:
    """One haproxy for all of the sites; their ports."""
    need("haproxy")
    with _ports_for(sites) as taken:
        frontends = "\n".join(_haproxy_frontend(directory, name, taken[name], site) for name, site in sites.items())
        (directory / "haproxy.cfg").write_text(f"""\
global
    nbthread 1
    ssl-server-verify none
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
{frontends}
{backends}
""")
        program = ["haproxy", "-db", "-f", str(directory / "haproxy.cfg")]
        with _running(reaper, program, directory / "haproxy.out", taken.values()):
            yield taken


def _haproxy_frontend(directory: Path, name: str, port: int, site: Site) -> str:
    words = site.listen
    if site.tls is not None:
        # Certificate and key in one file is what haproxy wants.
        both = directory / f"{name}.both"
        both.write_bytes(site.tls.cert.read_bytes() + site.tls.key.read_bytes())
        words = f"ssl crt {both} alpn {'h2,http/1.1' if site.http2 else 'http/1.1'} {words}"
    return f"frontend {name}\n    bind {HOST}:{port} {words}\n{site.rules}"


@contextlib.contextmanager
def sample(
    reaper: Reaper, directory: Path, name: str, identity: Identity, milvus: int, client_ca: Path | None = None
) -> Iterator[int]:
    """The gateway of that name as sample_configs/ has it, but for addresses and files; its port.

    With the CA of clients the comments of the file that begin with "mutual TLS:" are none.
    """
    port = ports().take()
    (directory / "both.pem").write_bytes(identity.cert.read_bytes() + identity.key.read_bytes())
    places = {
        "milvus:19530": f"{HOST}:{milvus}",
        "address: milvus, port_value: 19530": f"address: {HOST}, port_value: {milvus}",
        "0.0.0.0, port_value: 443": f"{HOST}, port_value: {port}",
        'address: ":443"': f'address: "{HOST}:{port}"',
        "bind :443": f"bind {HOST}:{port}",
        "listen 443": f"listen {HOST}:{port}",
        "/etc/gateway/tls.crt": str(identity.cert),
        "/etc/gateway/tls.key": str(identity.key),
        "/etc/gateway/both.pem": f"{directory}/both.pem",
        "/etc/traefik/milvus.yaml": f"{directory}/traefik-milvus.yaml",
    }
    if client_ca is not None:
        places |= {"# mutual TLS: ": "", "/etc/gateway/ca.pem": str(client_ca)}
    for path in SAMPLES.glob(f"{name}*"):
        text = path.read_text()
        for there, here in places.items():
            text = text.replace(there, here)
        (directory / path.name).write_text(text)
    try:
        if name == "nginx":
            with nginx(reaper, directory, {}, (directory / "nginx.conf").read_text()):
                yield port
            return
        if name == "haproxy":
            need("haproxy")
            program = ["haproxy", "-db", "-f", f"{directory}/haproxy.cfg"]
        elif name == "envoy":
            program = [f"{need_layer('gateways').parent}/envoy", "--config-path", f"{directory}/envoy.yaml"]
            program += ["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]
        else:
            program = [f"{need_layer('gateways').parent}/traefik", f"--configFile={directory}/traefik.yaml"]
        with _running(reaper, program, directory / f"{name}.out", [port]):
            yield port
    finally:
        ports().give_back(port)


@contextlib.contextmanager
def dnsmasq(reaper: Reaper, directory: Path, *records: str) -> Iterator[None]:
    """A name server on port 53 of the address 127.0.0.53 that knows some names (`NAME,ADDRESS`), and nothing else."""
    need("dnsmasq")
    if os.geteuid() != 0:
        unavailable("needs to be root, for a name server on port 53")
    program = [
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon",
        "--listen-address=127.0.0.53", "--bind-interfaces", "--user=root", f"--pid-file={directory}/dnsmasq.pid",
        *(f"--host-record={record}" for record in records),
    ]  # fmt: skip
    with _running(reaper, program, directory / "dnsmasq.out", [53], "127.0.0.53"):
        yield


@contextlib.contextmanager
def _ports_for(sites: dict[str, Site]) -> Iterator[dict[str, int]]:
    taken = {name: ports().take() for name in sites}
    try:
        yield taken
    finally:
        for port in taken.values():
            ports().give_back(port)


@contextlib.contextmanager
def _running(
    reaper: Reaper, program: list[str], output: Path, listening: Iterable[int], host: str = HOST
) -> Iterator[None]:
    found = which(program[0])
    assert found is not None
    with open(output, "wb") as log:
        process = subprocess.Popen(
            [found, *program[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    reaper.watch_process(process.pid)
    try:
        for port in listening:

            def answers(port: int = port) -> bool:
                assert process.poll() is None, output.read_text(errors="replace")
                with socket.socket() as trial:
                    return trial.connect_ex((host, port)) == 0

            until(answers)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        reaper.forget_process(process.pid)


def with_names(directory: Path, **files: str) -> list[str]:
    """The beginning of a command that runs with other files in the place of some in /etc (`hosts`, `resolv.conf` as
    `resolv_conf`); root only."""
    need("unshare", "mount")
    if os.geteuid() != 0:
        unavailable("needs to be root, for names of its own")
    mounts = []
    for name, text in files.items():
        own = directory / name
        own.write_text(text)
        mounts.append(f"mount --bind {own} /etc/{name.replace('_', '.')}")
    return ["unshare", "--mount", "sh", "-c", " && ".join((*mounts, 'exec "$@"')), "sh"]
