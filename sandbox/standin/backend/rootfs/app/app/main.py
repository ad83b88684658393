"""The API process: start-up refusals, middleware and routes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from app.api import admin, auth, media, payments, public, shipping
from app.core import runtime
from app.core.config import settings
from app.core.dependencies import CodedError
from app.core.sentry import init_sentry
from app.core.startup_checks import validate_production_settings
from app.db import session
from app.middleware.stack import Audit, Backpressure, Maintenance, RequestLog, SecurityHeaders
from app.services import leader_lock, theme

logger = logging.getLogger("uvicorn.error")

init_sentry(settings)

app = FastAPI(title="momentstudio stand-in", version=settings.app_version)

# Each call wraps what was there before, so the list of contract 3.2 stands here from its end.
app.add_middleware(
    CORSMiddleware,
    allow_origins=settings.cors_origins,
    allow_methods=settings.cors_allow_methods,
    allow_headers=settings.cors_allow_headers,
    allow_credentials=True,
)
app.add_middleware(SecurityHeaders, settings=settings)
app.add_middleware(Maintenance, state=runtime.maintenance, bypass_token=settings.maintenance_bypass_token)
app.add_middleware(Backpressure, limit=settings.max_concurrent_requests)
app.add_middleware(Audit, payload=settings.audit_log_request_payload)
app.add_middleware(RequestLog, log_json=settings.log_json)

api = APIRouter(prefix="/api/v1")
for module in (public, auth, payments, shipping, admin, media):
    api.include_router(module.router)
app.include_router(api)
app.mount("/media", StaticFiles(directory=settings.media_root, check_dir=False), name="media")


@app.exception_handler(CodedError)
async def coded_error(_: Request, error: CodedError) -> JSONResponse:
    """Puts the code beside the detail, where scripts look for it (contract 3.4)."""
    return JSONResponse({"detail": error.detail, "code": error.code}, status_code=error.status)


@app.on_event("startup")
async def startup() -> None:
    """Refuses bad production settings, then tolerates a database that is away or unmigrated."""
    validate_production_settings(settings)
    Path(settings.media_root).mkdir(parents=True, exist_ok=True)
    Path(settings.private_media_root).mkdir(parents=True, exist_ok=True)
    await theme.seed_default()
    app.state.schedulers = leader_lock.start([name for name, on in (
        ("fx_refresh", settings.fx_refresh_enabled),
        ("admin_reports", settings.admin_reports_scheduler_enabled),
        ("account_deletion", settings.account_deletion_scheduler_enabled),
        ("order_expiration", settings.order_pending_payment_expiry_enabled),
        ("media_usage_reconcile", settings.media_usage_reconcile_enabled),
        ("sameday", settings.sameday_mirror_enabled),
    ) if on])


@app.on_event("shutdown")
async def shutdown() -> None:
    """Gives the side connection and the pool back."""
    for scheduler in app.state.schedulers:
        scheduler.cancel()
    await asyncio.gather(*app.state.schedulers, return_exceptions=True)
    if session.engine is not None:
        await session.engine.dispose()
