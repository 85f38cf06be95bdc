"""Python and the libraries, against what this distribution itself asks for.

The releases that are known to be bad stand in one place, the distribution's own requirements, and are read from there.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from .finding import Finding, first_profile

if TYPE_CHECKING:
    from ...config.profiles import Profiles
    from ...profile import Profile

__all__ = ["check_libraries", "check_lite", "check_python", "is_met"]

_DISTRIBUTION = "milvus-profiles"
# NAME[extras]SPECIFIERS; MARKER, as the metadata of a distribution have it (PEP 508).
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?")
_CLAUSE = re.compile(r"(>=|!=|==|<=|<|>|~=)\s*([0-9][0-9A-Za-z.*+!-]*)")
_PYTHON_MARKER = re.compile(r"python_version\s*<\s*['\"]([0-9.]+)['\"]")


@dataclass(frozen=True, slots=True)
class _Requirement:
    name: str
    specifiers: str
    marker: str

    @property
    def is_optional(self) -> bool:
        """Whether it may be missing here: that of an extra, or of another Python."""
        if "extra" in self.marker:
            return True
        older = _PYTHON_MARKER.search(self.marker)
        return older is not None and sys.version_info[:2] >= _release(older[1])

    @property
    def installed(self) -> str | None:
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None


def check_python() -> Iterator[Finding]:
    """The interpreter."""
    version = platform.python_version()
    wanted = _metadata("Requires-Python") or ">=3.10"
    if is_met(version, wanted):
        yield Finding("python", "ok", f"{platform.python_implementation()} {version}")
    else:
        yield Finding("python", "failed", f"Python {version}, and {wanted} is needed", "install a newer Python")


def check_libraries() -> Iterator[Finding]:
    """Everything that is required, and of what is optional what is installed."""
    good: list[str] = []
    bad = False
    for requirement in _requirements():
        version = requirement.installed
        if version is None and requirement.is_optional:
            continue
        wanted = f"{requirement.name}{requirement.specifiers}"
        if version is not None and is_met(version, requirement.specifiers):
            good.append(f"{requirement.name} {version}")
            continue
        bad = True
        seen = f"{requirement.name} is not installed" if version is None else f"{requirement.name} {version}"
        why = "" if version is None else f" is too old, or a release with known defects ({requirement.specifiers})"
        yield Finding("libraries", "failed", seen + why, f"pip install --upgrade '{wanted}'")
    if good and not bad:
        yield Finding("libraries", "ok", ", ".join(dict.fromkeys(good)))


def check_lite(profiles: Profiles | None) -> Iterator[Finding]:
    """Milvus Lite: needed as soon as a profile leads to one."""
    try:
        version = metadata.version("milvus-lite")
    except metadata.PackageNotFoundError:
        user = None if profiles is None else first_profile(profiles, _is_lite)
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


def _requirements() -> list[_Requirement]:
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    found = [_REQUIREMENT.match(line) for line in lines]
    return [_Requirement(match[1], match[2].strip(), match[3] or "") for match in found if match]


def is_met(version: str, specifiers: str) -> bool:
    """Whether a version is one of those that are asked for.

    Args:
        version: such as ``"1.85.1"``; what follows its numbers is left aside.
        specifiers: clauses of PEP 440, such as ``">=1.66.2,!=1.68.0"``.
    """
    have = _release(version)
    for operator, text in _CLAUSE.findall(specifiers):
        want = _release(text)
        size = max(len(have), len(want))
        mine, other = _padded(have, size), _padded(want, size)
        met = {
            ">=": mine >= other,
            "~=": mine >= other and have[: len(want) - 1] == want[:-1],
            "<=": mine <= other,
            ">": mine > other,
            "<": mine < other,
            "!=": have[: len(want)] != want if text.endswith(".*") else mine != other,
            "==": have[: len(want)] == want if text.endswith(".*") else mine == other,
        }[operator]
        if not met:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _padded(release: tuple[int, ...], size: int) -> tuple[int, ...]:
    return release + (0,) * (size - len(release))
