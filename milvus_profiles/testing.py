"""A pytest plugin for programs that use profiles: embedded Milvus Lite, real servers by name, a keyring in memory.

It is loaded by pytest itself (entry point ``pytest11``), so importing it costs next to nothing, and does nothing to a
test that asks for none of its fixtures and bears none of its marks.

    def test_search(milvus_profile):
        with mp.connect() as conn:       # what the program under test does
            ...

    @pytest.mark.milvus_server("staging")
    def test_on_the_real_thing(milvus_profile): ...
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from .masked import even_half_made

if TYPE_CHECKING:
    from .live.api import Connection

__all__ = ["MilvusProfile", "milvus_keyring", "milvus_profile"]

MARK = "milvus_server"
_OPTION = "--require-milvus"


@even_half_made
@dataclass(frozen=True)
class MilvusProfile:
    """The profile of a test.

    Attributes:
        alias: its name; ``milvus_profiles.connect()`` without a name takes it too.
        uri: its canonical address; for Milvus Lite the directory of its data.
    """

    alias: str
    uri: str

    def connect(self, **options: Any) -> Connection:
        """Open a connection; the arguments are those of :func:`milvus_profiles.connect`."""
        from .live.api import connect

        return connect(self.alias, **options)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("milvus").addoption(
        _OPTION,
        action="store_true",
        help=f"fail, instead of skipping, tests marked {MARK} whose server cannot be had",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARK}(alias=None): run on the server of this profile of your own configuration, or of the selected one; "
        f"skipped where it cannot be had ({_OPTION} makes that a failure)",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker(MARK)
    if mark is None:
        return
    alias = _alias_of(mark)
    reason = _problem(alias)
    if reason is None:
        return
    message = f"needs the Milvus of the profile {alias or 'selected'}: {reason}"
    if item.config.getoption(_OPTION):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def _alias_of(mark: pytest.Mark) -> str | None:
    if len(mark.args) > 1 or set(mark.kwargs) - {"alias"} or (mark.args and mark.kwargs):
        raise pytest.UsageError(f"{MARK} takes one alias")
    alias = mark.args[0] if mark.args else mark.kwargs.get("alias")
    if not isinstance(alias, (str, type(None))):
        raise pytest.UsageError(f"{MARK} takes one alias, a text")
    return alias


@functools.cache
def _problem(alias: str | None) -> str | None:
    """Why a server cannot be had, asked once in a session; None if it answers."""
    from .errors import MilvusProfilesError
    from .live.api import connect, disconnect

    try:
        with connect(alias) as connection:
            connection.ping()
            disconnect(connection.alias)
    except MilvusProfilesError as error:
        return error.message
    return None


@pytest.fixture
def milvus_profile(
    request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MilvusProfile]:
    """A profile on an embedded Milvus Lite with a fresh, empty directory; the only profile that the test sees.

    It is called ``test``, or as ``@pytest.mark.parametrize("milvus_profile", ["prod"], indirect=True)`` says, for
    programs that ask for a certain name.  Under the mark ``milvus_server`` it is that profile instead, of the user's
    own configuration.  Its connections are closed after the test.

    Raises:
        ConfigError: Milvus Lite is not installed (when it is first connected to).
    """
    from .config.atomic import write_atomic
    from .config.loading import load
    from .live.api import disconnect

    mark = request.node.get_closest_marker(MARK)
    if mark is not None:
        profiles = load()
        alias = profiles.select(_alias_of(mark)).alias
        monkeypatch.setenv("MILVUS_PROFILE", alias)
        yield MilvusProfile(alias, profiles[alias].endpoint.uri)
        disconnect(alias)
        return
    from .names import check_alias

    alias = check_alias(getattr(request, "param", "test"))
    for name in [name for name in os.environ if name.startswith("MILVUS_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "milvus-profile.toml"
    directory = tmp_path / "milvus.db"
    # A literal string of TOML holds a path of Windows as it is; pytest makes no directory with a quote in its name.
    write_atomic(str(file), f"[profiles.\"{alias}\"]\nuri = '{directory}'\n".encode())
    monkeypatch.setenv("MILVUS_PROFILES_FILE", str(file))
    yield MilvusProfile(alias, str(directory))
    disconnect(alias)


@pytest.fixture
def milvus_keyring() -> Iterator[Any]:
    """A keyring that lives in memory, in place of the operating system's, for this process and this test.

    Yields:
        A backend of the library ``keyring``, empty: ``milvus_keyring.get_password("milvus-profiles", ACCOUNT)``.
    """
    import keyring

    from .secrets.os_keyring import allowing

    before = keyring.get_keyring()
    memory = _memory_keyring()()
    keyring.set_keyring(memory)
    try:
        with allowing(type(memory).__module__):
            yield memory
    finally:
        keyring.set_keyring(before)


@functools.cache
def _memory_keyring() -> Any:
    """The class of the backend; made on demand, since keyring takes its time to import and registers each class."""
    from keyring.backend import KeyringBackend
    from keyring.errors import PasswordDeleteError

    class MemoryKeyring(KeyringBackend):
        # Below every other, so that the library never chooses it by itself.
        priority = -1  # pyright: ignore[reportAssignmentType]  # a property of the class that may be a number

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self._passwords: dict[tuple[str, str], str] = {}

        def get_password(self, service: str, username: str) -> str | None:
            return self._passwords.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self._passwords[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            if self._passwords.pop((service, username), None) is None:
                raise PasswordDeleteError("there is none")

        def __repr__(self) -> str:
            number = len(self._passwords)
            return f"<MemoryKeyring with {number} {'entry' if number == 1 else 'entries'}>"

    return MemoryKeyring
