"""The console script: runs the application and turns every outcome into an exit status.

Heavy imports happen inside :func:`main`, so that what can be answered without them is.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after the program's name; None takes the process's own.

    Returns:
        The exit status of the documentation.
    """
    if any(name.endswith("_COMPLETE") for name in os.environ):
        from .completion import respond

        if (status := respond()) is not None:
            return status
    words = sys.argv[1:] if arguments is None else arguments
    try:
        from .app import run

        status = run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away; the interpreter must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:
        from .internal import report_internal

        return report_internal(error, words)
    return status
