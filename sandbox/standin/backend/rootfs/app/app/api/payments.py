"""Payment gateways as far as an operator meets them (contract 3.1, 9)."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from app.core.config import settings
from app.services import netopia

router = APIRouter(prefix="/payments")

TOLERANCE_SECONDS = 300


def _gateway(configured: bool, enabled: bool, reason: str) -> dict[str, Any]:
    usable = configured and enabled
    return {"configured": configured, "enabled": usable, "reason": None if usable else reason}


@router.get("/capabilities")
async def capabilities() -> dict[str, Any]:
    """Which gateways are configured; cash on delivery always is."""
    return {
        "payments_provider": settings.payments_provider,
        "stripe": _gateway(bool(settings.stripe("stripe_secret_key")), True, "missing_secret_key"),
        "paypal": _gateway(
            bool(settings.paypal("paypal_client_id") and settings.paypal("paypal_client_secret")),
            True, "missing_credentials",
        ),
        "netopia": _gateway(not netopia.problems(settings), settings.netopia_enabled, "disabled_or_incomplete"),
        "cod": {"configured": True, "enabled": True, "reason": None},
    }


def _stripe_signature_is_valid(header: str, body: bytes, secret: str) -> bool:
    fields = [part.split("=", 1) for part in header.split(",") if "=" in part]
    stamp = next((value for key, value in fields if key.strip() == "t"), "")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(expected.encode(), value.encode()) for key, value in fields if key.strip() == "v1")


@router.post("/webhook")
async def stripe_webhook(request: Request) -> dict[str, bool]:
    """Stripe: 500 without a webhook secret, 400 for a bad signature."""
    secret = settings.stripe("stripe_webhook_secret")
    if not secret:
        raise HTTPException(500, "Stripe webhook secret not configured")
    if not _stripe_signature_is_valid(request.headers.get("Stripe-Signature", ""), await request.body(), secret):
        raise HTTPException(400, "Invalid signature")
    return {"received": True}


@router.post("/paypal/webhook")
async def paypal_webhook(request: Request) -> dict[str, bool]:
    """PayPal: 500 without a webhook id, 400 without its headers, 502 as its API is never reachable here."""
    if not settings.paypal("paypal_webhook_id"):
        raise HTTPException(500, "PayPal webhook id not configured")
    if not request.headers.get("PayPal-Transmission-Sig"):
        raise HTTPException(400, "Missing PayPal signature headers")
    raise HTTPException(502, "PayPal verification failed")


@router.post("/netopia/webhook")
async def netopia_webhook(request: Request) -> dict[str, Any]:
    """Netopia: always 200, the outcome is in the body."""
    if not settings.netopia_enabled:
        return {"errorType": 2, "errorCode": 100, "errorMessage": "Netopia is disabled"}
    if not request.headers.get("Verification-token"):
        return {"errorType": 2, "errorCode": 101, "errorMessage": "Missing verification token"}
    return {"errorType": 2, "errorCode": 102, "errorMessage": "Verification failed"}
