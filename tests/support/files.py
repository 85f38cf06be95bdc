"""Files that a test puts somewhere."""

from __future__ import annotations

from pathlib import Path


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file, private as the program makes it, and the directories above it where there are none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text, encoding="utf-8", newline="")
    path.chmod(mode)
    return path
