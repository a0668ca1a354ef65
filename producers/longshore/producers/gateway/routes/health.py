"""Health: whether the process answers, and whether what it needs does."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from longshore.producers.gateway.state import gateway_of

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "ok"


class Ready(BaseModel):
    """For each service ``ok``, or what is wrong with it."""

    postgres: str
    redis: str
    store: str


@router.get("/livez")
async def livez() -> Alive:
    """Answers as long as the process runs; it asks nothing else."""
    return Alive()


@router.get("/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "Not ready"}})
async def readyz(request: Request) -> JSONResponse:
    """Whether Postgres, Redis and the store answer, each within a limit, and Postgres has the tables of this release.

    While the gateway stops, it is not ready.
    """
    gateway = gateway_of(request)
    services = await gateway.readiness.check()
    is_ready = all(each == "ok" for each in services.values()) and not gateway.admission.stopping.is_set()
    return JSONResponse(services, 200 if is_ready else 503)
