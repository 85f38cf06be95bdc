"""Imports pymilvus, or what imports it, without what that import does to a process.

``import pymilvus`` reads a repository's ``.env`` into ``os.environ`` (for every library to see), and crashes where
``MILVUS_URI`` or ``MILVUS_CONN_TIMEOUT`` hold what this package's documentation allows and pymilvus's old interface
does not.  Nothing else may import pymilvus.

Source: pymilvus 2.5 to 3.0, ``pymilvus/settings.py`` and ``pymilvus/orm/connections.py``.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from urllib.parse import urlsplit

_SETTINGS = "pymilvus.settings"
_ONE_AT_A_TIME = threading.Lock()


def import_with_pymilvus(name: str) -> ModuleType:
    """Import a module that is pymilvus or imports it: ``"milvus_lite.adapter.grpc.server"`` …"""
    if "pymilvus" in sys.modules:
        return importlib.import_module(name)
    with _ONE_AT_A_TIME, _variable("PYTHON_DOTENV_DISABLED", "1"):
        settings = _settings()
        if settings is None:
            return importlib.import_module(name)
        sys.modules[_SETTINGS] = settings
        try:
            module = importlib.import_module(name)
        except BaseException:
            sys.modules.pop(_SETTINGS, None)
            raise
        # What the import of a submodule does, and ours did not.
        if (package := sys.modules.get("pymilvus")) is not None:
            package.settings = settings  # type: ignore[attr-defined,unused-ignore]
        return module


def _settings() -> ModuleType | None:
    """pymilvus's settings, loaded ahead of pymilvus and without what it would choke on; None where that cannot be."""
    package = importlib.util.find_spec("pymilvus")
    if package is None or package.submodule_search_locations is None:
        return None
    spec = importlib.machinery.PathFinder.find_spec(_SETTINGS, package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return None
    settings = importlib.util.module_from_spec(spec)
    timeout = os.environ.get("MILVUS_CONN_TIMEOUT", "10")
    with _variable("MILVUS_CONN_TIMEOUT", timeout if _is_number(timeout) else "10"):
        spec.loader.exec_module(settings)
    config = getattr(settings, "Config", None)
    if config is not None and not _can_be_read(getattr(config, "MILVUS_URI", "")):
        # In pymilvus's own view only: the variable itself is there for whoever reads it.
        config.MILVUS_URI = ""
    return settings


def _can_be_read(uri: str) -> bool:
    """Whether pymilvus's old interface takes this for an address, which it does once, at its import."""
    if not uri:
        return True
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        return False
    return bool(parts.netloc) and ":" not in host and port < 65535


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
