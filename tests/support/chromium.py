"""A real browser without a window, told what to do over its pipe (the Chrome DevTools Protocol)."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .reaper import Reaper
from .requirements import need, which

PROGRAM = "chromium-headless-shell"
_SECONDS = 60.0
# It reads from descriptor 3 and writes to 4.
_INTO_PLACE = """
import os, sys
for number, kept in ((3, os.dup(int(sys.argv[1]))), (4, os.dup(int(sys.argv[2])))):
    os.dup2(kept, number)
    os.set_inheritable(number, True)  # where it has been there already
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """A page of the browser, and all that it said, asked for and ran."""

    def __init__(self, sending: int, receiving: int) -> None:
        self._sending, self._receiving = sending, receiving
        self._numbers = itertools.count(1)
        self._received = b""
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._sending, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._received:
            if not (data := os.read(self._receiving, 1 << 20)) or time.monotonic() > deadline:
                raise AssertionError("the browser says nothing any more")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, where: Path | str, *, width: int = 1000, scheme: str = "light") -> None:
        """Load a file or an address, and wait until everything in it has loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=where if isinstance(where, str) else where.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click into the middle of an element, as somebody does."""
        place = "(box => [box.x + box.width / 2, box.y + box.height / 2])"
        x, y = self.value(f"{place}(document.querySelector({selector!r}).getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def of(self, *methods: str) -> list[dict[str, Any]]:
        """The events of some kinds since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") in methods]


@contextlib.contextmanager
def chromium(reaper: Reaper) -> Iterator[Page]:
    """A browser of its own, with a profile that is new."""
    need(PROGRAM)
    with tempfile.TemporaryDirectory(prefix="milvus-profiles-browser-", ignore_cleanup_errors=True) as directory:
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        process = subprocess.Popen(
            [
                sys.executable, "-c", _INTO_PLACE, str(their_in), str(their_out),
                str(which(PROGRAM)), "--remote-debugging-pipe", f"--user-data-dir={directory}", "--disable-gpu",
                # Its sandbox wants no root, and namespaces that containers do not give.
                "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
            ],
            env={"PATH": "/usr/bin:/bin", "HOME": directory, "LANG": "C.UTF-8"},
            pass_fds=[their_in, their_out],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        reaper.watch_process(process.pid)
        os.close(their_in)
        os.close(their_out)
        try:
            yield Page(our_out, our_in)
        finally:
            os.close(our_out)
            os.close(our_in)
            process.terminate()
            process.wait(20)
