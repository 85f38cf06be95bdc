"""What profiles need of the installation: Python, the libraries, Milvus Lite, and a keyring that keeps a secret.

The releases that are known to be bad stand in one place, the distribution's own requirements, and are read from there.
"""

from __future__ import annotations

import contextlib
import platform
import secrets
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from ..errors import ConfigError, SecretUnavailableError
from ..masked import SecretText
from ..profile import Profile
from .finding import DoctorContext, Examined, Finding

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["check_keyring", "check_libraries", "check_lite", "check_python", "is_met"]

_DISTRIBUTION = "milvus-profiles"


def check_python() -> Iterator[Finding]:
    """The interpreter."""
    version = platform.python_version()
    with contextlib.suppress(metadata.PackageNotFoundError):  # run from a bare copy of the sources
        wanted = metadata.metadata(_DISTRIBUTION)["Requires-Python"]
        if wanted and not is_met(version, SpecifierSet(wanted)):
            yield Finding("python", "failed", f"Python {version}, and {wanted} is needed", "install a newer Python")
            return
    yield Finding("python", "ok", f"{platform.python_implementation()} {version}")


def check_libraries() -> Iterator[Finding]:
    """Everything that is required, and of what is optional what is installed."""
    good: list[str] = []
    bad: list[Finding] = []
    for requirement in _requirements():
        version = _installed(requirement.name)
        # That of an extra, or of another Python.
        is_optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        if version is None and is_optional:
            continue
        if version is not None and is_met(version, requirement.specifier):
            good.append(f"{requirement.name} {version}")
            continue
        seen = f"{requirement.name} is not installed" if version is None else f"{requirement.name} {version}"
        why = "" if version is None else f" is too old, or a release with known defects ({requirement.specifier})"
        hint = f"pip install --upgrade '{requirement.name}{requirement.specifier}'"
        bad.append(Finding("libraries", "failed", seen + why, hint))
    yield from bad
    if good and not bad:
        yield Finding("libraries", "ok", ", ".join(dict.fromkeys(good)))


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
    """Whether a version is one of those that are asked for; one that is no version (PEP 440) is not."""
    try:
        return wanted.contains(version, prereleases=True)
    except InvalidVersion:
        return False


def check_lite(examined: Examined) -> Iterator[Finding]:
    """Milvus Lite: needed as soon as a profile leads to one."""
    if (version := _installed("milvus-lite")) is not None:
        yield Finding("lite", "ok", f"Milvus Lite {version}")
    elif (user := _first(examined, lambda profile: profile.endpoint.kind == "lite")) is not None:
        seen, hint = f"not installed, and the profile {user!r} needs it", "pip install 'milvus-profiles[lite]'"
        yield Finding("lite", "failed", seen, hint)
    else:
        yield Finding("lite", "skipped", "not installed; no profile needs it")


def check_keyring(profiles: Profiles | None, examined: Examined, context: DoctorContext) -> Iterator[Finding]:
    """Store an entry of no meaning, read it back, and take it out again.

    No account of a profile is touched: those begin with ``tls|``, ``plain|`` or ``unix|``.
    """
    user = _first(examined, lambda profile: profile.auth == "keyring")
    account = f"doctor|{secrets.token_hex(8)}"
    try:
        keyring = context.keyring(profiles)
        backend = keyring.backend()
        try:
            keyring.set(account, SecretText("an entry of milvus-profiles doctor, to be deleted"))
        finally:
            with contextlib.suppress(SecretUnavailableError):
                keyring.delete(account)
        left = keyring.get(account) is not None
    except (SecretUnavailableError, ConfigError) as error:
        if user is not None:
            yield Finding("keyring", "failed", f"{error.message}; the profile {user!r} needs it", error.hint)
        else:
            yield Finding("keyring", "warning", f"{error.message}; no profile here needs it", error.hint)
        return
    if left:
        yield Finding("keyring", "failed", f"{backend} does not delete", "use the keyring's own application")
    else:
        yield Finding("keyring", "ok", f"{backend}: stored, read and deleted an entry")


def _first(examined: Examined, wanted: Callable[[Profile], bool]) -> str | None:
    """The alias of the first valid profile of some kind; templates connect to nothing, and what extends one is asked
    by itself."""
    for alias, profile in examined.items():
        if isinstance(profile, Profile) and not profile.is_template and wanted(profile):
            return alias
    return None
