"""No server with gRPC's own policy on pings ends a connection of a profile that says nothing of them.

That policy is measured in minutes: here the servers and the channels of profiles keep it a hundred times faster.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import DoubleValue, StringValue

from milvus_profiles.channel.options import channel_options, target_of
from milvus_profiles.profile import Profile
from tests.support.requirements import need, unavailable

from .test_programs import SDKS, SOURCES, go_env, prepare_go

pytestmark = pytest.mark.sdks

FASTER = 100
HELD = 18.0
"""Seconds: the fourth ping without an answer in between ends a connection, where they come too often."""

Server = Callable[[Path], contextlib.AbstractContextManager[int]]


def hold(request: bytes, context: grpc.ServicerContext) -> bytes:
    time.sleep(DoubleValue.FromString(request).value)
    return StringValue(value=context.peer()).SerializeToString()


class Anything(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_unary_rpc_method_handler(hold)


@contextlib.contextmanager
def c_core(_: Path) -> Iterator[int]:
    policy = [("grpc.http2.min_ping_interval_without_data_ms", 300_000 // FASTER)]
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Anything()], options=policy)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def go(directory: Path) -> Iterator[int]:
    need("go")
    if not (SDKS / "go/fetched").exists():
        unavailable("needs the SDK for go (make test-sdks fetches it)")
    shutil.copy(SOURCES / "go_server/main.go", directory)
    prepare_go(directory)
    subprocess.run(["go", "build", "-o", "server", "."], cwd=directory, env=go_env(), check=True, timeout=300)
    process = subprocess.Popen(
        [directory / "server", f"{300 / FASTER}s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def channel_of(profile: Profile) -> grpc.Channel:
    """A channel of a profile, that much faster; gRPC's own slowing down after two pings without data is left out."""
    options = dict(channel_options(profile))
    options["grpc.keepalive_time_ms"] //= FASTER
    options["grpc.http2.max_pings_without_data"] = 0
    return grpc.insecure_channel(target_of(profile.endpoint), list(options.items()))


def busy(channel: grpc.Channel) -> str:
    """One call for all this time, over the connection of the client that is returned."""
    return call(channel, HELD)


def idle(channel: grpc.Channel) -> str:
    """No call for all this time; the connection must be the same."""
    before = call(channel, 0.0)
    time.sleep(HELD)
    assert call(channel, 0.0) == before
    return before


def call(channel: grpc.Channel, seconds: float) -> str:
    request = DoubleValue(value=seconds).SerializeToString()
    answer: bytes = channel.unary_unary("/x/Hold", None, None)(request, timeout=seconds + 30)
    return StringValue.FromString(answer).value


@pytest.mark.parametrize("server", [c_core, go], ids=["C-core", "Go"])
def test_an_idle_and_a_busy_connection_last(server: Server, tmp_path: Path) -> None:
    with server(tmp_path) as port, ThreadPoolExecutor() as threads, contextlib.ExitStack() as stack:
        uri = f"http://127.0.0.1:{port}"

        def begin(use: Callable[[grpc.Channel], str], **fields: Any) -> Any:
            channel = stack.enter_context(channel_of(Profile(alias="p", uri=uri, **fields)))
            return threads.submit(use, channel)

        lasting = [begin(use) for use in (busy, idle)]
        # The same, asked for more often than the server allows: what is here tested is something that it does.
        broken = begin(busy, keepalive={"time": 60}), begin(idle, keepalive={"time": 60})
        for each in lasting:
            assert each.result(60)
        with pytest.raises(grpc.RpcError, match=r"too_many_pings|Too many pings"):
            broken[0].result(60)
        with pytest.raises(AssertionError):
            broken[1].result(60)
