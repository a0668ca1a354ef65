"""Health: whether the process answers, and whether what it needs does."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """Answers as long as the process runs; it asks nothing else."""
    return {"status": "ok"}
