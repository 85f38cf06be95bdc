"""A home and a project directory, and the profiles that are loaded from there or from a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from milvus_profiles.config.documents import Document, read_document
from milvus_profiles.config.loading import load, load_text
from milvus_profiles.config.profiles import Profiles
from milvus_profiles.config.trust import TrustStore
from milvus_profiles.errors import UntrustedError

from .files import written


class World:
    def __init__(self, home: Path, project: Path) -> None:
        self.home, self.project = home, project
        self.user_file = home / ".config" / "milvus" / "milvus.toml"
        self.project_file = project / "milvus.toml"

    def user(self, text: str) -> None:
        written(self.user_file, text)

    def found(self, text: str) -> None:
        self.project_file.write_text(text)

    def env(self, **variables: str) -> dict[str, str]:
        return {"HOME": str(self.home), **variables}

    def load(self, file: Any = None, /, **variables: str) -> Profiles:
        return load(file, env=self.env(**variables), cwd=self.project)

    # --- trust in the project file

    def document(self) -> Document:
        return read_document(str(self.project_file), "project")

    def store(self) -> TrustStore:
        return TrustStore.load(self.env())

    def state(self) -> Path:
        path = self.store().path
        assert path is not None
        return Path(path)

    def trust(self, text: str | None = None) -> None:
        """What stands in the project file, or a text that is put there."""
        if text is not None:
            self.found(text)
        self.store().pin(self.document())

    def entry(self, change: Callable[[dict[str, Any]], object] | None = None) -> dict[str, Any]:
        """What the state file holds of the only file, after a change of it."""
        state = json.loads(self.state().read_text())
        [entry] = state["files"].values()
        if change is not None:
            change(entry)
            self.state().write_text(json.dumps(state))
        found: dict[str, Any] = entry
        return found

    def refusal(self, alias: str = "p", fields: dict[str, Any] | None = None, /, **variables: str) -> UntrustedError:
        with pytest.raises(UntrustedError) as caught:
            self.load(**variables).use(alias, fields)
        error = caught.value
        assert error.exit_status == 5
        assert f"milvus-profiles trust {self.project_file}" in (error.hint or "")
        assert f"MILVUS_PROFILES_FILE={self.project_file}" in (error.hint or "")
        return error


def named(text: str) -> Profiles:
    """The profiles of one text, as if it stood in a file that was named."""
    return load_text(text.encode(), "/dir/milvus.toml", "named")


def aliases(*names: str) -> str:
    """A text that declares these profiles."""
    return "".join(f'[profiles.{name}]\nuri = "http://{name}"\n' for name in names)
