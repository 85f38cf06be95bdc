"""Runs the console script in copies of a process that has imported it already: 30 ms instead of 500.

`ForkServer` is the session's side; run as a script this file is the other side. Each command has descriptors, an
environment, a working directory and an exit status of its own, and runs what the console script runs, to the end of its
interpreter; only the imports are made before. The server has no threads, so it may fork; it has read nothing of the
files and variables of tests, so nothing of one command reaches the next. It ends, and all that it started with it,
when its socket closes.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # As it is for the console script, and so that nothing beside this file is taken for a module of another.
    sys.path[0] = sys.argv[1].rpartition("/")[0]

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Rooms of which every module is imported before the first command; the clients and what reads certificates are left to
# the commands, as they start threads or read variables when they are imported.
_ROOMS = ("cli", "config", "doctor", "files", "secrets", "tomltext")
_LIBRARIES = ("jeepney.io.blocking", "keyring", "packaging.requirements", "rich.console", "rich.table", "tomlkit")
_TOO_EARLY = ("cryptography", "grpc", "milvus_lite", "pymilvus")
# What the interpreter, the C library or one of the modules above reads once, when it starts.
_READ_AT_START = re.compile(
    r"(PYTHON(?!ASYNCIODEBUG|_KEYRING)|LC_|LANG|LD_|DYLD_|GLIBC_|MALLOC|OPENSSL_|PYDANTIC_|TYPER_)|TZ$"
)
# What a pipe holds on every system.
_PIPE = 16_384


class ForkServer:
    """Starts commands in copies of a process that has imported the console script.

    Args:
        program: the console script.
        env: the whole environment in which the interpreter starts.
    """

    def __init__(self, program: str, env: Mapping[str, str]) -> None:
        self.program = program
        self._env = _read_at_start(env)
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, program, str(theirs.fileno())],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def can(self, env: Mapping[str, str], text: str | None) -> bool:
        """Whether the outcome is that of a fresh start: with variables that an interpreter reads once it is not."""
        return _read_at_start(env) == self._env and len((text or "").encode()) <= _PIPE

    def run(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, text: str | None, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As :func:`subprocess.run` with pipes, for text.

        Raises:
            subprocess.TimeoutExpired: the command was ended after so many seconds; the error has what it wrote.
        """
        deadline = time.monotonic() + timeout
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            asking, asked = socket.socketpair()
            ours.enter_context(asking)
            theirs.enter_context(asked)
            if text is None:
                descriptors = [theirs.enter_context(open(os.devnull, "rb")).fileno()]
            else:
                reading, writing = os.pipe()
                descriptors = [theirs.enter_context(open(reading, "rb")).fileno()]
                with open(writing, "wb") as file:
                    file.write(text.encode())
            pipes = {}
            for _ in ("stdout", "stderr"):
                reading, writing = os.pipe()
                descriptors.append(theirs.enter_context(open(writing, "wb")).fileno())
                pipes[ours.enter_context(open(reading, "rb", buffering=0)).fileno()] = b""
            request = json.dumps({"arguments": arguments, "env": dict(env), "cwd": str(cwd)}).encode()
            socket.send_fds(self._socket, [b"."], [asked.fileno(), *descriptors])
            asking.sendall(len(request).to_bytes(4, "big") + request)
            # Until this comes the descriptors are on their way, and must stay open here (macOS loses them else).
            if asking.recv(1) != b".":
                raise RuntimeError(f"the server of commands has ended: {self._process.wait(10)}")
            theirs.close()
            waiting = [*pipes]
            while waiting:
                ready, _, _ = select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))
                for pipe in ready:
                    pipes[pipe] += (data := os.read(pipe, 65536))
                    if not data:
                        waiting.remove(pipe)
                if not ready:
                    break
            stdout, stderr = map(_text, pipes.values())
            asking.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                status = b"" if waiting else asking.recv(16)
            except TimeoutError:
                status = b""
            if not status:  # leaving, `asking` closes, and the server ends the command
                raise subprocess.TimeoutExpired([*arguments], timeout, stdout, stderr)
        return subprocess.CompletedProcess([*arguments], int(status), stdout, stderr)

    def close(self) -> None:
        self._socket.close()
        self._process.wait(timeout=30)


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if _READ_AT_START.match(name)}


def _text(data: bytes) -> str:
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")


# --- the other side ----------------------------------------------------------------------------------------------


def _import() -> None:
    importlib.import_module("milvus_profiles.cli.entry")
    for room in _ROOMS:
        package = importlib.import_module(f"milvus_profiles.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in _LIBRARIES:
        importlib.import_module(name)
    if early := [name for name in _TOO_EARLY if name in sys.modules]:
        raise AssertionError(f"imported before a command asked for it: {early}")
    # A collection in a copy would touch, and so copy, the memory of everything that was imported.
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket) -> list[str] | None:
    """Fork for each request until nobody can ask any more.

    Returns:
        In a copy, which is by now as a fresh process would be, the words of its command; in the server None.
    """
    with control, contextlib.closing(_Children()) as children:
        while True:
            ready, _, _ = select.select([control, children.ended, *children.askers.values()], [], [])
            if children.ended in ready:
                children.report()
            children.end(pid for pid, asker in children.askers.items() if asker in ready)
            if control not in ready:
                continue
            word, descriptors, _, _ = socket.recv_fds(control, 1, 4)
            if not word:
                children.end(children.askers)
                return None
            asker = socket.socket(fileno=descriptors.pop(0))
            request = _request(asker)
            if pid := os.fork():
                with contextlib.suppress(BrokenPipeError):
                    asker.send(b".")
                children.askers[pid] = asker
                for descriptor in descriptors:
                    os.close(descriptor)
                continue
            asker.close()
            break
    return _become(request, descriptors)


class _Children:
    """The commands that run, and who asked for each."""

    def __init__(self) -> None:
        self.askers: dict[int, socket.socket] = {}
        self.ended, self._wakes = socket.socketpair()
        for end in (self.ended, self._wakes):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno())

    def report(self) -> None:
        """Tell who waits for a command that has ended."""
        self.ended.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if asker := self.askers.pop(pid, None):
                    with asker, contextlib.suppress(BrokenPipeError):
                        asker.send(str(os.waitstatus_to_exitcode(status)).encode())

    def end(self, pids: Iterator[int] | Mapping[int, object]) -> None:
        """End commands for which nobody waits any more."""
        for pid in [*pids]:
            os.kill(pid, signal.SIGKILL)
            self.askers.pop(pid).close()

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self.ended, self._wakes, *self.askers.values()):
            end.close()


def _request(asker: socket.socket) -> dict[str, Any]:
    with asker.makefile("rb") as file:
        request: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(4), "big")))
    return request


def _become(request: dict[str, Any], descriptors: list[int]) -> list[str]:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        before = getattr(sys, name)
        stream = open(  # noqa: SIM115  # open as long as the process runs
            number, mode, 1 if number == 2 else -1, before.encoding, before.errors, "\n", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    words: list[str] = request["arguments"]
    return words


if __name__ == "__main__":
    # Ctrl+C in the terminal is for pytest, which then closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, _program, _control = sys.argv
    _import()
    if (_words := _serve(socket.socket(fileno=int(_control)))) is not None:
        from milvus_profiles.cli.entry import script

        sys.argv = [_program, *_words]
        sys.exit(script())  # type: ignore[func-returns-value]  # as the console script has it
