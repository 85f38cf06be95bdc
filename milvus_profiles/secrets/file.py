"""A secret from a file: a plain one, a Kubernetes secret behind its links, or a pipe such as ``<(pass show milvus)``.

The file is read in full and bounded in size and time; what stands in it never enters a message.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from functools import partial

from ..errors import SecretUnavailableError
from ..files.given import is_given
from ..files.regular_file import FileFault, open_file
from ..masked import secret_fault
from .cache import FOR_EVER, Fetched
from .value import Received

__all__ = ["read_file"]

_HINT = "write the secret into that file, or name another one in the profile"


def read_file(path: str, seconds: float) -> Fetched:
    """Read a secret.

    Args:
        path: absolute path.
        seconds: how long a pipe may take to give all of it.

    Returns:
        The secret, and FOR_EVER if it came from a pipe that this process was started with: that gives it only once.

    Raises:
        SecretUnavailableError: it cannot be read, or what it holds is no secret.
    """
    try:
        descriptor, status = open_file(path, pipes=True)
    except FileFault as refused:
        if refused.errno == errno.EISDIR:
            raise SecretUnavailableError(
                f"{path} is a directory", hint="name the file in it that holds the secret"
            ) from None
        reason = "does not exist" if refused.errno == errno.ENOENT else refused.reason
        raise SecretUnavailableError(f"the file {path} {reason}", hint=_HINT) from None
    try:
        if os.isatty(descriptor):
            # What is typed would be seen.
            raise SecretUnavailableError(f"{path} is a terminal", hint="pipe the secret in, or keep it in the keyring")
        received = Received()
        is_pipe = stat.S_ISFIFO(status.st_mode)
        # What is no pipe and has nothing to give now, such as /proc/kmsg, will have no end either.
        _receive(received, descriptor, path, seconds if is_pipe else None)
    finally:
        os.close(descriptor)
    if received.too_large:
        raise SecretUnavailableError(f"the file {path} is larger than 64 KiB", hint="a secret is one line of text")
    secret = received.text()
    if secret is None:
        raise SecretUnavailableError(f"the file {path} is not UTF-8 text", hint="a secret is one line of UTF-8 text")
    if (what := secret_fault(secret)) is not None:
        hint = "a pipe must have its writer before it is read, and gives what it holds only once" if is_pipe else _HINT
        raise SecretUnavailableError(f"the file {path} {what}", hint=hint)
    # A named pipe may have a writer for each reader; /dev/stdin and the shell's /dev/fd/63 have one in all.
    return secret, FOR_EVER if is_pipe and path.startswith(("/dev/", "/proc/")) else None


def _receive(received: Received, descriptor: int, path: str, seconds: float | None) -> None:
    deadline = time.monotonic() + (seconds or 0.0)
    # There the /dev/fd/63 of a shell is the very descriptor that it made, whose reads wait.
    waits = sys.platform == "darwin" and seconds is not None and is_given(path)
    try:
        while not received.too_large and _read_or_wait(received, descriptor, deadline, waits):
            pass
    except TimeoutError:
        if seconds is None:
            raise SecretUnavailableError(f"the file {path} is not a file that has an end", hint=_HINT) from None
        raise SecretUnavailableError(
            f"the pipe {path} did not end within {seconds:g} s", hint="let its writer write the secret and end"
        ) from None
    except OSError as error:
        raise SecretUnavailableError(f"the file {path} cannot be read: {error.strerror}", hint=_HINT) from None


def _read_or_wait(received: Received, descriptor: int, deadline: float, waits: bool) -> bool:
    """False at the end of the file."""
    try:
        if waits:
            _wait(descriptor, deadline)
        return received.read_from(partial(os.read, descriptor))
    except BlockingIOError:
        _wait(descriptor, deadline)
        return True


def _wait(descriptor: int, deadline: float) -> None:
    """Until there is something to read, or the end; TimeoutError where neither comes in time."""
    remaining = deadline - time.monotonic()
    if remaining <= 0 or sys.platform == "win32":  # where nothing can be waited for
        raise TimeoutError
    # Not select.select, which refuses descriptors from 1024 on.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(remaining * 1000):
        raise TimeoutError
