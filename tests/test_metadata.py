"""The holder gives every call its metadata, and shows its token to nobody."""

from __future__ import annotations

import base64
import copy
import pickle
import re
import threading

import pytest

from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.masked import SecretText

TOKEN = "root:canary-7f3a"
ENCODED = base64.b64encode(TOKEN.encode()).decode()


def test_a_call_carries_token_database_identifier_and_ids() -> None:
    holder = TokenHolder(SecretText(TOKEN), db_name="analytics", wall_clock=lambda: 1700000000.5)
    holder.identifier = 42
    metadata = dict(holder.metadata())
    assert re.fullmatch("[0-9a-f]{32}", str(metadata.pop("client-request-id")))
    assert metadata == {
        "authorization": ENCODED,
        "dbname": "analytics",
        "identifier": "42",
        "client-request-unixmsec": "1700000000500",
    }


def test_what_there_is_not_is_not_sent() -> None:
    holder = TokenHolder()
    assert {key for key, _ in holder.metadata()} == {"client-request-id", "client-request-unixmsec"}
    assert (holder.has_token, holder.token, holder.db_name, holder.identifier) == (False, None, None, None)
    holder.identifier = 5
    holder.identifier = None
    assert "identifier" not in dict(holder.metadata())


def test_the_connect_call_carries_credentials_and_nothing_else() -> None:
    holder = TokenHolder(SecretText(TOKEN), db_name="analytics")
    holder.identifier = 42
    assert holder.credentials_only() == (("authorization", ENCODED),)
    assert TokenHolder(db_name="analytics").credentials_only() == ()


def test_ids_are_fresh_for_every_call_and_every_holder() -> None:
    holders = [TokenHolder() for _ in range(3)]
    ids = [dict(holder.metadata())["client-request-id"] for holder in holders for _ in range(100)]
    assert len(set(ids)) == 300


def test_the_callers_own_keys_win() -> None:
    holder = TokenHolder(SecretText(TOKEN), db_name="analytics")
    merged = holder.merged([("dbname", "mine"), ("x-extra", "1"), ("authorization", "theirs")])
    assert [value for key, value in merged if key == "dbname"] == ["mine"]
    assert [value for key, value in merged if key == "authorization"] == ["theirs"]
    assert dict(merged)["x-extra"] == "1"
    assert "client-request-id" in dict(merged)
    assert len(holder.merged(())) == len(holder.merged(None)) == len(holder.metadata())


def test_a_new_token_is_a_new_generation_and_the_same_is_not() -> None:
    holder = TokenHolder(SecretText(TOKEN))
    assert holder.set_token(SecretText(TOKEN)) is False
    assert holder.generation == 0
    assert holder.set_token(SecretText("root:pässword")) is True
    assert holder.generation == 1
    assert base64.b64decode(dict(holder.metadata())["authorization"]).decode() == "root:pässword"
    assert holder.set_token(None) is True
    assert (holder.generation, holder.has_token) == (2, False)
    assert "authorization" not in dict(holder.metadata())


def test_a_call_never_sees_half_of_a_rotation() -> None:
    holder = TokenHolder(SecretText("0:0"))
    known = {base64.b64encode(f"{n}:{n}".encode()).decode() for n in range(300)}
    seen: set[str | bytes] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.add(dict(holder.metadata())["authorization"])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(300):
        holder.set_token(SecretText(f"{n}:{n}"))
        holder.identifier = n
    over.set()
    for reader in readers:
        reader.join()
    assert seen <= known


def test_the_token_shows_nowhere() -> None:
    holder = TokenHolder(SecretText(TOKEN), db_name="analytics")
    shown = f"{holder!r} {holder} {[getattr(holder, name) for name in TokenHolder.__slots__]}"
    assert "canary" not in shown
    assert ENCODED not in shown
    assert "analytics" in repr(holder)
    assert "no token" in repr(TokenHolder())


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_holder_cannot_be_carried_off(take: object) -> None:
    assert callable(take)
    with pytest.raises(TypeError):
        take(TokenHolder(SecretText(TOKEN)))
