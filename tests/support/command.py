"""Runs a command as a user would, in an environment of which every variable is known."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from typing_extensions import Unpack

from .environment import coverage_variables, nowhere
from .fork_server import ForkServer
from .secret_service import KeyringSession

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True)
class Outcome:
    returncode: int
    """Negative: ended by that signal."""
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Any:
        """Standard output as the one JSON value it holds."""
        return json.loads(self.stdout)

    @property
    def error(self) -> Any:
        """Standard error as the one JSON value it holds."""
        return json.loads(self.stderr)


@dataclass(frozen=True)
class Screen:
    returncode: int
    raw: str
    """All that was written to the terminal, as it came."""
    seconds: float

    @property
    def text(self) -> str:
        """Without escape sequences, with plain line ends."""
        return _ESCAPE_SEQUENCE.sub("", self.raw).replace("\r\n", "\n").replace("\r", "")


class How(TypedDict, total=False):
    """How a command is run."""

    env: Mapping[str, str | None] | None
    cwd: Path | None
    home: Path | None
    keyring: KeyringSession | None
    """None: there is no keyring."""
    input: str | None
    timeout: float
    """Seconds, 60 unless given."""
    status: int | None
    """The exit status that it must have; None for any."""


class Command:
    """`command("profile", "list", env={…})` runs it; `.tty(…)` runs it on a terminal; `.popen(…)` only starts it.

    `home` and `cwd` have fresh directories as defaults. `env` is laid over the defaults; a value None removes one.

    With a server, `command(…)` runs in a copy of a process that has made the program's imports, in a tenth of the
    time. `.real(…)` always starts the program, and so do `.tty` and `.popen`.
    """

    def __init__(self, program: Sequence[str | Path], home: Path, cwd: Path, server: ForkServer | None = None) -> None:
        self.program = [str(word) for word in program]
        self.home = home
        self.cwd = cwd
        self.server = server

    @property
    def user_file(self) -> Path:
        return self.home / ".config/milvus/milvus.toml"

    def own_file(self, text: str) -> Path:
        """Write the user file, private as the program makes it."""
        self.user_file.parent.mkdir(parents=True, exist_ok=True)
        self.user_file.write_text(text)
        self.user_file.chmod(0o600)
        return self.user_file

    def __call__(self, *arguments: str | Path, **how: Unpack[How]) -> Outcome:
        whole, text, timeout = self._environment(how), how.get("input"), how.get("timeout", 60.0)
        if self.server is None or not self.server.can(whole, text):
            return self.real(*arguments, **how)
        began = time.monotonic()
        cwd = how.get("cwd") or self.cwd
        try:
            done = self.server.run([*map(str, arguments)], env=whole, cwd=cwd, text=text, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise _still_running(arguments, timeout, late.stdout, late.stderr) from None
        _check(how.get("status"), done.returncode, done.stdout, done.stderr)
        return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def real(self, *arguments: str | Path, **how: Unpack[How]) -> Outcome:
        """Start the program itself: its start, its interpreter and its imports are part of what is tested."""
        began, text, timeout = time.monotonic(), how.get("input"), how.get("timeout", 60.0)
        process = self.popen(*arguments, stdin=text is not None, **how)
        try:
            stdout, stderr = process.communicate(text, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
            raise _still_running(arguments, timeout, stdout, stderr) from None
        except BaseException:
            process.kill()
            process.wait()
            raise
        _check(how.get("status"), process.returncode, stdout, stderr)
        return Outcome(process.returncode, stdout, stderr, time.monotonic() - began)

    def popen(self, *arguments: str | Path, stdin: bool = False, **how: Unpack[How]) -> subprocess.Popen[str]:
        """Start it, with pipes for what it writes; whoever calls this ends it."""
        return subprocess.Popen(
            [*self.program, *map(str, arguments)],
            env=self._environment(how),
            cwd=how.get("cwd") or self.cwd,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _environment(self, how: How, **more: str) -> dict[str, str]:
        return self.environment({**more, **(how.get("env") or {})}, how.get("home"), how.get("keyring"))

    def environment(
        self,
        env: Mapping[str, str | None] | None = None,
        home: Path | None = None,
        keyring: KeyringSession | None = None,
    ) -> dict[str, str]:
        """The whole environment of the command."""
        home = home or self.home
        variables: dict[str, str | None] = {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            **coverage_variables(),
            **(keyring.client_env if keyring else nowhere(home)),
            **(env or {}),
        }
        return {name: value for name, value in variables.items() if value is not None}

    def tty(
        self,
        *arguments: str | Path,
        answers: Sequence[tuple[str, str | bytes]] = (),
        columns: int = 80,
        **how: Unpack[How],
    ) -> Screen:
        """Run it on a terminal of its own and type an answer each time its prompt appears.

        An answer is typed with Return; one in bytes is typed as it is (`b"\\x03"` is Ctrl+C, `b"\\x04"` Ctrl+D).
        """
        began = time.monotonic()
        master, slave = pty.openpty()
        try:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            process = subprocess.Popen(
                # The shell is the leader of a new session, so the terminal that it opens becomes its controlling
                # terminal: getpass opens /dev/tty, and Ctrl+C needs it.
                ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave), *self.program, *map(str, arguments)],
                env=self._environment(how, TERM="xterm-256color"),
                cwd=how.get("cwd") or self.cwd,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                shown = _converse(process, master, list(answers), began + how.get("timeout", 60.0))
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        finally:
            os.close(master)
            os.close(slave)
        _check(how.get("status"), process.returncode, shown)
        return Screen(process.returncode, shown, time.monotonic() - began)


def _check(expected: int | None, status: int, *written: str) -> None:
    if expected not in (None, status):
        raise AssertionError("\n".join((f"exit status {status}, not {expected}", *written)))


def _still_running(arguments: Sequence[str | Path], timeout: float, stdout: object, stderr: object) -> AssertionError:
    return AssertionError(f"still running after {timeout} s: {arguments}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")


def _converse(
    process: subprocess.Popen[bytes], master: int, answers: list[tuple[str, str | bytes]], deadline: float
) -> str:
    shown = b""
    answered = 0  # how far into `shown` the last prompt was found
    while True:
        # Asked before reading: what it wrote before it ended is then there to be read.
        ended = process.poll() is not None
        readable, _, _ = select.select([master], [], [], 0 if ended else 0.05)
        if readable:
            shown += os.read(master, 65536)
        elif ended:
            break
        if answers and (place := shown.find(answers[0][0].encode(), answered)) >= 0:
            prompt, answer = answers.pop(0)
            answered = place + len(prompt.encode())
            _wait_until_it_waits(process.pid)
            os.write(master, answer if isinstance(answer, bytes) else answer.encode() + b"\n")
        if time.monotonic() > deadline:
            waiting = f" for {answers[0][0]!r}" if answers else ""
            raise AssertionError(f"the terminal stood still, waiting{waiting}:\n{shown.decode(errors='replace')}")
    text = shown.decode(errors="replace")
    if answers:
        raise AssertionError(f"it ended without asking {answers[0][0]!r}:\n{text}")
    return text


def _wait_until_it_waits(pid: int) -> None:
    """Nobody types faster than a program gets from its prompt to its read; Python loses a Ctrl+C in between."""
    quiet = 0
    while quiet < 3:
        time.sleep(0.01)
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        quiet = quiet + 1 if state == "S" else 0
        if state == "Z":
            return


def asking(home: Path, cwd: Path) -> Command:
    """Tests the profiles that it is given, and connects to each: see `asking_program`."""
    program = Path(__file__).with_name("asking_program.py").read_text()
    return Command([sys.executable, "-W", "error", "-c", program], home, cwd)
