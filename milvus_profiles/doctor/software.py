"""What profiles need of the installation: Python, the libraries, Milvus Lite, and a keyring that keeps a secret.

The releases that are known to be bad stand in one place, the distribution's own requirements, and are read from there.
"""

from __future__ import annotations

import contextlib
import platform
import secrets
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion

from ..errors import ConfigError, SecretUnavailableError
from ..masked import SecretText
from ..profile import Profile
from ..text import printable
from .finding import DoctorContext, Examined, Finding

if TYPE_CHECKING:
    from ..config.profiles import Profiles

_DISTRIBUTION = "milvus-profiles"
_LONGEST = 300

# What brings in the compiled part, where that is not the module of the distribution's name.
_MODULES = {
    "cryptography": "cryptography.x509",
    "grpcio": "milvus_profiles.channel.grpc_process",
    "protobuf": "google.protobuf.message_factory",
}


def check_python() -> Iterator[Finding]:
    version = platform.python_version()
    with contextlib.suppress(metadata.PackageNotFoundError):  # run from a bare copy of the sources
        wanted = metadata.metadata(_DISTRIBUTION)["Requires-Python"]
        if wanted and not is_met(version, SpecifierSet(wanted)):
            yield Finding("python", "failed", f"Python {version}, and {wanted} is needed", "install a newer Python")
            return
    yield Finding("python", "ok", f"{platform.python_implementation()} {version}")


def check_libraries() -> Iterator[Finding]:
    """Everything that is required, which must load, too, and of what is optional what is installed."""
    good: list[str] = []
    bad: list[Finding] = []
    for requirement in _requirements():
        version = _installed(requirement.name)
        # That of an extra, or of another Python.
        is_optional = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        if version is None and is_optional:
            continue
        if version is not None and is_met(version, requirement.specifier):
            if is_optional or (fault := _unloadable(requirement.name)) is None:
                good.append(f"{requirement.name} {version}")
            else:
                hint = "install what it names with the system's package manager, or the library anew: "
                hint += f"pip install --force-reinstall --no-cache-dir {requirement.name}=={version}"
                seen = f"{requirement.name} {version} is installed, and cannot be loaded: {fault}"
                bad.append(Finding("libraries", "failed", seen, hint))
            continue
        seen = f"{requirement.name} is not installed" if version is None else f"{requirement.name} {version}"
        why = "" if version is None else f" is too old, or a release with known defects ({requirement.specifier})"
        hint = f'pip install --upgrade "{requirement.name}{requirement.specifier}"'
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


def _unloadable(name: str) -> str | None:
    """Why a library of this distribution cannot be imported; None if it can."""
    try:
        import_module(_MODULES.get(name, name.replace("-", "_")))
    except ImportError as error:
        return printable(str(error))[:_LONGEST]
    except Exception as error:
        return type(error).__name__  # its words may hold anything
    return None


def is_met(version: str, wanted: SpecifierSet) -> bool:
    """Whether a version is one of those that are asked for; one that is no version (PEP 440) is not."""
    try:
        return wanted.contains(version, prereleases=True)
    except InvalidVersion:
        return False


def check_lite(examined: Examined) -> Iterator[Finding]:
    """Milvus Lite: needed as soon as a profile leads to one, and loaded then, which takes its time."""
    user = _first(examined, lambda profile: profile.endpoint.kind == "lite")
    version = _installed("milvus-lite")
    if version is None and user is None:
        yield Finding("lite", "skipped", "not installed; no profile needs it")
        return
    if version is None:
        seen, hint = f"not installed, and the profile {user!r} needs it", 'pip install "milvus-profiles[lite]"'
        yield Finding("lite", "failed", seen, hint)
        return
    if user is not None:
        from ..channel.lite import import_lite

        try:
            import_lite()
        except ConfigError as error:
            yield Finding.of("lite", error)
            return
    yield Finding("lite", "ok", f"Milvus Lite {version}")


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
