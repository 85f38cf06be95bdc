"""gRPC servers that say what a test tells them to: only for answers that a real Milvus cannot be made to give."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography import x509

from .certificates import Identity

SERVICE = "/milvus.proto.milvus.MilvusService/"


@dataclass(frozen=True)
class Call:
    method: str
    """Full name, `/milvus.proto.milvus.MilvusService/GetVersion`."""
    metadata: dict[str, str | bytes]
    request: bytes
    peer: str = ""
    """The client's socket, `ipv4:127.0.0.1:50000`: another one for each TCP connection."""
    serial: int | None = None
    """Of the client's certificate, where it showed one."""
    keys: tuple[str, ...] = ()
    """Of the metadata, as often as they came."""


class Refusal(Exception):
    """Raised by a script to end the call with this status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


Script = Callable[[Call], bytes]


@dataclass
class ScriptedServer:
    port: int
    calls: list[Call] = field(default_factory=list)

    def names(self) -> list[str]:
        """The methods called so far, without their service."""
        return [call.method.rpartition("/")[2] for call in self.calls]


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def __init__(self, script: Script, calls: list[Call]) -> None:
        self._script, self._calls = script, calls

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            shown = context.auth_context().get("x509_pem_cert")
            # A list of certificates, which the stubs do not know.
            serial = x509.load_pem_x509_certificate(shown[0]).serial_number if shown else None  # type: ignore[arg-type]
            pairs = tuple(details.invocation_metadata)
            keys = tuple(key for key, _ in pairs)
            call = Call(details.method, dict(pairs), request, context.peer(), serial, keys)
            self._calls.append(call)
            try:
                return self._script(call)
            except Refusal as refusal:
                context.abort(refusal.code, refusal.details)
                raise AssertionError("abort raises") from None

        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.contextmanager
def scripted_server(
    script: Script,
    *,
    identity: Identity | None = None,
    client_ca: Path | None = None,
    host: str = "127.0.0.1",
    streams: int | None = None,
) -> Iterator[ScriptedServer]:
    """A gRPC server; with an identity it speaks TLS, with a client CA mutual TLS; it may cap streams."""
    calls: list[Call] = []
    # Without reuse of ports: two servers must never share one by accident.
    options = [("grpc.so_reuseport", 0)]
    if streams is not None:
        # gRPC's own protection counts streams that have ended as well, and so refuses some below the cap.
        options += [("grpc.max_concurrent_streams", streams), ("grpc.http.overload_protection", 0)]
    server = grpc.server(ThreadPoolExecutor(16), options=options)
    server.add_generic_rpc_handlers((_Handler(script, calls),))
    if identity is None:
        port = server.add_insecure_port(f"{host}:0")
    else:
        credentials = grpc.ssl_server_credentials(
            [(identity.key.read_bytes(), identity.cert.read_bytes())],
            root_certificates=client_ca.read_bytes() if client_ca else None,
            require_client_auth=client_ca is not None,
        )
        port = server.add_secure_port(f"{host}:0", credentials)
    server.start()
    try:
        yield ScriptedServer(port, calls)
    finally:
        server.stop(grace=None).wait()


def not_milvus(*, identity: Identity | None = None) -> contextlib.AbstractContextManager[ScriptedServer]:
    """gRPC, but nothing of Milvus: every method is UNIMPLEMENTED."""

    def script(call: Call) -> bytes:
        service = call.method.split("/")[1]
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"unknown service {service}")

    return scripted_server(script, identity=identity)


@dataclass
class StartingServer(ScriptedServer):
    ready: threading.Event = field(default_factory=threading.Event)
    """Set it to let the server be ready now."""


@contextlib.contextmanager
def starting_milvus(seconds: float | None = None, *, identity: Identity | None = None) -> Iterator[StartingServer]:
    """Milvus's own words while it starts, for some seconds from now (None: until told); then `milvus_answer`."""
    began = time.monotonic()
    ready = threading.Event()

    def script(call: Call) -> bytes:
        if seconds is not None and time.monotonic() - began >= seconds:
            ready.set()
        if not ready.is_set():
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "internal: Milvus Proxy is not ready yet. please wait")
        return milvus_answer(call)

    with scripted_server(script, identity=identity) as server:
        yield StartingServer(server.port, server.calls, ready)


def milvus_answer(call: Call) -> bytes:
    """What a healthy, empty Milvus without authorization says to the few calls that connect makes."""
    good = message(1, b"")
    answers = {
        "Connect": good + message(2, message(1, b"v2.3.5-scripted")) + number(3, 443_000_001),
        "GetVersion": good + message(2, b"v2.3.5-scripted"),
        "CheckHealth": good + number(2, 1),
        "ShowCollections": good,
        "ListDatabases": good + message(2, b"default"),
    }
    name = call.method.removeprefix(SERVICE)
    if name not in answers:
        service = SERVICE.strip("/")
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"unknown method {name} for service {service}")
    return answers[name]


def message(field_number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field: a string, bytes or an inner message."""
    return _varint(field_number << 3 | 2) + _varint(len(content)) + content


def number(field_number: int, value: int) -> bytes:
    return _varint(field_number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
