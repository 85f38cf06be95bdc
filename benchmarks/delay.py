"""A TCP proxy that makes a server on this machine as far away as one in another city.

Run as a program it prints its port and serves until its standard input ends; it is a process of its own, since client
and proxy in one would share an interpreter's lock.

Bytes arrive as late, each way, as it is told.  TCP's own round trip counts too: the kernel of this machine completes a
handshake at once, so the proxy behaves as if it had taken its time.  What the client sends before a round trip has
passed since it connected is taken for sent at the end of that, and the server sees the connection when the client's
last packet of the handshake would have arrived, one and a half round trips after the first.  A client that sends as
soon as it is connected, as gRPC does in plaintext and in TLS, sees what it would see of a distant server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator

from benchmarks.processes import serving

__all__ = ["distant", "round_trip"]

_LONGEST = 65536


Packets = asyncio.Queue[tuple[float, bytes]]
"""What is under way, with when it arrives; no bytes are the end."""


async def _send(source: asyncio.StreamReader, under_way: Packets, one_way: float, earliest: float = 0.0) -> None:
    """Read what one side sends, which counts as sent at ``earliest`` if it comes before."""
    loop, data = asyncio.get_running_loop(), b"more"
    while data:
        try:
            data = await source.read(_LONGEST)
        except ConnectionError:
            data = b""
        under_way.put_nowait((max(loop.time(), earliest) + one_way, data))


async def _arrive(under_way: Packets, sink: asyncio.StreamWriter) -> None:
    """Hand it to the other side when it is due."""
    loop = asyncio.get_running_loop()
    while True:
        due, data = await under_way.get()
        await asyncio.sleep(max(0.0, due - loop.time()))
        if not data:
            sink.close()
            return
        sink.write(data)


async def _serve(port: int, one_way: float) -> None:
    loop = asyncio.get_running_loop()

    async def accepted(from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        established = loop.time() + 2 * one_way
        there, back = Packets(), Packets()
        sending = asyncio.create_task(_send(from_client, there, one_way, established))
        await asyncio.sleep(established + one_way - loop.time())
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(
                sending, _arrive(there, to_server), _send(from_server, back, one_way), _arrive(back, to_client)
            )

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # whatever is under way still


@contextlib.contextmanager
def distant(port: int, round_trip: float) -> Iterator[int]:
    """A port of this machine, seen from so far away.

    Args:
        port: on 127.0.0.1.
        round_trip: seconds there and back.

    Yields:
        The proxy's port on 127.0.0.1.
    """
    with serving(__name__, "--port", str(port), "--one-way", str(round_trip / 2)) as far:
        yield far


def round_trip(seconds: float, count: int = 9) -> tuple[float, float]:
    """What the proxy makes of a round trip on this machine: a byte there and back, from connecting, and afterwards.

    Returns:
        Seconds from connecting to the answer to the first byte, which is two round trips; and of the fastest after it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with distant(listener.getsockname()[1], seconds) as port:
            began = time.perf_counter()
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                first = _there_and_back(client, began)
                return first, min(_there_and_back(client, time.perf_counter()) for _ in range(count))


def _there_and_back(client: socket.socket, began: float) -> float:
    client.sendall(b"x")
    client.recv(1)
    return time.perf_counter() - began


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(_LONGEST):
            connection.sendall(data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--one-way", type=float, required=True)
    chosen = parser.parse_args()
    asyncio.run(_serve(chosen.port, chosen.one_way))
