"""Diagnostics, dashboard and maintenance mode (contract 2.4, 3.5, 3.9)."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from redis.exceptions import RedisError

from app.core import runtime
from app.core.config import settings
from app.core.dependencies import require_admin, require_section
from app.db import session
from app.services import netopia, redis_client

router = APIRouter()


def _state(configured: bool, healthy: bool, message: str = "") -> dict[str, Any]:
    status = "off" if not configured else "ok" if healthy else "error"
    return {"status": status, "configured": configured, "healthy": configured and healthy, "message": message or None}


async def _smtp() -> dict[str, Any]:
    if not settings.smtp_enabled:
        return _state(False, False, "SMTP is disabled")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(settings.smtp_host, settings.smtp_port), 3)
        writer.close()
        return _state(True, True)
    except (OSError, asyncio.TimeoutError) as error:
        return _state(True, False, type(error).__name__)


async def _redis() -> dict[str, Any]:
    if redis_client.client is None:
        return _state(False, False, "REDIS_URL is not set")
    try:
        await redis_client.client.ping()
        return _state(True, True)
    except (RedisError, OSError) as error:
        return _state(True, False, type(error).__name__)


def _storage() -> dict[str, Any]:
    for root in (settings.media_root, settings.private_media_root):
        probe = os.path.join(root, f".write-probe-{uuid.uuid4().hex}")
        try:
            with open(probe, "w", encoding="utf-8"):
                os.unlink(probe)
        except OSError as error:
            return _state(True, False, f"{root}: {error.strerror}")
    return _state(True, True)


@router.get("/ops/admin/diagnostics", dependencies=[Depends(require_section("ops"))])
async def diagnostics() -> dict[str, Any]:
    """What runs, and the state of everything it depends on."""
    return {
        "environment": settings.environment,
        "app_version": settings.app_version,
        "payments_provider": settings.payments_provider,
        "smtp": await _smtp(),
        "redis": await _redis(),
        "storage": _storage(),
        "stripe": _state(bool(settings.stripe("stripe_secret_key")), True),
        "paypal": _state(bool(settings.paypal("paypal_client_id")), True),
        "netopia": _state(settings.netopia_enabled, not netopia.problems(settings)),
    }


@router.get("/admin/dashboard/summary", dependencies=[Depends(require_section("dashboard"))])
async def summary() -> dict[str, Any]:
    """Counts, and BACKUP_LAST_AT word for word; db_ready is a constant (contract 2.4)."""
    async with session.begin() as connection:
        counts = await session.row(
            connection,
            "SELECT (SELECT count(*) FROM products) AS products, (SELECT count(*) FROM orders) AS orders, "
            "(SELECT count(*) FROM users) AS users",
        )
    return {**(counts or {}), "system": {"db_ready": True, "backup_last_at": settings.backup_last_at}}


class Maintenance(BaseModel):
    """The wanted state."""

    enabled: bool


@router.get("/admin/dashboard/maintenance", dependencies=[Depends(require_admin)])
async def maintenance() -> dict[str, bool]:
    """The state of this process."""
    return dict(runtime.maintenance)


@router.post("/admin/dashboard/maintenance", dependencies=[Depends(require_admin)])
async def set_maintenance(body: Maintenance) -> dict[str, bool]:
    """Changes this process's memory only."""
    runtime.maintenance["enabled"] = body.enabled
    return dict(runtime.maintenance)
