"""Python and the libraries, against what this distribution itself asks for.

The releases that are known to be bad stand in one place, the distribution's own requirements, and are read from there.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from .finding import Examined, Finding, first_profile

if TYPE_CHECKING:
    from ..profile import Profile

__all__ = ["check_libraries", "check_lite", "check_python", "is_met"]

_DISTRIBUTION = "milvus-profiles"


def check_python() -> Iterator[Finding]:
    """The interpreter."""
    version = platform.python_version()
    wanted = _metadata("Requires-Python") or ">=3.10"
    if is_met(version, SpecifierSet(wanted)):
        yield Finding("python", "ok", f"{platform.python_implementation()} {version}")
    else:
        yield Finding("python", "failed", f"Python {version}, and {wanted} is needed", "install a newer Python")


def check_libraries() -> Iterator[Finding]:
    """Everything that is required, and of what is optional what is installed."""
    good: list[str] = []
    bad = False
    for requirement in _requirements():
        version = _installed(requirement.name)
        # That of an extra, or of another Python.
        is_optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        if version is None and is_optional:
            continue
        if version is not None and is_met(version, requirement.specifier):
            good.append(f"{requirement.name} {version}")
            continue
        bad = True
        seen = f"{requirement.name} is not installed" if version is None else f"{requirement.name} {version}"
        why = "" if version is None else f" is too old, or a release with known defects ({requirement.specifier})"
        hint = f"pip install --upgrade '{requirement.name}{requirement.specifier}'"
        yield Finding("libraries", "failed", seen + why, hint)
    if good and not bad:
        yield Finding("libraries", "ok", ", ".join(dict.fromkeys(good)))


def check_lite(examined: Examined) -> Iterator[Finding]:
    """Milvus Lite: needed as soon as a profile leads to one."""
    try:
        version = metadata.version("milvus-lite")
    except metadata.PackageNotFoundError:
        user = first_profile(examined, _is_lite)
        if user is not None:
            yield Finding(
                "lite", "failed", f"not installed, and the profile {user!r} needs it",
                "pip install 'milvus-profiles[lite]'",
            )  # fmt: skip
        else:
            yield Finding("lite", "skipped", "not installed; no profile needs it")
        return
    yield Finding("lite", "ok", f"Milvus Lite {version}")


def _is_lite(profile: Profile) -> bool:
    return not profile.is_template and profile.endpoint.kind == "lite"


def _metadata(key: str) -> str | None:
    try:
        value: str | None = metadata.metadata(_DISTRIBUTION)[key]
    except metadata.PackageNotFoundError:  # run from a bare copy of the sources
        return None
    return value


def _requirements() -> list[Requirement]:
    try:
        return [Requirement(line) for line in metadata.requires(_DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        return []


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_met(version: str, wanted: SpecifierSet) -> bool:
    """Whether a version is one of those that are asked for; one that is no version (PEP 440) is not.

    Args:
        version: such as ``"1.85.1"``, or a release before one.
        wanted: such as ``>=1.66.2,!=1.68.0``.
    """
    try:
        return wanted.contains(version, prereleases=True)
    except InvalidVersion:
        return False
