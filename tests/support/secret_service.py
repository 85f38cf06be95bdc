"""A real gnome-keyring on a message bus of its own, without a desktop.

The bus has no service files, so nothing is started on demand: a keyring that was stopped stays away, and no prompt can
ever open. Items are read and written here by `secret-tool`, not by the `keyring` library that is under test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .reaper import Reaper

_UNLOCK_PASSWORD = "not a secret"
_COLLECTION = "/org/freedesktop/secrets/collection/login"
# What the `keyring` library stores with each item, so that it overwrites ours and we its.
_APPLICATION = ("application", "Python keyring library")
_BUS_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class KeyringSession:
    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        # Short and not below pytest's directories: the path of a socket has at most 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="keyring-"))
        reaper.watch_path(self.directory)
        self.home = self.directory / "home"
        self.runtime = self.directory / "run"
        for path in (self.home, self.runtime):
            path.mkdir(mode=0o700)
        self.client_env = {
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.runtime}/bus",
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        """The two variables by which a client with a home of its own finds this keyring."""
        self.env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local/share"),
            **self.client_env,
        }
        """A whole environment for a subprocess; no display, so nothing can ask."""
        self._bus: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        configuration = self.directory / "bus.conf"
        configuration.write_text(_BUS_CONFIGURATION.format(address=self.client_env["DBUS_SESSION_BUS_ADDRESS"]))
        self._bus = self._spawn("dbus-daemon", "--nofork", "--nopidfile", f"--config-file={configuration}")
        try:
            self._wait_for((self.runtime / "bus").is_socket, "the message bus")
            self._start_daemon()
        except BaseException:
            self.stop()
            raise

    def _start_daemon(self) -> None:
        self._daemon = self._spawn("gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
        assert self._daemon.stdin is not None
        self._daemon.stdin.write(_UNLOCK_PASSWORD.encode())
        self._daemon.stdin.close()
        # A keyring that failed to unlock looks the same from outside: only storing something tells.
        self._wait_for(self._works, "the keyring")

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with open(self.directory / "log", "ab") as log:
            process = subprocess.Popen(
                command, env=self.env, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        self._reaper.watch_process(process.pid)
        return process

    def _works(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError):
            self.set("self-test", "self-test", "works")
            works = self.get("self-test", "self-test") == "works"
            self.delete("self-test", "self-test")
            return works
        return False

    def _wait_for(self, condition: Callable[[], bool], what: str, timeout: float = 15.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not start:\n{(self.directory / 'log').read_text()}")
            time.sleep(0.02)

    def get(self, service: str, username: str) -> str | None:
        found = self._secret_tool("lookup", "service", service, "username", username)
        return found.stdout if found.returncode == 0 else None

    def set(self, service: str, username: str, password: str, *, by_hand: bool = False) -> None:
        """Store an entry: one that the library overwrites as its own, or one as a person makes it."""
        words = ("store", "--label=of a test", "service", service, "username", username)
        self._secret_tool(*words, *(() if by_hand else _APPLICATION), secret=password).check_returncode()

    def delete(self, service: str, username: str) -> None:
        self._secret_tool("clear", "service", service, "username", username)

    def usernames(self, service: str) -> list[str]:
        """Under which usernames this service has something stored."""
        found = self._secret_tool("search", "--all", "service", service)
        prefix = "attribute.username = "
        lines = (found.stdout + found.stderr).splitlines()
        return sorted(line.removeprefix(prefix) for line in lines if line.startswith(prefix))

    def clear(self, service: str) -> None:
        """Forget all that is stored for a service."""
        self._secret_tool("clear", "service", service)

    def _secret_tool(self, *arguments: str, secret: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["secret-tool", *arguments], env=self.env, input=secret or "", capture_output=True, text=True, timeout=10
        )

    def lock(self) -> None:
        """Lock the collection; reading then needs a prompt, and there is nobody to prompt."""
        subprocess.run(
            [
                "dbus-send", "--session", "--print-reply", "--dest=org.freedesktop.secrets",
                "/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock", f"array:objpath:{_COLLECTION}",
            ],
            env=self.env, check=True, capture_output=True, timeout=10,
        )  # fmt: skip

    def suspend(self) -> None:
        """The daemon stands still: a client that asks it waits for ever."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """It stands still for a while."""
        self.suspend()
        try:
            yield
        finally:
            assert self._daemon is not None
            self._daemon.send_signal(signal.SIGCONT)

    def stop_daemon(self) -> None:
        """End the keyring and leave the bus: a bus on which nobody offers secrets."""
        self._end(self._daemon)
        self._daemon = None

    def stop(self) -> None:
        """End everything and forget everything."""
        self.stop_daemon()
        self._end(self._bus)
        self._bus = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is None:
            return
        with contextlib.suppress(BrokenPipeError):
            if process.stdin is not None:
                process.stdin.close()
        process.kill()
        process.wait(10)
        self._reaper.forget_process(process.pid)
