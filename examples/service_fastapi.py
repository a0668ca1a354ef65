"""A web service: each request is one small job, and the answer its results.

    longshore up --detach && longshore demo --keep
    MODEL=digits@production uvicorn examples.service_fastapi:app --workers 2
    curl -s localhost:8000/predict -H 'content-type: application/json' -d '[[0.1, ...]]'

What the service has taken is durable: if it takes too long, the caller gets the id of the job, and asks again.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import JsonValue

from longshore.producers import AsyncClient
from longshore.shared.errors import InvalidInput, JobFailed, QueueFull, ServiceUnavailable, UnknownJob, WaitTimeout

MODEL = os.environ.get("MODEL", "digits@production")
#: Seconds that a caller waits at most.
PATIENCE_S = float(os.environ.get("PATIENCE", "10"))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for each process, made after the fork, with its connections ready."""
    async with AsyncClient(producer="web") as client:
        await client.warm_up(MODEL)
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(rows: list[list[float]], request: Request) -> JSONResponse:
    """One output for each row; or status 202 and the id of the job, if it takes too long."""
    client: AsyncClient = request.app.state.client
    job = await client.infer(MODEL, np.asarray(rows, np.float32), timeout=60)
    try:
        await job.wait(PATIENCE_S)
    except WaitTimeout:
        return JSONResponse({"job": str(job.id)}, status_code=202)
    return JSONResponse({"job": str(job.id), "outputs": [row.output async for row in job.stream()]})


@app.get("/jobs/{id}")
async def answer(id: UUID, request: Request) -> JSONResponse:
    """The outputs of a job that was taken before."""
    client: AsyncClient = request.app.state.client
    job = await client.job(id)
    outputs: list[dict[str, JsonValue]] = [row.output async for row in job.stream()]
    return JSONResponse({"job": str(id), "state": await job.state(), "outputs": outputs})


@app.exception_handler(InvalidInput)
@app.exception_handler(QueueFull)
@app.exception_handler(ServiceUnavailable)
@app.exception_handler(JobFailed)
@app.exception_handler(UnknownJob)
async def refuse(_: Request, error: Exception) -> JSONResponse:
    """What is wrong, with the status that says whose turn it is."""
    status, wait = next((code for kind, code in STATUS.items() if isinstance(error, kind)), (500, None))
    headers = {} if wait is None else {"Retry-After": str(wait)}
    return JSONResponse({"error": str(error)}, status_code=status, headers=headers)


#: Status of each error, the special ones first, and the seconds after which to try again.
STATUS: dict[type[Exception], tuple[int, int | None]] = {
    QueueFull: (429, 5),
    ServiceUnavailable: (503, 5),
    UnknownJob: (404, None),
    InvalidInput: (422, None),
    JobFailed: (500, None),
}
