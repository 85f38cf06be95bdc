"""A Celery worker on the selected profile.

Its processes are forked from one parent, and a gRPC connection does not survive a fork: each process opens its own, by
name, when it first needs it, and all of its tasks share that one.

celery --app worker worker
"""

import os

from celery import Celery
from celery.signals import worker_process_shutdown

import milvus_profiles as mp

app = Celery("films", broker=os.environ.get("CELERY_BROKER", "redis://localhost"))
app.conf.result_backend = os.environ.get("CELERY_RESULTS", "redis://localhost")


@app.task(autoretry_for=(mp.UnreachableError,), retry_backoff=True, max_retries=5)
def collections() -> list[str]:
    with mp.connect() as connection:  # opened once in a process; leaving the block only gives it back
        return connection.client().list_collections()


@app.task
def process_and_version() -> tuple[int, str]:
    with mp.connect() as connection:
        return os.getpid(), connection.server_version


@worker_process_shutdown.connect
def close(**_: object) -> None:
    mp.disconnect_all()
