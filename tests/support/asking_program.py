"""Tests the profiles that its arguments name, and connects to each, with threads and awaited; run by its text.

Prints of each alias its report, the stage and the code of the failure, and what came of the two ways to connect.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import milvus_profiles as mp

Outcome = tuple[str, int, str, str | None]
"""The code, the exit status, the message and the remedy."""


def came_of(error: mp.MilvusProfilesError) -> Outcome:
    return error.code, error.exit_status, error.message, error.hint


def ask(alias: str) -> dict[str, Any]:
    report = mp.diagnose(alias)
    outcome: Outcome = "ok", 0, "", None
    try:
        with mp.connect(alias) as connection:
            connection.ping()
    except mp.MilvusProfilesError as error:
        outcome = came_of(error)
    failed = report.failure
    failure = (failed.name, failed.code) if failed else (None, "ok")
    return {"report": report.as_json(), "failure": failure, "connect": outcome}


async def awaited(alias: str) -> Outcome:
    try:
        async with await mp.aio.connect(alias) as connection:
            await connection.ping()
    except mp.MilvusProfilesError as error:
        return came_of(error)
    return "ok", 0, "", None


async def all_of(aliases: list[str]) -> list[Outcome]:
    return await asyncio.gather(*map(awaited, aliases))


aliases = sys.argv[1:]
with ThreadPoolExecutor(8) as workers:
    asked = list(workers.map(ask, aliases))
told = zip(aliases, asked, asyncio.run(all_of(aliases)))  # noqa: B905
print(json.dumps({alias: {**found, "aio": outcome} for alias, found, outcome in told}))
