"""A FastAPI application on the selected profile: one connection, opened when it starts and given back when it ends.

uvicorn app:app
"""

from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

import milvus_profiles as mp


@asynccontextmanager
async def lifespan(app: FastAPI):
    # A server that is starting too is waited for; one that cannot be reached keeps the application from starting.
    with mp.connect(wait_ready=30) as connection:
        app.state.milvus = connection
        yield


app = FastAPI(lifespan=lifespan)


def milvus(request: Request) -> mp.Connection:
    return request.app.state.milvus


Milvus = Annotated[mp.Connection, Depends(milvus)]


@app.get("/collections")
def collections(connection: Milvus) -> list[str]:  # not async: FastAPI runs it in a thread, so it may block
    return connection.client().list_collections()


@app.get("/healthz")
def healthz(connection: Milvus) -> dict[str, float]:
    try:
        return {"seconds": connection.ping()}
    except mp.MilvusProfilesError as error:
        raise HTTPException(503, error.message) from None
