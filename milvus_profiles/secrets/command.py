"""A secret from a program's output: no shell, few variables, bounded in time and size.

The program's arguments, its variables and what it prints may all be sensitive, so messages name the program alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import NoReturn

from ..background import Pending
from ..connectable import CommandSource
from ..errors import SecretUnavailableError
from ..files.paths import changeable, home_directory, is_absolute
from ..masked import MaskedMapping, SecretText, line_of, secret_fault
from .terminal import has_terminal
from .value import Fetched, Received

_PASSED: tuple[str, ...] = ("PATH", "HOME", "LANG")
if sys.platform == "win32":
    # Hardly any program starts without SYSTEMROOT, none of cmd without COMSPEC; the others are what HOME is elsewhere.
    _PASSED = ("PATH", "PATHEXT", "SYSTEMROOT", "COMSPEC", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "LANG")
_STARTED = (".com", ".exe", ".bat", ".cmd")
"""What Windows makes a process of, of all that PATHEXT may name."""
_LOOK = 50
"""Milliseconds between two looks whether a program has ended of which a child keeps the output open."""
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def variables(command: CommandSource, env: Mapping[str, str], *, terminal: bool = False) -> MaskedMapping:
    """The environment of the program: PATH, HOME, LANG and what the reference names, as far as they are set.

    Windows has more of that kind.  Where it may have a terminal, TERM says which.  PATH is without its relative
    entries: what the program starts in turn is not looked for in the directory that it runs in either.
    """
    more = ("TERM",) if terminal else ()
    passed = {name: env[name] for name in sorted({*_PASSED, *command.pass_env, *more}) if name in env}
    if "PATH" in passed:
        passed["PATH"] = absolute_entries(passed["PATH"])
    if sys.platform == "win32":
        passed["NoDefaultCurrentDirectoryInExePath"] = "1"  # cmd would look there first
    return MaskedMapping(passed)


def find_program(program: str, env: Mapping[str, str]) -> str | None:
    """The file of a program; None where there is none.

    A name is looked for in the absolute entries of PATH: never in the current directory, which may be anybody's.  On
    Windows its extension may be left out, as PATHEXT has it.
    """
    path = absolute_entries(env.get("PATH", os.defpath))
    if sys.platform == "win32":
        # Neither CreateProcess nor shutil.which: both look into the current directory first.
        places = [""] if os.path.dirname(program) else path.split(os.pathsep)
        names = _names_on_windows(program, env.get("PATHEXT", ""))
        candidates = (os.path.join(place, name) for place in places for name in names if place or os.path.dirname(name))
        return next(filter(os.path.isfile, candidates), None)
    return program if os.path.dirname(program) else shutil.which(program, path=path)


def _names_on_windows(program: str, extensions: str) -> list[str]:
    wanted = [ending for ending in extensions.lower().split(";") if ending in _STARTED] or [*_STARTED]
    named = os.path.splitext(program)[1].lower() in _STARTED
    return [*([program] if named else []), *(program + ending for ending in wanted)]


def absolute_entries(path: str) -> str:
    """The entries of a PATH in which a program may be looked for: not those that count from the current directory."""
    # On Windows an entry may stand in quotes.
    entries = (entry.strip('"') if sys.platform == "win32" else entry for entry in path.split(os.pathsep))
    return os.pathsep.join(filter(is_absolute, entries))


def run_command(
    command: CommandSource,
    env: MaskedMapping,
    *,
    seconds: float,
    show_stderr: bool,
    terminal: Callable[[], AbstractContextManager[None]] | None = None,
) -> Fetched:
    """Run a program and take the secret from what it prints until it ends: one line, or a JSON object.

    The object is ``{"token": …, "expires_at": RFC 3339 with its offset}``; whatever begins with a brace is one.
    Children that it leaves behind are left alone, whether they keep its output open or not.  SecretUnavailableError
    where it cannot be started, fails, takes too long, or prints something else.

    Args:
        env: its whole environment, as :func:`variables` gives it.
        seconds: after this time it is killed, with all that it started; on a terminal itself alone.
        show_stderr: let it write to our standard error; otherwise that is discarded.
        terminal: held while the program may ask on the terminal, if this process has one and runs in its foreground;
            then it has standard input, standard error and TERM as well.  None gives it no terminal.
    """
    program = command.command[0]
    received = Received()
    asks = terminal is not None and has_terminal()
    with terminal() if terminal is not None and asks else nullcontext():
        status = _run(command, env, received, seconds, show_stderr, asks)
    alone = "" if asks else "; it has no terminal to ask on here"
    if received.too_large:
        _fail(program, "printed more than 64 KiB", "let it print the secret alone")
    if status is None:
        _fail(program, f"did not end within {seconds:g} s", f"run it yourself: it may wait for an answer{alone}")
    if status != 0:
        how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
        _fail(
            program,
            how,
            "run the command yourself, or with --verbose, to see what it says; it gets PATH, HOME and LANG alone, "
            f"and the variables that pass_env names{alone}",
        )
    output = received.text()
    if output is None:
        _fail(program, "printed something that is not UTF-8 text", "let it print the secret alone")
    result = _parse(output)
    if isinstance(result, str):
        _fail(program, result, 'let it print one line, or {"token": "…", "expires_at": "2030-01-01T00:00:00Z"}')
    return result


def _fail(program: str, what: str, hint: str) -> NoReturn:
    raise SecretUnavailableError(f"the command {program!r} {what}", hint=hint)


def _run(
    command: CommandSource, env: MaskedMapping, received: Received, seconds: float, show_stderr: bool, asks: bool
) -> int | None:
    """The exit status; None if it had to be killed."""
    deadline = time.monotonic() + seconds
    process = _start(command, env, show_stderr, asks)
    try:
        reading = Pending(lambda: _read(process, received), lambda _: None, "milvus-profiles command output")
        reading.wait(seconds)
        return None if received.too_large else process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        return None
    finally:
        # Also on Ctrl+C, which the program in its own session does not get.
        if process.returncode is None:
            _kill(process, alone=asks)


def _start(command: CommandSource, env: MaskedMapping, show_stderr: bool, asks: bool) -> subprocess.Popen[bytes]:
    program = find_program(command.command[0], env)
    with contextlib.suppress(OSError, ValueError):  # where there is none, starting it says so
        if program is not None and (found := changeable(program, os.stat(program))) is not None:
            _fail(command.command[0], f"is not run: {found}", found.hint)
    home = home_directory(env)
    directory = command.directory or (home if home and os.path.isdir(home) else os.path.abspath(os.sep))
    try:
        if program is None:
            raise FileNotFoundError
        return subprocess.Popen(
            # Windows would look for the script of cmd by its name once more, in the current directory.
            command.command if sys.platform != "win32" else [program, *command.command[1:]],
            executable=program,
            env=env,
            cwd=directory,
            stdin=None if asks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if show_stderr or asks else subprocess.DEVNULL,
            bufsize=0,
            # In a session of its own it has no terminal; with one it is in the foreground as we are.
            start_new_session=not asks,
        )
    except OSError as error:
        if error.filename == directory:
            what, hint = f"cannot be run in {directory!r}: {error.strerror}", "make the directory, or look at its modes"
        elif isinstance(error, FileNotFoundError):
            what, hint = "was not found", "install it, or give its absolute path"
        else:
            what, hint = f"cannot be run: {error.strerror}", "check that it is a program that you may execute"
    except ValueError:
        what, hint = "cannot be run: an argument or variable holds a null byte", "remove it"
    # Out here the exception is gone, and with it subprocess's frames, in which the variables stand in the clear.
    _fail(command.command[0], what, hint)


def _read(process: subprocess.Popen[bytes], received: Received) -> None:
    # This thread alone reads and closes: were it closed elsewhere, the number could by then be another file's.
    assert process.stdout is not None
    with process.stdout as output:
        read = partial(os.read, output.fileno())
        if sys.platform == "win32":
            while not received.too_large and received.read_from(read):
                pass
            return
        os.set_blocking(output.fileno(), False)
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while not received.too_large:
            has_ended = process.poll() is not None  # asked before reading: what it wrote is there then
            try:
                if not received.read_from(read):
                    return
            except BlockingIOError:
                if has_ended:
                    return
                poll.poll(_LOOK)


def _kill(process: subprocess.Popen[bytes], *, alone: bool) -> None:
    if alone or sys.platform == "win32":
        process.kill()
    else:
        # Its number is its own until it is waited for.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def _parse(output: SecretText) -> Fetched | str:
    """The secret and its expiry, or what is wrong; it sees the secret in the clear and so raises nothing."""
    if not output.reveal().startswith("{"):
        what = secret_fault(output)
        return (output, None) if what is None else f"gave a secret that {what}"
    try:
        document = json.loads(output.reveal())
    except (ValueError, RecursionError):
        return "printed a brace and then no valid JSON"
    token, expires_at = document.get("token"), document.get("expires_at")
    if not isinstance(token, str):
        return 'printed JSON without a text "token"'
    secret = line_of(SecretText(token))
    if (what := secret_fault(secret)) is not None:
        return f"gave a secret that {what}"
    if expires_at is None:
        return secret, None
    until = _timestamp(expires_at) if isinstance(expires_at, str) else None
    return (secret, until) if until is not None else 'printed an "expires_at" that is not RFC 3339 with a time zone'


def _timestamp(text: str) -> float | None:
    # datetime.fromisoformat reads neither "Z" nor nanoseconds before Python 3.11.
    if (match := _RFC3339.fullmatch(text)) is None:
        return None
    date, minutes, seconds, fraction, sign, offset_hours, offset_minutes = match.groups()
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    try:
        # A leap second is written :60, which datetime does not have.
        moment = datetime.fromisoformat(f"{date}T{minutes}:{'59' if seconds == '60' else seconds}").replace(
            tzinfo=timezone(-offset if sign == "-" else offset)
        )
        return moment.timestamp() + float(f"0.{fraction or 0}")
    except ValueError:
        return None
