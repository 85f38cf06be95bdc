"""The terminal while something asks for a secret there: it comes back as it was, on every way out.

Whoever asks turns the echo off.  A thread that is given up, a program that is killed and a signal leave it off, and
after a stop (Ctrl+Z) a shell turns it on again, so that what is typed after ``fg`` would be seen.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

if sys.platform == "win32":

    def opened() -> int | None:
        """Windows has no such terminal."""
        return None

    def has_terminal() -> bool:
        """Never."""
        return False

    @contextlib.contextmanager
    def restored(*, always: bool = False) -> Iterator[None]:  # noqa: ARG001
        """Give the terminal back its state where what is done ends in an exception, such as a time limit or Ctrl+C.

        ``always``: also where it does not.
        """
        yield

    @contextlib.contextmanager
    def kept(prompt: str = "", parting: str = "") -> Iterator[None]:  # noqa: ARG001
        """Nothing to do."""
        yield

else:
    import termios

    _ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

    def opened() -> int | None:
        """A descriptor of the controlling terminal; None where there is none, or where it is another job's turn."""
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return None
        if _is_ours(terminal):
            return terminal
        os.close(terminal)
        return None

    def has_terminal() -> bool:
        """Whether there is a terminal to ask on: this process has one and runs in its foreground."""
        if (terminal := opened()) is None:
            return False
        os.close(terminal)
        return True

    @contextlib.contextmanager
    def restored(*, always: bool = False) -> Iterator[None]:
        """Give the terminal back its state where what is done ends in an exception, such as a time limit or Ctrl+C.

        Args:
            always: also where it does not.
        """
        with _held() as held:
            try:
                yield
            except BaseException:
                always = True
                raise
            finally:
                if always and held is not None:
                    _restore(*held)

    @contextlib.contextmanager
    def kept(prompt: str = "", parting: str = "") -> Iterator[None]:
        """Give the terminal back its state in any case; around a stop too, and before a signal that ends the process.

        Args:
            prompt: what is shown again when the process goes on after a stop.
            parting: what the terminal is told before the process ends, where its state is more than what it echoes.
        """
        with _held() as held:
            if held is None:
                yield
                return
            with _handling(*held, prompt, parting):
                try:
                    yield
                finally:
                    _restore(*held)

    @contextlib.contextmanager
    def _held() -> Iterator[tuple[int, list[Any]] | None]:
        if (terminal := opened()) is None:
            yield None
            return
        try:
            yield terminal, termios.tcgetattr(terminal)
        finally:
            os.close(terminal)

    def _is_ours(terminal: int) -> bool:
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(terminal) == os.getpgrp()
        return False

    def _restore(terminal: int, state: list[Any]) -> None:
        # In the background it is the shell's, and who changed it would be stopped.
        with contextlib.suppress(termios.error):
            if _is_ours(terminal) and termios.tcgetattr(terminal) != state:
                termios.tcsetattr(terminal, termios.TCSANOW, state)

    @contextlib.contextmanager
    def _handling(terminal: int, state: list[Any], prompt: str, parting: str) -> Iterator[None]:
        def stop(number: int, _: object) -> None:
            asking = termios.tcgetattr(terminal)
            _restore(terminal, state)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)  # here it stands still, until somebody continues it
            signal.signal(number, stop)
            # In the background this stops it once more, until it is in the foreground.
            termios.tcsetattr(terminal, termios.TCSANOW, asking)
            os.write(terminal, prompt.encode())

        def end(number: int, _: object) -> None:
            _restore(terminal, state)
            os.write(terminal, parting.encode())
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

        handlers = {signal.SIGTSTP: stop, **dict.fromkeys(_ENDING, end)}
        before = {}
        try:
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():
                    if signal.getsignal(number) is signal.SIG_DFL:  # what is ignored stays so
                        before[number] = signal.signal(number, handler)
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)
