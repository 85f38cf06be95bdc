"""The operating system's keyring, made safe to ask: bounded in time, choosy about backends, one kind of error.

The keyring library has no time limit, raises whatever its backends raise, and picks plaintext stores by itself when a
package offers one.  It is imported on the first call.  This module knows accounts, not profiles.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from ..background import Pending
from ..errors import ConfigError, Location, SecretUnavailableError
from ..files.paths import fault_below, home_directory, home_fault, is_absolute, own_users
from ..log import log
from ..masked import SecretText, secret_fault
from ..text import printable
from .terminal import restored
from .value import SERVICE

KEYRING_TIMEOUT = "MILVUS_PROFILES_KEYRING_TIMEOUT"
"""The variable with the time limit, in seconds."""

T = TypeVar("T")

_SYSTEM = frozenset(
    f"keyring.backends.{name}" for name in ("SecretService", "libsecret", "macOS", "Windows", "kwallet")
)
_CHAINER, _FAIL, _NULL, _WINDOWS = (f"keyring.backends.{name}" for name in ("chainer", "fail", "null", "Windows"))
_WINDOWS_LIMIT = 2560

# Seconds after which the user is told that we wait; an answer takes 12 to 40 ms where nobody has to be asked.
_QUIET = 0.3
# Calls that nothing ever answered: each holds a thread, and perhaps a prompt on the screen.
_UNANSWERED_LIMIT = 4

_ELSEWHERE = (
    "give the secret another way: a file (--token-file PATH, MILVUS_TOKEN_FILE) or a variable (--token-env NAME)"
)
_ABSENT = (
    "there is no usable keyring on this machine",
    f"start the desktop's keyring (GNOME Keyring, KWallet, KeePassXC), or {_ELSEWHERE}",
)
_LOCKED = (
    "the keyring is locked, or it denied access",
    f"unlock it (log in to the desktop, or open its keyring application), or {_ELSEWHERE}",
)

_UNOPENED = (
    "the keyring cannot be opened: it has no default collection, its prompt was dismissed, or it has stopped",
    f"open the desktop's keyring application once and set up a default keyring, or {_ELSEWHERE}",
)

# By the names of the classes, so that the library of no backend has to be imported to compare with.
_KNOWN_FAILURES: dict[str, tuple[str, str]] = {
    "NoKeyringError": _ABSENT,
    "SecretServiceNotAvailableException": _ABSENT,
    "KeyringLocked": _LOCKED,
    "LockedException": _LOCKED,
    "PromptDismissedException": _LOCKED,
    "InitError": _UNOPENED,
}

# One call at a time: twenty profiles tested side by side are to open one prompt, and the library's choice of a
# backend is not made for threads.
_turn = threading.Lock()
# Allowed for this process by its own code, as no configuration and no variable can.
_allowed_here: set[str] = set()
_unanswered: list[Pending[Any]] = []


def _after_fork() -> None:
    # The threads that these stand for exist only in the parent.
    global _turn
    _turn = threading.Lock()
    _unanswered.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def keyring_timeout(env: Mapping[str, str], *, interactive: bool = False) -> float:
    """How long to wait for the keyring, in seconds: 3, or 60 where someone can answer a prompt (``interactive``).

    ``MILVUS_PROFILES_KEYRING_TIMEOUT`` beats both; ConfigError where that is not a number above 0.
    """
    text = env.get(KEYRING_TIMEOUT, "")
    if not text:
        return 60.0 if interactive else 3.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise ConfigError(
            "is not a number of seconds above 0 and up to a day",
            hint=f"write {KEYRING_TIMEOUT}=10, or unset it",
            location=Location(f"${KEYRING_TIMEOUT}"),
        )
    return seconds


@contextlib.contextmanager
def allowing(module: str) -> Iterator[None]:
    """Allow the backends of a module, by its dotted name, in this process for a while: those of tests."""
    _allowed_here.add(module)
    try:
        yield
    finally:
        _allowed_here.discard(module)


class OSKeyring:
    """The keyring of the user's operating system.

    Only backends that keep secrets encrypted by the system are used, and in a chain of several only those of its
    members; nothing is ever read from or written to another.  In one process one call is under way at a time.  Each
    raises SecretUnavailableError where the keyring is absent, locked, silent, or not one that is allowed.

    Args:
        extra_backends: dotted names of further backends, of a class or of its module, that the user allows.
        timeout: seconds that a call may take, waiting for its turn included.
        on_wait: called once, from the thread that waits, when an answer takes longer than 0.3 s.
        terminal: held while the keyring is asked, which may itself ask on the terminal.
    """

    def __init__(
        self,
        *,
        extra_backends: Sequence[str] = (),
        timeout: float = 3.0,
        on_wait: Callable[[], None] | None = None,
        terminal: Callable[[], AbstractContextManager[None]] = restored,
    ) -> None:
        self._allowed = _SYSTEM.union(extra_backends) if extra_backends else _SYSTEM
        self._timeout = timeout
        self._on_wait = on_wait
        self._terminal = terminal
        self._announcing = threading.Lock()

    def get(self, account: str) -> SecretText | None:
        """The secret of an account; None if the keyring has none."""
        return self._ask(lambda backends: _read(backends, account))

    def set(self, account: str, secret: SecretText) -> None:
        """Store the secret of an account in place of what was there, and read it back.

        SecretUnavailableError also if it is empty or holds control characters, is too long, or does not come back as it
        was.
        """
        if (what := secret_fault(secret)) is not None:
            raise SecretUnavailableError(f"the secret {what}", hint="a secret is one line of text")
        self._ask(lambda backends: _write(backends[0], account, secret))

    def delete(self, account: str) -> bool:
        """Delete the secret of an account, in every backend in use; False if there was none.

        SecretUnavailableError also if it is still there afterwards.
        """
        return self._ask(lambda backends: _erase(backends, account))

    def backend(self) -> str:
        """The dotted name of the backend that secrets are stored in, such as ``keyring.backends.macOS.Keyring``."""
        return self._ask(lambda backends: _name(backends[0]))

    def _ask(self, work: Callable[[list[Any]], T]) -> T:
        # Here and not in the thread: importing takes its time, but it waits for nobody.
        library = _library()
        deadline = time.monotonic() + self._timeout
        turn = _turn
        try:
            self._while_asked(lambda seconds: _acquire(turn, seconds), deadline)
            try:
                with self._terminal():
                    answer = self._call(library, work, deadline)
            finally:
                turn.release()
        except TimeoutError:
            log("keyring", seconds=self._timeout)
            raise SecretUnavailableError(
                f"the keyring did not answer within {self._timeout:g} s",
                hint=f"it may be waiting for you to unlock it; allow it more time with {KEYRING_TIMEOUT}=60, "
                f"or {_ELSEWHERE}",
            ) from None
        if isinstance(answer, SecretUnavailableError):
            raise answer
        return answer

    def _call(self, library: Any, work: Callable[[list[Any]], T], deadline: float) -> T | SecretUnavailableError:
        # A call that was given up may yet return, when the keyring is unlocked or its daemon wakes up.
        _unanswered[:] = [pending for pending in _unanswered if pending.running]
        if len(_unanswered) >= _UNANSWERED_LIMIT:
            raise SecretUnavailableError(
                f"the keyring has left {_UNANSWERED_LIMIT} earlier questions of this process unanswered",
                hint=f"unlock or restart the keyring, or {_ELSEWHERE}",
            )
        pending: Pending[T | SecretUnavailableError]
        pending = Pending(lambda: work(self._backends(library)), _explain, "milvus-profiles keyring")
        _unanswered.append(pending)
        answer = self._while_asked(pending.wait, deadline)
        _unanswered.remove(pending)
        return answer

    def _while_asked(self, attempt: Callable[[float], T], deadline: float) -> T:
        if self._on_wait is not None:
            try:
                return attempt(min(_QUIET, deadline - time.monotonic()))
            except TimeoutError:
                self._announce()
        return attempt(deadline - time.monotonic())

    def _announce(self) -> None:
        with self._announcing:
            announce, self._on_wait = self._on_wait, None
        if announce is not None:
            announce()

    def _backends(self, library: Any) -> list[Any]:
        """The backends to use, best first; at least one."""
        if not _allowed_here:  # a program that allows its own has chosen one already
            _check_places(os.environ)
        try:
            chosen: Any = library.get_keyring()
            found = list(chosen.backends) if _module(chosen) == _CHAINER else [chosen]
        except Exception as error:
            # No secret is in play yet, so what the library says can be passed on.
            raise SecretUnavailableError(
                f"the keyring library cannot load its backend: {type(error).__name__}: {_one_line(error)}",
                hint="if PYTHON_KEYRING_BACKEND or keyringrc.cfg names a backend, correct or remove that; "
                f"or {_ELSEWHERE}",
            ) from None
        allowed = self._allowed | _allowed_here
        usable = [b for b in found if _module(b) in allowed or _name(b) in allowed]
        if usable:
            return usable
        refused = [_name(backend) for backend in found if _module(backend) != _FAIL]
        if not refused:
            raise SecretUnavailableError(_ABSENT[0], hint=_ABSENT[1])
        if _module(found[0]) == _NULL:
            raise SecretUnavailableError(
                "the keyring is turned off: the backend keyring.backends.null stores nothing",
                hint=f"unset PYTHON_KEYRING_BACKEND or remove it from keyringrc.cfg, or {_ELSEWHERE}",
            )
        raise SecretUnavailableError(
            f"the keyring backend {', '.join(refused)} is not used: it is not one of the operating system's, and may "
            "store in plaintext",
            hint=f'if you trust it, set keyring_backends = ["{refused[0]}"] in the user configuration file; '
            f"or {_ELSEWHERE}",
        )


def _library() -> Any:
    try:
        import keyring
    except Exception as error:
        raise SecretUnavailableError(
            f"the keyring library cannot be imported: {type(error).__name__}: {_one_line(error)}",
            hint=f"install it (pip install keyring), or {_ELSEWHERE}",
        ) from None
    return keyring


def _check_places(env: Mapping[str, str]) -> None:
    """Refuse where the library would take its settings from a directory that may be anybody's.

    ``keyringrc.cfg`` names a backend and a directory to import it from, and is looked for below ``XDG_CONFIG_HOME`` and
    the home directory as they are spelled: relative ones mean the current directory.
    """
    problem = home_fault(env)
    names = ("LOCALAPPDATA", "ProgramData") if sys.platform == "win32" else ("XDG_CONFIG_HOME", "XDG_DATA_HOME")
    if problem is None and (relative := [name for name in names if env.get(name) and not is_absolute(env[name])]):
        problem = f"{relative[0]} is not an absolute path", f"correct {relative[0]}, or unset it"
    if problem is None and sys.platform != "win32":
        named, home = env.get("XDG_CONFIG_HOME"), home_directory(env) or os.sep
        below = os.path.join(named or os.path.join(home, ".config"), "python_keyring", "keyringrc.cfg")
        if (fault := fault_below(named or home, below, own_users(env))) is not None:
            problem = str(fault), fault.hint
    if problem is not None:
        raise SecretUnavailableError(
            f"the keyring is not asked, since its settings could be anybody's: {problem[0]}",
            hint=f"{problem[1]}; or {_ELSEWHERE}",
        )


def _acquire(lock: threading.Lock, seconds: float) -> None:
    if not lock.acquire(timeout=max(0.0, seconds)):
        raise TimeoutError


def _module(backend: Any) -> str:
    return type(backend).__module__


def _name(backend: Any) -> str:
    return f"{_module(backend)}.{type(backend).__qualname__}"


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split())[:200])


# What follows runs in the thread of the call, and sees secrets in the clear.


def _explain(error: BaseException) -> Any:
    """A new error, which holds neither the old one nor its frames; of an unknown one only the class is told."""
    if isinstance(error, SecretUnavailableError):
        return SecretUnavailableError(error.message, hint=error.hint)
    for ancestor in type(error).__mro__:
        if ancestor.__name__ in _KNOWN_FAILURES:
            message, hint = _KNOWN_FAILURES[ancestor.__name__]
            return SecretUnavailableError(message, hint=hint)
    kind = type(error)
    return SecretUnavailableError(
        f"the keyring failed with {kind.__module__}.{kind.__qualname__}",
        hint=f"see whether its own application works, or {_ELSEWHERE}",
    )


def _read(backends: list[Any], account: str) -> SecretText | None:
    for backend in backends:
        if (value := backend.get_password(SERVICE, account)) is None:
            continue
        if not isinstance(value, str):
            raise SecretUnavailableError(
                f"the keyring gave something that is no text (backend {_name(backend)})",
                hint=f"see whether its own application works, or {_ELSEWHERE}",
            )
        return SecretText(str.__str__(value))  # of a class of its own it would bring its own methods along
    return None


def _write(backend: Any, account: str, secret: SecretText) -> None:
    if _module(backend) == _WINDOWS and len(secret.reveal().encode("utf-16-le")) > _WINDOWS_LIMIT:
        raise SecretUnavailableError(
            f"the secret is too long for the Windows Credential Manager ({_WINDOWS_LIMIT // 2} characters at most)",
            hint="keep it in a file: --token-file PATH",
        )
    # Some backends accept everything and store nothing, hence the reading back.  And an entry that another program
    # made under this name, with attributes of its own, is not overwritten and may be found first: out with it.
    for attempt in range(2):
        if attempt:
            _erase([backend], account)
        backend.set_password(SERVICE, account, secret.reveal())
        if _read([backend], account) == secret:
            return
    raise SecretUnavailableError(
        f"the keyring did not keep the secret (backend {_name(backend)})",
        hint=f"see whether its own application works, or {_ELSEWHERE}",
    )


def _erase(backends: list[Any], account: str) -> bool:
    found = False
    for backend in backends:
        # One deletion removes one entry, and several may match.  Asked before, because the error for "there is none"
        # is in some backends also that for "you may not".
        for _ in range(16):
            if backend.get_password(SERVICE, account) is None:
                break
            found = True
            backend.delete_password(SERVICE, account)
        else:
            raise SecretUnavailableError(
                f"the keyring did not delete the secret (backend {_name(backend)})",
                hint="delete it with the keyring's own application",
            )
    return found
