"""Real Milvus servers as child processes, each with its own ports and its own fresh directory.

The binary is started directly; the launcher in the wheel orphans it on SIGTERM and moves ports silently.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Literal

import grpc

from . import binaries
from .certificates import Certificates, Identity
from .ports import ports
from .reaper import Reaper
from .requirements import unavailable
from .scripted_grpc import SERVICE
from .waiting import until

Tls = Literal["server", "mutual"]
# Where every Milvus leaves traces, whatever its configuration says.
_RUN_DIRECTORIES = (Path("/run/milvus"), Path("/tmp/milvus"))
_START_TIMEOUT = 90.0


class MilvusServer:
    """One server. Its address stays the same over stop and start; `directory` and `pid` do not."""

    host = "127.0.0.1"

    def __init__(
        self,
        reaper: Reaper,
        *,
        version: str = binaries.CURRENT,
        auth: bool = False,
        tls: Tls | None = None,
        certificates: Certificates | None = None,
        identity: Identity | None = None,
        port: int | None = None,
    ) -> None:
        if tls and certificates is None:
            raise ValueError("tls needs certificates")
        self._reaper = reaper
        self._process: subprocess.Popen[bytes] | None = None
        self._own_ports: list[int] = []
        self.version = version
        self.auth = auth
        self.tls: Tls | None = tls
        self.certs = certificates if tls else None
        self.identity = identity or (certificates.server if tls and certificates else None)
        self.port = port or self._take_port()
        self.metrics_port = self._take_port()
        self._inner_ports = [self._take_port() for _ in range(12)]
        self.uri = f"{'https' if tls else 'http'}://{self.host}:{self.port}"
        self.token = "root:Milvus" if auth else None
        self.directory = Path()
        self.start_seconds = 0.0

    def _take_port(self) -> int:
        self._own_ports.append(ports().take())
        return self._own_ports[-1]

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server is stopped")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start without data, and return when it answers calls: 2 to 3 s."""
        if self.is_running:
            return
        began = time.monotonic()
        self._remove_directory()
        self._make_directory()
        executables = binaries.binaries(self.version)
        with open(self.directory / "milvus.log", "ab") as log:
            self._process = subprocess.Popen(
                [executables / "milvus", "run", "standalone"],
                cwd=self.directory,
                env={
                    "PATH": "/usr/bin:/bin",
                    "HOME": str(self.directory),
                    "MILVUSCONF": str(self.directory / "configs"),
                    "DEPLOY_MODE": "STANDALONE",
                    "METRICS_PORT": str(self.metrics_port),
                    "LD_LIBRARY_PATH": str(executables),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl+C is for the test session, which then stops its servers in order.
                start_new_session=True,
            )
        self._reaper.watch_process(self._process.pid)
        for directory in _RUN_DIRECTORIES:
            self._reaper.watch_path(_server_id_file(directory, self._process.pid))
        try:
            self._wait_until_ready(began + _START_TIMEOUT)
        except BaseException:
            self.kill()
            raise
        self.start_seconds = time.monotonic() - began

    def stop(self) -> None:
        """SIGTERM, then SIGKILL. The directory stays until the next start or `remove`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """The process stands still: its sockets accept and never answer."""
        os.kill(self.pid, signal.SIGSTOP)
        # The signal reaches each thread in its own time, and one that still runs would answer.
        threads = Path(f"/proc/{self.pid}/task")
        until(lambda: all(_state(thread) in "TtZX" for thread in threads.iterdir()))

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop it, and leave no trace of it."""
        self.stop()
        self._remove_directory()
        while self._own_ports:
            ports().give_back(self._own_ports.pop())

    def call(self, method: str, request: bytes = b"", *, timeout: float = 5.0) -> bytes:
        """One call with this server's own credentials, by bare grpcio: bytes in, bytes out."""
        # Not the global subchannels: their back-off after a refused connection would reach into the tests.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        if self.certs is None or self.identity is None:
            channel = grpc.insecure_channel(self.address, options)
        else:
            mutual = self.tls == "mutual"
            credentials = grpc.ssl_channel_credentials(
                self.certs.ca.read_bytes(),
                self.certs.client.key.read_bytes() if mutual else None,
                self.certs.client.cert.read_bytes() if mutual else None,
            )
            channel = grpc.secure_channel(self.address, credentials, options)
        metadata = (("authorization", base64.b64encode(self.token.encode()).decode()),) if self.token else ()
        with channel:
            rpc = channel.unary_unary(SERVICE + method, request_serializer=bytes, response_deserializer=bytes)
            answer: bytes = rpc(request, timeout=timeout, metadata=metadata)
        return answer

    def _wait_until_ready(self, deadline: float) -> None:
        seen = "nothing"
        while time.monotonic() < deadline:
            if not self.is_running:
                raise RuntimeError(f"Milvus {self.version} died while starting.\n{self._last_log_lines()}")
            try:
                with urllib.request.urlopen(f"http://{self.host}:{self.metrics_port}/healthz", timeout=1) as answer:
                    seen = f"healthz: {answer.read()!r}"
                # Not enough by itself: 2.2.8 says OK here before its proxy serves.
                self.call("GetVersion", timeout=1)
                # An empty status (field 1, length 0) opens every good answer.
                if self.call("ShowCollections", timeout=1).startswith(b"\x0a\x00"):
                    return
                seen = "ShowCollections failed"
            except (OSError, grpc.RpcError) as error:
                seen = str(error)
                if self._has_bad_certificate and re.search("CERTIFICATE_VERIFY_FAILED|Hostname Verification", seen):
                    return  # it serves, and is as bad as the test wanted it
            time.sleep(0.05)
        raise TimeoutError(f"Milvus {self.version} was not ready in time, last: {seen}\n{self._last_log_lines()}")

    @property
    def _has_bad_certificate(self) -> bool:
        return self.certs is not None and self.identity != self.certs.server

    def _last_log_lines(self) -> str:
        text = (self.directory / "milvus.log").read_text(errors="replace")
        # A Go program that panics ends its log with a thousand lines about its goroutines.
        lines = re.split(r"^goroutine \d+ \[", text, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
        return "\n".join(line[:300] for line in lines[-40:])

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)  # a suspended process ends only when it runs
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        self._reaper.forget_process(process.pid)
        self._remove_traces(process.pid)

    @staticmethod
    def _remove_traces(pid: int) -> None:
        for directory in _RUN_DIRECTORIES:
            with contextlib.suppress(OSError):
                _server_id_file(directory, pid).unlink()
            with contextlib.suppress(OSError):
                pid_file = directory / "standalone.pid"
                if pid_file.read_text().strip() == str(pid):
                    pid_file.unlink()

    def _remove_directory(self) -> None:
        if self.directory.name:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _make_directory(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="milvus-"))
        self._reaper.watch_path(self.directory)
        configuration = self.directory / "configs"
        configuration.mkdir()
        (self.directory / "etcd.yaml").write_text(self._etcd_configuration())
        (configuration / "milvus.yaml").write_text(self._milvus_configuration())
        glog = binaries.template(self.version).with_name("glog.conf")
        if glog.exists():
            shutil.copy(glog, configuration)

    def _etcd_configuration(self) -> str:
        # Without this file the embedded etcd takes 2379 and 2380, and there is one server on a machine.
        client, peer = (f"http://{self.host}:{port}" for port in self._inner_ports[:2])
        return f"""\
name: default
data-dir: {self.directory}/etcd
listen-client-urls: {client}
advertise-client-urls: {client}
listen-peer-urls: {peer}
initial-advertise-peer-urls: {peer}
initial-cluster: default={peer}
log-outputs: [{self.directory}/etcd.log]
"""

    def _milvus_configuration(self) -> str:
        certs, identity = self.certs, self.identity
        values = {
            "etcd_port": self._inner_ports[0],
            "etcd_log_level": "info",
            "etcd_log_path": self.directory / "etcd.log",
            "etcd_data_dir": self.directory / "etcd",
            "local_storage_dir": self.directory / "data",
            "rocksmq_data_dir": self.directory / "rocksmq",
            "rocketmq_data_dir": self.directory / "rocksmq",  # the template of 2.2.8 calls it so
            "system_log_path": '""',  # no log files of its own: stdout is the log
            "system_log_level": "info",
            "log_stdout": "true",
            "authorization_enabled": str(self.auth).lower(),
            "tls_mode": {None: 0, "server": 1, "mutual": 2}[self.tls],
            "server_pem_path": identity.cert if identity else '""',
            "server_key_path": identity.key if identity else '""',
            "ca_pem_path": certs.ca if certs else '""',
            "proxy_port": self.port,
        }
        spare = iter(self._inner_ports[2:])

        def fill(placeholder: re.Match[str]) -> str:
            name = re.split(r"[(:]", placeholder[1])[0].strip()
            if name not in values and name.endswith("_port"):
                values[name] = next(spare)
            return str(values[name])

        text = re.sub(r"\{\{(.*?)\}\}", fill, binaries.template(self.version).read_text())
        return text.replace("  use:\n", f"  config:\n    path: {self.directory}/etcd.yaml\n  use:\n", 1)


def _server_id_file(directory: Path, pid: int) -> Path:
    return directory / f"server_id_{pid}"


def _state(thread: Path) -> str:
    """The letter that the kernel gives it: T for stopped."""
    try:
        return (thread / "stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "X"  # it has ended


def need_milvus(version: str) -> None:
    """Let the test go on only if this server's binary is here."""
    if not binaries.is_carried(version):
        unavailable(f"needs the Milvus {version} server ('make test' fetches it)")
