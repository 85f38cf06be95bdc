"""The console script: runs the application and turns every outcome into an exit status.

Heavy imports happen inside :func:`main`, so that what can be answered without them is.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

_MANY = 1_000_000  # objects: what is read of a file of some megabytes is no garbage, and a command ends soon
_INTERRUPTED = 130
# What is answered, or begun, before the application is imported: a word that it needs, and what looks at all of them.
_EARLY = (
    ("list", ".listing", "respond"),
    ("ls", ".listing", "respond"),
    ("exec", ".exec_environment", "respond"),
    ("--probe", ".early", "probe"),
    ("current", ".early", "answer_current"),
    ("--all", ".early", "begin"),
)


def script() -> None:
    """The program: :func:`main`, and the shortest way out.

    Taking apart an interpreter that has imported pydantic takes longer than nearly every command (40 ms of 180), and
    looking for garbage among what was imported takes some more; with gRPC it is 200 ms.
    """
    gc.set_threshold(_MANY, 20, 50)
    _fill_standard_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell has its background jobs ignore it
        signal.signal(signal.SIGINT, _interrupted)
    try:
        status = main()
    except KeyboardInterrupt:  # before there was a command to end
        status = _INTERRUPTED
    threading = sys.modules.get("threading")
    # Nobody waits for the others, gRPC's own among them: whatever was open is closed by now.
    if threading is None or all(t.daemon or t is threading.main_thread() for t in threading.enumerate()):
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            sys.exit(status)  # it is for the interpreter to say that nobody could be told
        os._exit(status)
    sys.exit(status)


def _interrupted(number: int, _: object) -> None:
    """The first Ctrl+C ends the command in order; whoever presses it again wants the end at once, and no traceback."""
    signal.signal(number, _interrupted_again)
    raise KeyboardInterrupt


def _interrupted_again(_: int, __: object) -> None:
    if os.isatty(1):
        os.write(1, b"\x1b[?25h")  # a table that changes hides the cursor
    os._exit(_INTERRUPTED)


def _fill_standard_streams() -> None:
    """Put the null device where a standard stream was closed, lest the next file that is opened be taken for it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, by default the process's own, and return the exit status of the documentation."""
    if any(name.endswith("_COMPLETE") for name in os.environ):
        from .completion import respond

        if (status := respond()) is not None:
            return status
    words = sys.argv[1:] if arguments is None else arguments
    try:
        for word, module, function in _EARLY:
            if word in words:
                early: Callable[[Sequence[str]], int | None] = getattr(import_module(module, __package__), function)
                if (status := early(words)) is not None:
                    sys.stdout.flush()
                    return status
        from .app import run

        status = run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away, which is SIGPIPE to a shell.
        from .internal import silence

        silence()
        return 141
    except Exception as error:
        from .internal import report_internal

        return report_internal(error, words)
    return status
