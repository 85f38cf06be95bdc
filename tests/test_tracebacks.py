"""A traceback of an error of ours shows the user's line and one of ours, however deep it came from."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import milvus_profiles as mp
from tests.support import faults

PACKAGE = os.path.dirname(mp.__file__)
CANARY = "c4n4ry-t0ken"


@pytest.fixture
def profiles(tmp_path: Path) -> mp.Profiles:
    path = tmp_path / "milvus.toml"
    with faults.refused_port() as port:
        path.write_text(
            f"[profiles.down]\nuri = 'http://127.0.0.1:{port}'\n[profiles.wrong]\nuri = 'http://h'\ntimout = 1\n"
        )
    path.chmod(0o600)
    return mp.load(path, env={"HOME": str(tmp_path)})


def lease(profiles: mp.Profiles, alias: str) -> None:
    with mp.ConnectionPool(profiles=profiles) as pool, pool.lease(alias, timeout=10):
        pass


def get_client(profiles: mp.Profiles, alias: str) -> None:
    with mp.ConnectionPool(profiles=profiles) as pool:
        pool.get_client(alias, timeout=10)


async def entered(profiles: mp.Profiles, alias: str) -> None:
    async with mp.aio.connect(alias, profiles=profiles):
        pass


async def awaited(profiles: mp.Profiles, alias: str) -> None:
    await mp.aio.connect(alias, profiles=profiles)


async def leased(profiles: mp.Profiles, alias: str) -> None:
    async with mp.aio.ConnectionPool(profiles=profiles) as pool, pool.lease(alias, timeout=10):
        pass


async def diagnosed(profiles: mp.Profiles, alias: str) -> None:
    await mp.aio.diagnose(alias, profiles=profiles)


def in_loop(work: Callable[[mp.Profiles, str], Any]) -> Callable[[mp.Profiles, str], Any]:
    return lambda profiles, alias: asyncio.run(work(profiles, alias))


CALLS: dict[str, Callable[[mp.Profiles, str], Any]] = {
    "connect": lambda profiles, alias: mp.connect(alias, profiles=profiles, token=CANARY),
    "connect of profiles": lambda profiles, alias: profiles.connect(alias, token=CANARY),
    "connect of a profile": lambda profiles, alias: profiles[alias].connect(token=CANARY),
    "a field that there is not": lambda profiles, alias: mp.connect(database=CANARY, uri="h"),  # type: ignore[call-arg]
    "load": lambda profiles, alias: mp.load(f"/nowhere/{alias}"),
    "item": lambda profiles, alias: profiles["wrong"],
    "model": lambda profiles, alias: mp.Profile(alias=alias, tokn=CANARY),  # type: ignore[call-arg]
    "settings": lambda profiles, alias: mp.PoolSettings(max_totl=1),  # type: ignore[call-arg]
    "connection_args": lambda profiles, alias: mp.connection_args("wrong", profiles=profiles),
    "lease": lease,
    "get_client": get_client,
    "asyncio, entered": in_loop(entered),
    "asyncio, awaited": in_loop(awaited),
    "asyncio, leased": in_loop(leased),
    "diagnose": lambda profiles, alias: mp.diagnose(f"{alias}s", profiles=profiles),
    "asyncio, diagnose": in_loop(lambda profiles, alias: diagnosed(profiles, f"{alias}s")),
}


@pytest.mark.parametrize("alias", ["down", "wrong", "nobody"])
@pytest.mark.parametrize("call", CALLS)
def test_it_ends_in_one_line_of_ours(profiles: mp.Profiles, call: str, alias: str) -> None:
    with pytest.raises(mp.MilvusProfilesError) as caught:
        CALLS[call](profiles, alias)
    frames = traceback.extract_tb(caught.value.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    # What a block of a pool or an event loop adds stands above the user's line.
    last = max(number for number, frame in enumerate(frames) if frame.filename == __file__)
    assert [frame.name for frame in frames[last + 1 :]] == [ours[-1].name]
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    for frame in shown.stack:
        if frame.filename.startswith(PACKAGE):
            assert CANARY not in str(frame.locals)


def test_the_cause_and_what_was_being_handled_are_still_told(profiles: mp.Profiles) -> None:
    with pytest.raises(mp.ConnectFailedError) as caught:
        lease(profiles, "down")
    assert isinstance(caught.value.__cause__, mp.UnreachableError)

    def while_handling() -> None:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            mp.connect("down", profiles=profiles)

    with pytest.raises(mp.UnreachableError) as raised:
        while_handling()
    assert isinstance(raised.value.__context__, ZeroDivisionError)
    assert not raised.value.__suppress_context__
