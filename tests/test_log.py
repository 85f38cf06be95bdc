"""The logger: what happens is told at the documented levels, with fields, and never with a secret."""

from __future__ import annotations

import logging
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

import milvus_profiles as mp
from milvus_profiles.log import EVENTS, LOG
from tests.support import scripted_grpc
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.connections import Declared, Shell, uri
from tests.support.environment import run_python
from tests.support.pool_shells import Asyncio, Threads
from tests.support.secret_service import KeyringSession
from tests.support.speaking import encoded
from tests.support.waiting import eventually, until

CANARY = "c4n4ry-t0ken"
PACKAGE = Path(mp.__file__).parent


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Level and event of each record of ours; no record may hold the canary in any of its fields."""
    records = [record for record in caplog.records if record.name == "milvus_profiles"]
    for record in records:
        assert CANARY not in repr(vars(record))
        assert CANARY not in record.getMessage()
        event = EVENTS[vars(record)["milvus_event"]]
        assert record.levelno == event.level
        fields = {name for name in vars(record) if name.startswith("milvus_")} - {"milvus_event"}
        assert fields == {f"milvus_{part}" for part in event.parts}
        assert Path(record.pathname).is_relative_to(PACKAGE)
        assert record.filename != "log.py"
    return [(record.levelno, vars(record)["milvus_event"]) for record in records]


def test_a_connection_is_told_from_the_file_to_its_end(
    prod: Declared, server: scripted_grpc.ScriptedServer, caplog: pytest.LogCaptureFixture, shell: Shell
) -> None:
    caplog.set_level(logging.DEBUG, "milvus_profiles")
    lines = ['default_profile = "prod"', "[profiles.prod]", uri(server.port), 'token = {env = "CANARY"}', ""]
    prod.path.write_text("\n".join(lines))
    shell.close(shell.connect(profiles=prod.profiles(CANARY=CANARY), dedicated=True))
    assert told(caplog) == [(logging.DEBUG, event) for event in ("read", "selected", "secret", "opened", "closed")]
    fields = {vars(record)["milvus_event"]: vars(record) for record in caplog.records if record.name == LOG.name}
    assert fields["selected"]["milvus_alias"] == fields["opened"]["milvus_alias"] == "prod"
    assert fields["secret"]["milvus_kind"] == "env"
    assert fields["opened"]["milvus_ms"] > 0


def test_a_channel_that_moves_is_told(
    prod: Declared, server: scripted_grpc.ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "milvus_profiles")
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer) as other:
        with prod.says(uri(server.port)).connect("prod"):
            prod.says(uri(other.port)).connect("prod").close()
            assert told(caplog)[-1] == (logging.DEBUG, "moved")
            assert vars(caplog.records[-1])["milvus_ms"] > 0
        mp.disconnect_all()


# What is connected to, with what is wrong about it: its code and its stage.
FAILING = {
    f'uri = "http://127.0.0.1:1"\ntoken = "{CANARY}"\ntimeout = 1': ("unreachable", "tcp"),
    'uri = "http://no-such-host.invalid:1"\ntimeout = 1': ("unreachable", "dns"),
    f'uri = "http://127.0.0.1:{{port}}"\ntoken = {{{{file = "/nowhere/{CANARY}"}}}}': ("secret", "secret"),
    'uri = "https://127.0.0.1:{port}"\ntimeout = 2': ("tls", "tls"),
    f'uri = "http://192.0.2.1"\ntoken = "{CANARY}"': ("insecure", "config"),
    f'uri = "http://127.0.0.1:{{port}}"\ntoken = "{CANARY}"\ndb_name = "none"': ("database", "database"),
    f'uri = "http://127.0.0.1:{{port}}"\ntoken = "{CANARY}-2"': ("auth", "auth"),
    'uri = "http://127.0.0.1:{port}"\nport = 3': ("config", "config"),
}


def without_database(call: scripted_grpc.Call) -> bytes:
    if call.metadata.get("dbname") == "none" and "Show" in call.method:
        status = scripted_grpc.number(3, 800) + scripted_grpc.message(2, b"database not found[database=none]")
        return scripted_grpc.message(1, status)
    if call.metadata.get("authorization") == encoded(f"{CANARY}-2"):
        raise scripted_grpc.Refusal(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
    return scripted_grpc.milvus_answer(call)


async def connected(way: str, found: mp.Profiles) -> None:
    if way == "asyncio":
        await mp.aio.connect("prod", profiles=found)
    elif way == "threads":
        found.connect("prod")
    else:
        with mp.ConnectionPool(profiles=found) as pool:
            pool.get_client("prod")


@pytest.mark.parametrize("way", ["threads", "asyncio", "pool"])
@pytest.mark.parametrize("fields", FAILING, ids=lambda fields: "-".join(FAILING[fields]))
async def test_a_connection_that_fails_is_told(
    prod: Declared, caplog: pytest.LogCaptureFixture, fields: str, way: str
) -> None:
    caplog.set_level(logging.DEBUG, "milvus_profiles")
    with scripted_grpc.scripted_server(without_database) as server, pytest.raises(mp.MilvusProfilesError) as raised:
        await connected(way, prod.says(fields.format(port=server.port)))
    cause = raised.value.__cause__ if isinstance(raised.value, mp.PoolError) else raised.value
    assert isinstance(cause, mp.MilvusProfilesError)
    assert (cause.code, cause.stage) == FAILING[fields]
    failed = [vars(record) for record in caplog.records if vars(record).get("milvus_event") == "failed"]
    assert (logging.DEBUG, "failed") in told(caplog)
    assert {(one["milvus_alias"], one["milvus_code"], one["milvus_stage"]) for one in failed} == {
        ("prod", *FAILING[fields])
    }
    assert len(failed) == 1


def test_what_is_no_alias_is_not_told(caplog: pytest.LogCaptureFixture, prod: Declared) -> None:
    caplog.set_level(logging.DEBUG, "milvus_profiles")
    with pytest.raises(mp.MilvusProfilesError):
        mp.connect(f"http://root:{CANARY}@h", profiles=prod.profiles())
    assert told(caplog)[-1] == (logging.DEBUG, "failed")
    assert vars(caplog.records[-1])["milvus_alias"] is None
    assert caplog.records[-1].getMessage() == "connecting failed at config (unknown_profile), profile None"


def test_without_a_listener_nothing_is_written(cli: Command, project: Path) -> None:
    (project / "milvus.toml").write_text('[profiles.prod]\nuri = "h"\n')
    assert cli("list", "--json", status=0).stderr == ""
    assert cli("list", "-v", "--json", status=0).stderr == ""
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


# --- what changes under living connections ----------------------------------------------------------------------------


def test_a_token_that_was_replaced_is_told(
    prod: Declared, tmp_path: Path, caplog: pytest.LogCaptureFixture, shell: Shell
) -> None:
    caplog.set_level(logging.INFO, "milvus_profiles")
    accepted = CANARY

    def script(call: scripted_grpc.Call) -> bytes:
        if call.metadata.get("authorization") != encoded(accepted):
            raise scripted_grpc.Refusal(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
        return scripted_grpc.milvus_answer(call)

    token = tmp_path / "token"
    token.write_text(accepted)
    with scripted_grpc.scripted_server(script) as server:
        conn = shell.connect("prod", profiles=prod.says(uri(server.port), f'token = {{file = "{token}"}}'))
        accepted = f"{CANARY}-2"
        token.write_text(accepted)
        shell.ping(conn)
        assert told(caplog) == [(logging.INFO, "token")]
        assert len({call.peer for call in server.calls}) == 1


def test_a_server_that_answers_again_is_told(prod: Declared, caplog: pytest.LogCaptureFixture, shell: Shell) -> None:
    caplog.set_level(logging.INFO, "milvus_profiles")
    away = threading.Event()

    def script(call: scripted_grpc.Call) -> bytes:
        if away.is_set():
            raise scripted_grpc.Refusal(grpc.StatusCode.UNAVAILABLE, "away")
        return scripted_grpc.milvus_answer(call)

    with scripted_grpc.scripted_server(script) as server:
        conn = shell.connect("prod", profiles=prod.says(uri(server.port), f'token = "{CANARY}"', "retry = false"))
        away.set()
        with pytest.raises(mp.MilvusProfilesError):
            shell.ping(conn)
        away.clear()
        shell.ping(conn)
        assert told(caplog) == [(logging.INFO, "reconnected")]


def test_certificates_that_were_renewed_are_told(
    prod: Declared, tmp_path: Path, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "milvus_profiles")
    ca = tmp_path / "ca.pem"
    shutil.copy(certificates.ca, ca)
    with scripted_grpc.scripted_server(scripted_grpc.milvus_answer, identity=certificates.server) as server:
        lines = [f'uri = "https://127.0.0.1:{server.port}"', f'ssl = {{ca = "{ca}"}}']
        with prod.says(*lines).connect("prod", dedicated=True) as conn:
            ca.write_bytes(certificates.ca.read_bytes() + b"\n")

            def renewed() -> bool:
                conn.ping()
                return "renewed" in [event for _, event in told(caplog)]

            conn._shared._look()  # as it does every half minute
            until(renewed)


# --- what somebody should see to --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", [Threads, Asyncio])
async def test_a_pool_tells_of_exhaustion_and_leaks(
    prod: Declared, server: scripted_grpc.ScriptedServer, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    found = prod.says(uri(server.port), f'token = "{CANARY}"')
    settings = mp.PoolSettings(
        mode="exclusive", max_total_per_key=1, max_block_wait=0.1, max_waiting=0, leak_threshold=0.1,
        eviction_interval=0.1,
    )  # fmt: skip
    shell: Threads | Asyncio = kind()
    async with (
        shell.entered(shell.pool_class(settings, profiles=found)) as pool,
        shell.entered(pool.lease("prod", timeout=30)),
    ):
        for _ in range(2):
            with pytest.raises(mp.PoolError):
                await shell.do(pool.get_client, "prod")
        await eventually(lambda: "leak" in [event for _, event in told(caplog)])
    assert {*told(caplog)} == {(logging.WARNING, "exhausted"), (logging.WARNING, "leak")}
    assert {vars(record)["milvus_key"] for record in caplog.records if record.name == "milvus_profiles"} == {"prod"}


SILENT_PROGRAM = """
import logging, sys
import milvus_profiles as mp
from milvus_profiles.log import tell
settings = mp.PoolSettings(mode="exclusive", max_total_per_key=1)
with mp.ConnectionPool(settings) as pool, pool.lease("prod", timeout=30):
    try:
        pool.get_client("prod", timeout=0.05)
    except mp.PoolTimeoutError:
        pass
tell("orm", alias="prod", error="TypeError")
if sys.argv[1:]:
    logging.basicConfig(format="%(name)s %(levelname)s %(milvus_event)s", level=logging.WARNING)
    tell("orm", alias="prod", error="TypeError")
"""


def test_a_program_that_does_not_listen_hears_only_what_people_have_to_know(
    cli: Command, server: scripted_grpc.ScriptedServer
) -> None:
    def said(*words: str) -> str:
        env = cli.environment({"MILVUS_PROFILES__PROD__URI": f"http://127.0.0.1:{server.port}"})
        return run_python(SILENT_PROGRAM, *words, env=env, cwd=cli.cwd, check=True).stderr

    assert said() == "pymilvus's ORM cannot be told of prod: TypeError\n"
    assert said("listens").splitlines()[1:] == ["milvus_profiles WARNING orm"]


def test_a_keyring_that_is_silent_is_told(fresh_keyring: KeyringSession, cli: Command) -> None:
    fresh_keyring.suspend()
    env = {"MILVUS_PROFILES__PROD__URI": "https://h", "MILVUS_PROFILES__PROD__USER": "root"}
    env["MILVUS_PROFILES_KEYRING_TIMEOUT"] = "0.5"
    done = cli("secret", "status", "prod", "-vv", env=env, keyring=fresh_keyring, status=4)
    assert "WARNING: the keyring did not answer within 0.5 s\n" in done.stderr


def test_the_list_of_events_is_all_that_is_logged() -> None:
    calls = re.findall(
        r"\b(?:log|tell)\(\s*\"(\w+)\"", "".join(path.read_text() for path in PACKAGE.rglob("*.py")), re.MULTILINE
    )
    assert set(calls) == set(EVENTS)
    for path in PACKAGE.rglob("*.py"):
        if path.name != "log.py":
            assert not re.search(r"LOG\.(debug|info|warning|error|log)\(", path.read_text()), path
    for event in EVENTS.values():
        assert set(re.findall(r"\{(\w+)", event.message)) <= set(event.parts)
