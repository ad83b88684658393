"""Probes, SEO and public content (contract 3.1); GET only, so HEAD answers 405."""

from __future__ import annotations

import logging
import uuid
from typing import Any
from xml.sax.saxutils import escape

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError

from app.core.config import settings
from app.core.dependencies import client_ip
from app.db import session
from app.services import captcha, ratelimit

logger = logging.getLogger("uvicorn.error")
router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """Liveness: no dependency is touched."""
    return {"status": "ok"}


@router.get("/health/ready")
async def ready() -> dict[str, str]:
    """Readiness: SELECT 1 and nothing else, so an unmigrated database is ready."""
    try:
        async with session.begin() as connection:
            await session.row(connection, "SELECT 1")
    except Exception as error:
        logger.warning("readiness: %s", type(error).__name__)
        raise HTTPException(503, "Database not ready") from None
    return {"status": "ready"}


async def _products() -> list[dict[str, Any]]:
    async with session.begin() as connection:
        return await session.rows(
            connection,
            "SELECT id, slug, name, price, currency FROM products ORDER BY slug LIMIT 500",
        )


@router.get("/robots.txt", response_class=PlainTextResponse)
async def robots() -> str:
    """Points at the sitemap under FRONTEND_ORIGIN."""
    return f"User-agent: *\nAllow: /\nSitemap: {settings.frontend_origin.rstrip('/')}/sitemap.xml\n"


@router.get("/sitemap.xml")
async def sitemap() -> Response:
    """Lists pages and products in both languages."""
    origin = settings.frontend_origin.rstrip("/")
    paths = ["/", "/shop", "/about"] + [f"/products/{product['slug']}" for product in await _products()]
    urls = "".join(
        f"<url><loc>{escape(origin + path + suffix)}</loc></url>" for path in paths for suffix in ("", "?lang=ro")
    )
    body = f'<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
    return Response(body, media_type="application/xml")


@router.get("/feeds/products.json")
async def feed() -> dict[str, Any]:
    """The product feed."""
    origin = settings.frontend_origin.rstrip("/")
    items = [{**product, "link": f"{origin}/products/{product['slug']}"} for product in await _products()]
    return {"items": items}


@router.get("/products")
async def products() -> dict[str, Any]:
    """The catalogue."""
    items = await _products()
    return {"items": items, "meta": {"total_items": len(items), "page": 1, "limit": 500}}


@router.get("/theme")
async def theme() -> dict[str, Any]:
    """The tokens of the default theme; 500 while migration 0159 has not run."""
    async with session.begin() as connection:
        found = await session.row(connection, "SELECT slug, tokens, updated_at FROM themes WHERE slug = 'default'")
    if found is None:
        raise HTTPException(500, "No theme")
    return found


@router.get("/content/home.sections")
async def home_sections() -> dict[str, Any]:
    """The seeded home page block."""
    async with session.begin() as connection:
        found = await session.row(
            connection, "SELECT key, title, meta, updated_at FROM content_blocks WHERE key = 'home.sections'"
        )
    if found is None:
        raise HTTPException(404, "Content not found")
    return found


@router.get("/ops/banner", status_code=204)
async def banner() -> Response:
    """No banner is ever set."""
    return Response(status_code=204)


class Contact(BaseModel):
    """A message to support. client_reference lets a sender find its own row; it may be used once."""

    topic: str = Field("contact", max_length=40)
    name: str = Field(..., min_length=1, max_length=255)
    email: str = Field(..., max_length=255, regex=r"^[^@\s]+@[^@\s]+$")
    message: str = Field(..., min_length=1, max_length=10000)
    captcha_token: str | None = None
    client_reference: str | None = Field(None, min_length=1, max_length=100)


@router.post("/support/contact", status_code=201)
async def contact(body: Contact, request: Request) -> dict[str, Any]:
    """Writes one row per accepted request, with the client address as the application sees it."""
    address = client_ip(request)
    await ratelimit.check("support:contact", address or "-", settings.support_rate_limit_contact, 600)
    captcha.require(body.captcha_token)
    message_id = uuid.uuid4()
    try:
        async with session.begin() as connection:
            await session.row(
                connection,
                "INSERT INTO support_messages (id, topic, name, email, message, client_ip, client_reference) "
                "VALUES (:id, :topic, :name, :email, :message, :ip, :reference)",
                id=message_id, topic=body.topic, name=body.name, email=body.email, message=body.message,
                ip=address, reference=body.client_reference,
            )
    except IntegrityError:
        raise HTTPException(409, "client_reference was used before") from None
    return {"id": message_id, "client_reference": body.client_reference}


class Subscription(BaseModel):
    """A newsletter sign-up."""

    email: str = Field(..., max_length=255, regex=r"^[^@\s]+@[^@\s]+$")
    source: str | None = Field(None, max_length=64)
    captcha_token: str | None = None
    client_reference: str | None = Field(None, min_length=1, max_length=100)


@router.post("/newsletter/subscribe")
async def subscribe(body: Subscription, request: Request) -> dict[str, Any]:
    """Adds an address once; a repeated one is accepted and changes nothing."""
    limit = settings.newsletter_rate_limit_subscribe
    await ratelimit.check("newsletter:subscribe", client_ip(request) or "-", limit, 600)
    captcha.require(body.captcha_token)
    try:
        async with session.begin() as connection:
            added = await session.row(
                connection,
                "INSERT INTO newsletter_subscribers (id, email, source, client_reference) "
                "VALUES (:id, :email, :source, :reference) ON CONFLICT (email) DO NOTHING RETURNING id",
                id=uuid.uuid4(), email=body.email.lower(), source=body.source, reference=body.client_reference,
            )
    except IntegrityError:
        raise HTTPException(409, "client_reference was used before") from None
    return {"subscribed": True, "already_subscribed": added is None}
