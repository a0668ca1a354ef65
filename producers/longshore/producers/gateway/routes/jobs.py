"""Jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.shared.ledger.gateway.tokens import Scope

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("/{id}")
async def show_job(id: str, caller: Annotated[Caller, needs(Scope.JOBS_READ)]) -> dict[str, str]:
    """A job of the caller's producer."""
    record = await (await caller.client.job(id)).record()
    return {"id": str(record.id), "state": record.state}
