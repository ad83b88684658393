"""Lockers and the Sameday mirror (contract 3.7). The mirror's source is never reachable here."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter, Depends, HTTPException

from app.core.config import settings
from app.core.dependencies import require_section
from app.db import session

router = APIRouter()

PLAYWRIGHT_ERROR = "Playwright script missing: /frontend/scripts/fetch-sameday-lockers.mjs"


async def _snapshot() -> dict[str, Any]:
    async with session.begin() as connection:
        total = await session.row(connection, "SELECT count(*) AS n FROM sameday_lockers")
        last = await session.row(
            connection, "SELECT max(finished_at) AS at FROM sameday_sync_runs WHERE status = 'success'"
        )
    at = last["at"] if last else None
    age = int((datetime.now(timezone.utc) - at).total_seconds()) if at else None
    return {
        "provider": "sameday",
        "total_lockers": total["n"] if total else 0,
        "last_success_at": at,
        "stale": age is None or age > settings.sameday_mirror_stale_after_seconds,
        "stale_age_seconds": age,
    }


@router.get("/shipping/lockers/cities")
async def cities(provider: str) -> dict[str, Any]:
    """Cities of the mirror and its age; the simplest probe of it."""
    if provider != "sameday":
        raise HTTPException(400, "Unsupported provider")
    async with session.begin() as connection:
        items = await session.rows(
            connection, "SELECT city, county, count(*) AS lockers FROM sameday_lockers GROUP BY 1, 2 ORDER BY 1, 2"
        )
    return {"items": items, "snapshot": await _snapshot()}


@router.get("/shipping/lockers")
async def lockers(provider: str, lat: float, lng: float) -> list[dict[str, Any]]:
    """Lockers near a point; 503 while the mirror is empty."""
    async with session.begin() as connection:
        items = await session.rows(connection, "SELECT * FROM sameday_lockers ORDER BY id LIMIT 50")
    if not items:
        raise HTTPException(503, "Sameday locker mirror is not initialized")
    return items


@router.get("/admin/shipping/sameday-sync/status", dependencies=[Depends(require_section("ops"))])
async def sync_status() -> dict[str, Any]:
    """State of the mirror and its latest run."""
    async with session.begin() as connection:
        latest = await session.row(connection, "SELECT * FROM sameday_sync_runs ORDER BY started_at DESC LIMIT 1")
    return {
        **await _snapshot(),
        "last_error": latest["error_message"] if latest else None,
        "challenge_failure_streak": 0,
        "schema_drift_detected": False,
        "last_schema_drift_at": None,
        "canary_alert_codes": [],
        "canary_alert_messages": [],
        "latest_run": latest,
    }


@router.get("/admin/shipping/sameday-sync/runs", dependencies=[Depends(require_section("ops"))])
async def sync_runs(page: int = 1, limit: int = 20) -> dict[str, Any]:
    """Runs, newest first."""
    async with session.begin() as connection:
        total = await session.row(connection, "SELECT count(*) AS n FROM sameday_sync_runs")
        items = await session.rows(
            connection, "SELECT * FROM sameday_sync_runs ORDER BY started_at DESC LIMIT :limit OFFSET :offset",
            limit=limit, offset=(max(page, 1) - 1) * limit,
        )
    return {"items": items, "meta": {"page": page, "limit": limit, "total": total["n"] if total else 0}}


@router.post("/admin/shipping/sameday-sync/run", dependencies=[Depends(require_section("ops"))])
async def sync_run() -> dict[str, Any]:
    """Fails as the published image does without a way out, and answers 200 all the same."""
    async with session.begin() as connection:
        run = await session.row(
            connection,
            "INSERT INTO sameday_sync_runs (id, status, finished_at, error_message) "
            "VALUES (:id, 'failed', now(), :error) RETURNING *",
            id=uuid.uuid4(), error=PLAYWRIGHT_ERROR,
        )
    return run or {}
