"""Shields the test session from the machine it runs on.

Must be applied before grpc, keyring or pymilvus are imported: they read variables at import. What is kept is listed,
what is not listed goes, so that no MILVUS_*, proxy, CA bundle or desktop session of a developer decides a test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

_KEPT = {
    "PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "USER", "LOGNAME",
    "CI", "VIRTUAL_ENV", "LOOPBACK_ONLY", "TEST_SERVERS", "TEST_SDKS",
    "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONDEVMODE",
    "PYTHONASYNCIODEBUG", "PYTHONFAULTHANDLER", "GRPC_VERBOSITY", "GRPC_TRACE",
}  # fmt: skip
_KEPT_PREFIXES = ("COVERAGE_", "COV_CORE_", "PYTEST_", "HYPOTHESIS_")


def shield() -> Path:
    """Empty the environment down to the list and give the session a home of its own; return that home."""
    if threading.current_thread() is threading.main_thread():
        # A shell has what it starts in the background ignore Ctrl+C, and what these tests start would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in set(os.environ) - _KEPT:
        if not name.startswith(_KEPT_PREFIXES):
            del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="milvus-profiles-home-"))
    os.environ["HOME"] = str(home)
    os.environ.update(nowhere(home))
    return home


def nowhere(directory: Path) -> dict[str, str]:
    """The variable that makes every D-Bus client find no session bus, instead of the one of the desktop."""
    return {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={directory}/no-bus"}


def coverage_variables() -> dict[str, str]:
    """What a subprocess needs so that coverage measures it too; empty when coverage is off."""
    return {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "COV_CORE_"))}


def run_python(
    program: str, *words: object, python: str | Path = sys.executable, **how: Any
) -> subprocess.CompletedProcess[str]:
    """A program in a Python of its own, and what it printed; `how` is what `subprocess.run` takes besides."""
    how = {"capture_output": True, "text": True, "timeout": 120, **how}
    return subprocess.run([python, "-c", program, *map(str, words)], **how)
