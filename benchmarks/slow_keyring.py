"""A keyring backend that takes its time, as one does that asks a daemon: named by PYTHON_KEYRING_BACKEND."""

from __future__ import annotations

import os
import time

from keyring.backend import KeyringBackend

SECONDS = 0.04
"""What one question takes."""
TOKEN = "BENCHMARK_TOKEN"
"""The variable with the token that it answers, whatever the account."""


class SlowKeyring(KeyringBackend):
    """Knows one token, and is slow to tell."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(SECONDS)
        return os.environ[TOKEN]

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError
