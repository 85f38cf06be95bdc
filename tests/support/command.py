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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from typing_extensions import Unpack

from .environment import coverage_variables, nowhere
from .files import written
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

    @property
    def text(self) -> str:
        """Without escape sequences, with plain line ends."""
        return _ESCAPE_SEQUENCE.sub("", self.raw).replace("\r\n", "\n").replace("\r", "")


class How(TypedDict, total=False):
    """How a command is run."""

    env: Mapping[str, str | None] | None
    cwd: Path | None
    keyring: KeyringSession | None
    """None: there is no keyring."""
    input: str | None
    timeout: float
    """Seconds, 60 unless given."""
    status: int | None
    """The exit status that it must have; None for any."""


class Command:
    """`command("profile", "list", env={…})` runs it; `.tty(…)` runs it on a terminal; `.popen(…)` only starts it.

    `cwd` has a fresh directory as its default. `env` is laid over the defaults; a value None removes one.

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
        return written(self.user_file, text)

    def __call__(self, *arguments: str | Path, **how: Unpack[How]) -> Outcome:
        env, text = self._environment(how), how.get("input")
        if self.server is None or not self.server.can(env, text):
            return self.real(*arguments, **how)
        cwd, timeout = how.get("cwd") or self.cwd, how.get("timeout", 60.0)
        run = partial(self.server.run, [*map(str, arguments)], env=env, cwd=cwd, text=text, timeout=timeout)
        return _outcome(run, how)

    def real(self, *arguments: str | Path, **how: Unpack[How]) -> Outcome:
        """Start the program itself: its start, its interpreter and its imports are part of what is tested."""
        text = how.get("input")
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        run = partial(
            subprocess.run, [*self.program, *map(str, arguments)],
            env=self._environment(how), cwd=how.get("cwd") or self.cwd, capture_output=True, text=True,
            timeout=how.get("timeout", 60.0), **given,
        )  # fmt: skip
        return _outcome(run, how)

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
        return self.environment({**more, **(how.get("env") or {})}, how.get("keyring"))

    def environment(
        self, env: Mapping[str, str | None] | None = None, keyring: KeyringSession | None = None
    ) -> dict[str, str]:
        """The whole environment of the command."""
        variables: dict[str, str | None] = {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            **coverage_variables(),
            **(keyring.client_env if keyring else nowhere(self.home)),
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
        deadline = time.monotonic() + how.get("timeout", 60.0)
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
                shown = _converse(process, master, list(answers), deadline)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        finally:
            os.close(master)
            os.close(slave)
        _check(how.get("status"), process.returncode, shown)
        return Screen(process.returncode, shown)


def _check(expected: int | None, status: int, *written: str) -> None:
    if expected not in (None, status):
        raise AssertionError("\n".join((f"exit status {status}, not {expected}", *written)))


def _outcome(run: Callable[[], subprocess.CompletedProcess[str]], how: How) -> Outcome:
    began = time.monotonic()
    try:
        done = run()
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{late}\n--- stdout\n{late.stdout!s}\n--- stderr\n{late.stderr!s}") from None
    _check(how.get("status"), done.returncode, done.stdout, done.stderr)
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


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


def packages_of(cli: Command, *words: str, **how: Unpack[How]) -> set[str]:
    """The packages that a Python of its own imports for some words, such as ``-c PROGRAM``."""
    unmeasured = dict.fromkeys(coverage_variables())  # coverage imports some as well
    how["env"] = {**unmeasured, **(how.get("env") or {})}
    done = Command([sys.executable, "-X", "importtime"], cli.home, cli.cwd)(*words, **how)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def every_command() -> Iterator[tuple[str, Any]]:
    """Each command that there is, with the groups of commands: its words, and the command as typer has it."""
    from typer.main import get_command  # here, as programs of tests import this module for a process alone

    from milvus_profiles.cli.app import application

    left: list[tuple[str, Any]] = [("", get_command(application([])))]
    for words, command in left:
        yield words, command
        left += [(f"{words} {name}".strip(), part) for name, part in getattr(command, "commands", {}).items()]
