"""The Redis connection and its keys (contract 5)."""

from __future__ import annotations

import redis.asyncio as redis

from app.core.config import settings

QUEUE = "media:jobs:queue"
HEARTBEAT_PREFIX = "media:workers:heartbeat:"


def connect() -> "redis.Redis | None":
    """Returns a client, or None when REDIS_URL is unset or empty: the application then degrades."""
    if not settings.redis_url:
        return None
    return redis.from_url(
        settings.redis_url, decode_responses=True, socket_connect_timeout=3, socket_timeout=20
    )


client = connect()
