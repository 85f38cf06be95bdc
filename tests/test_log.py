"""The logger: what happens is told at the documented levels, with fields, and never with a secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import milvus_profiles as mp
from tests.support import scripted_grpc
from tests.support.command import Command

CANARY = "c4n4ry-t0ken"


@pytest.fixture
def server() -> Iterator[scripted_grpc.ScriptedServer]:
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as found:
        yield found
    mp.disconnect_all()


def profiles(directory: Path, text: str) -> mp.Profiles:
    path = directory / "milvus.toml"
    path.write_text(text)
    path.chmod(0o600)
    return mp.load(path, env={"HOME": str(directory), "CANARY": CANARY})


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Level and event of each record of ours; no record may hold the canary in any of its fields."""
    records = [record for record in caplog.records if record.name == "milvus_profiles"]
    for record in records:
        assert CANARY not in repr(vars(record))
        assert CANARY not in record.getMessage()
    return [(record.levelno, vars(record)["milvus_event"]) for record in records]


def test_a_connection_is_told_from_the_file_to_its_end(
    tmp_path: Path, server: scripted_grpc.ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "milvus_profiles")
    text = f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\ntoken = {{env = "CANARY"}}\n'
    with profiles(tmp_path, f'default_profile = "prod"\n{text}').connect(dedicated=True):
        pass
    events = [(logging.DEBUG, event) for event in ("read", "selected", "secret", "opened", "closed")]
    assert told(caplog) == events
    fields = {vars(record)["milvus_event"]: vars(record) for record in caplog.records}
    assert fields["selected"]["milvus_alias"] == fields["opened"]["milvus_alias"] == "prod"
    assert fields["secret"]["milvus_kind"] == "env"
    assert fields["opened"]["milvus_ms"] > 0


async def test_asyncio_tells_the_same(
    tmp_path: Path, server: scripted_grpc.ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "milvus_profiles")
    found = profiles(tmp_path, f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\ntoken = {{env = "CANARY"}}\n')
    async with mp.aio.connect("prod", profiles=found, dedicated=True):
        pass
    assert [event for _, event in told(caplog)] == ["read", "secret", "opened", "closed"]


def test_a_channel_that_moves_is_told(
    tmp_path: Path, server: scripted_grpc.ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "milvus_profiles")
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as other:
        text = '[profiles.prod]\nuri = "http://127.0.0.1:{}"\n'
        with profiles(tmp_path, text.format(server.port)).connect("prod"):
            profiles(tmp_path, text.format(other.port)).connect("prod").close()
            assert told(caplog) == [(logging.INFO, "moved")]
        mp.disconnect_all()


def test_without_a_listener_nothing_is_written(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.prod]\nuri = "h"\n')
    assert cli("list", status=0).stderr == ""
    assert cli("list", "-v", status=0).stderr == ""
    said = cli("list", "-vv", status=0).stderr
    assert f"DEBUG: read {project / 'milvus.toml'}: profiles: 1\n" in said
    assert "DEBUG: the profile is prod: it is the only one there is\n" in said


def test_text_of_a_file_cannot_forge_a_line_of_the_log(cli: Command, project: Path) -> None:
    place = project / "a\nERROR: forged"
    place.mkdir()
    (place / "milvus.toml").write_text('[profiles.prod]\nuri = "h"\n')
    said = cli("list", "-vv", "--config", str(place / "milvus.toml"), status=0).stderr
    assert "\nERROR: forged" not in said
    assert "a\\nERROR: forged" in said
