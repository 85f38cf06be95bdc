"""`connection_args`, where it is meant to be used: langchain-milvus on Milvus Lite and on a real server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import milvus_profiles as mp
from tests.support import layers
from tests.support.environment import coverage_variables
from tests.support.milvus import MilvusServer

PROJECT = Path(__file__).parents[1]
PROGRAM = (PROJECT / "tests/support/langchain_program.py").read_text()


def test_langchain_milvus_takes_the_arguments_of_a_profile(milvus_auth: MilvusServer, tmp_path: Path) -> None:
    python = layers.need_layer("langchain")
    (tmp_path / ".env").write_text("CANARY_OF_DOTENV=1\nhttps_proxy=http://evil.example\n")
    (tmp_path / "milvus.toml").write_text(
        f'[profiles.lite]\nuri = "./films.db"\n'
        f'[profiles.prod]\nuri = "{milvus_auth.uri}"\ndb_name = "cinema"\ntoken = "root:Milvus"\n'
    )
    (tmp_path / ".git").mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT), **coverage_variables()}
    admin = mp.connect(uri=milvus_auth.uri, token="root:Milvus", profiles=mp.load(env={})).client()
    admin.create_database("cinema")
    try:
        done = subprocess.run(
            [python, "-c", PROGRAM, "lite", "prod"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
    finally:
        admin.drop_database("cinema")
        admin.close()
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    seen = {"found": ["The Third Man"], "async": ["Stalker"], "ours": True, "shown": False}
    assert told["lite"] == {**seen, "in default": True}
    assert told["prod"] == {**seen, "in default": False}
    assert told["environment"] == []
