"""gRPC servers that say what a test tells them to: only for answers that a real Milvus cannot be made to give."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
def serving(
    *handlers: grpc.GenericRpcHandler,  # type: ignore[type-arg]  # generic in the stubs only
    address: str = "127.0.0.1:0",
    identity: Identity | None = None,
    client_ca: Path | None = None,
    options: Sequence[tuple[str, int]] = (),
) -> Iterator[int]:
    """A gRPC server, by its port; with an identity it speaks TLS, with a client CA mutual TLS."""
    # Without reuse of ports: two servers must never share one by accident.
    server = grpc.server(ThreadPoolExecutor(16), [*handlers], options=[("grpc.so_reuseport", 0), *options])
    if identity is None:
        port = server.add_insecure_port(address)
    else:
        credentials = grpc.ssl_server_credentials(
            [(identity.key.read_bytes(), identity.cert.read_bytes())],
            root_certificates=client_ca.read_bytes() if client_ca else None,
            require_client_auth=client_ca is not None,
        )
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()


@contextlib.contextmanager
def scripted_server(script: Script, **how: Any) -> Iterator[ScriptedServer]:
    """A gRPC server as `serving` makes it."""
    calls: list[Call] = []
    with serving(_Handler(script, calls), **how) as port:
        yield ScriptedServer(port, calls)


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
def starting_milvus() -> Iterator[StartingServer]:
    """Milvus's own words while it starts, until it is told to be ready; then `milvus_answer`."""
    ready = threading.Event()

    def script(call: Call) -> bytes:
        if not ready.is_set():
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "internal: Milvus Proxy is not ready yet. please wait")
        return milvus_answer(call)

    with scripted_server(script) as server:
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


def answering(otherwise: Script = milvus_answer, /, **answers: bytes | Refusal | Script) -> Script:
    """A script that says something else where some methods are called."""

    def script(call: Call) -> bytes:
        answer = answers.get(call.method.removeprefix(SERVICE), otherwise)
        if isinstance(answer, Refusal):
            raise answer
        return answer if isinstance(answer, bytes) else answer(call)

    return script


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
