"""What a test needs from the machine: skipped with a reason where it is missing, a failure in CI.

A skip that nobody reads is a hole in the suite, so where CI=true is set there are none.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

# The Debian package of each tool, for the reason that is printed.
DEBIAN_PACKAGES = {
    "dbus-daemon": "dbus",
    "dbus-send": "dbus",
    "gnome-keyring-daemon": "gnome-keyring",
    "secret-tool": "libsecret-tools",
    "zsh": "zsh",
    "fish": "fish",
}
# Those of `make test-proxies`.
PROXY_PACKAGES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "dnsmasq": "dnsmasq-base",
}
# Those of `make test-engines`: Spark runs on Java 17 or newer.
ENGINE_PACKAGES = {"java": "default-jre-headless"}
# Those of `make test-pages`.
BROWSER_PACKAGES = {"chromium-headless-shell": "chromium-headless-shell"}
# Where programs for administrators are, which not every user's PATH names.
_ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"


def which(tool: str) -> str | None:
    """Where a program is; None where it is not."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:{_ADMINISTRATORS}")


def need(*tools: str) -> None:
    """Let the test go on only if these programs are there."""
    missing = [tool for tool in tools if which(tool) is None]
    if missing:
        known = {**DEBIAN_PACKAGES, **PROXY_PACKAGES, **ENGINE_PACKAGES, **BROWSER_PACKAGES}
        packages = sorted({known[tool] for tool in missing if tool in known})
        remedy = f" (Debian: apt-get install {' '.join(packages)})" if packages else ""
        unavailable(f"needs {', '.join(missing)}{remedy}")


def unavailable(reason: str) -> NoReturn:
    """Skip the test for want of something; fail it where CI=true."""
    import pytest  # here, since scripts/bootstrap.py reads the table above before anything is installed

    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true allows no skips, and this test {reason}", pytrace=False)
    pytest.skip(reason)
