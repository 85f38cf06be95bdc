"""Whatever stage an object is in, showing it raises nothing: a traceback's locals are shown by many a tool."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import pkgutil
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import milvus_profiles as mp
import milvus_profiles.aio
import milvus_profiles.testing
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.pool_settings import PoolSettings
from tests.support import scripted_grpc
from tests.support.pool_shells import Asyncio, Threads


def classes() -> list[type]:
    """The public ones, and all others but dataclasses: the ``__init__`` of those fails before there is anything."""
    public = {getattr(face, name) for face in (mp, mp.aio, mp.testing) for name in face.__all__}
    rooms = [
        room.name
        for room in pkgutil.walk_packages(mp.__path__, "milvus_profiles.")
        if "__main__" not in room.name and "-" not in room.name
    ]
    values = [value for room in rooms for value in vars(importlib.import_module(room)).values()]

    inner = {each for each in values if isinstance(each, type) and each.__module__.startswith("milvus_profiles.")}
    found = {each for each in public if isinstance(each, type)}
    found |= {each for each in inner if not dataclasses.is_dataclass(each) and not issubclass(each, (tuple, enum.Enum))}
    abstract = {each for each in found if getattr(each, "__abstractmethods__", None)}
    return sorted(found - abstract, key=lambda each: (each.__module__, each.__name__))


def test_an_object_that_was_not_made_can_be_shown() -> None:
    assert len(classes()) > 100
    for each in classes():
        if issubclass(each, (tuple, type, weakref.ref)):
            continue  # is made in one go
        half: Any = each.__new__(each)
        assert isinstance(f"{half!r} {half!s} {half}", str), each
        half = None


def test_a_dataclass_of_the_face_names_itself() -> None:
    for each in (mp.Endpoint, mp.Report, mp.Stage, mp.ConnectionInfo, mp.PoolStats, mp.KeyStats):
        assert repr(each.__new__(each)) == f"<{each.__name__}, not made yet>"


def shown(error: BaseException | None) -> Iterator[str]:
    """All locals of the frames of an exception and of its causes."""
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            for value in trace.tb_frame.f_locals.values():
                yield f"{value!r} {value!s}"
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


@pytest.fixture
def profiles() -> Iterator[mp.Profiles]:
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as server:
        env = {
            "MILVUS_PROFILES__P__URI": f"http://127.0.0.1:{server.port}",
            "MILVUS_PROFILES__N__URI": "http://[::1]:1",
        }
        yield mp.load(env=env, cwd="/")
        mp.disconnect_all()


def test_a_pool_with_settings_that_are_refused_can_be_shown(profiles: mp.Profiles) -> None:
    for make in (ConnectionPool, mp.aio.ConnectionPool):
        with pytest.raises(mp.ConfigError) as caught:
            make(profiles)  # type: ignore[arg-type]
        assert "<ConnectionPool, not made yet>" in " ".join(shown(caught.value))


@pytest.mark.parametrize("shell", [Threads, Asyncio])
async def test_a_lease_that_was_not_given_can_be_shown(profiles: mp.Profiles, shell: Any) -> None:
    kind: Threads | Asyncio = shell()
    async with kind.entered(kind.pool_class(PoolSettings(mode="exclusive", max_total=1), profiles)) as pool:
        with pytest.raises(mp.PoolError) as failed:
            await kind.do(pool.get_client, "n")
        held = await kind.do(pool.get_client, "p")
        with pytest.raises(mp.PoolTimeoutError) as late:
            await kind.do(pool.get_client, "p", timeout=0.01)
        assert repr(held).endswith("(open)>")
        for error in (failed.value, late.value):
            assert f"<{type(held).__name__}, not made yet>" in " ".join(shown(error))
        await kind.do(pool.return_client, "p", held)
        assert repr(held).endswith("(closed)>")
    assert repr(pool).startswith("<ConnectionPool (closed)")


def test_a_connection_can_be_shown_when_it_is_closed_and_when_it_failed_to_open(profiles: mp.Profiles) -> None:
    connection = mp.connect("p", profiles=profiles)
    channel = connection.channel
    connection.close()
    mp.disconnect_all()
    assert f"{connection!r} {channel!r}"
    with pytest.raises(mp.MilvusProfilesError) as caught:
        mp.connect("n", profiles=profiles)
    assert list(shown(caught.value))
