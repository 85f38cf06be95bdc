"""A home and a project directory, and the profiles that are loaded from there or from a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from milvus_profiles.config.loading import load, load_text
from milvus_profiles.config.profiles import Profiles

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


def named(text: str) -> Profiles:
    """The profiles of one text, as if it stood in a file that was named."""
    return load_text(text.encode(), "/dir/milvus.toml", "named")


def aliases(*names: str) -> str:
    """A text that declares these profiles."""
    return "".join(f'[profiles.{name}]\nuri = "http://{name}"\n' for name in names)
