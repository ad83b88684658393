"""Fixed-window rate limits, shared through Redis and kept in memory without it (contract 5, 10)."""

from __future__ import annotations

import time

from fastapi import HTTPException
from redis.exceptions import RedisError

from app.services import redis_client

_memory: dict[str, int] = {}


async def check(name: str, identity: str, limit: int, window_seconds: int) -> None:
    """Counts one request; raises 429 when the window is full."""
    window = int(time.time()) // window_seconds
    key = f"rate_limit:{name}:{identity}:{window}"
    count = None
    if redis_client.client is not None:
        try:
            count = await redis_client.client.incr(key)
            if count == 1:
                await redis_client.client.expire(key, window_seconds)
        except (RedisError, OSError):
            count = None
    if count is None:
        if len(_memory) > 10_000:
            _memory.clear()
        count = _memory[key] = _memory.get(key, 0) + 1
    if count > limit:
        raise HTTPException(429, "Too many requests", headers={"Retry-After": str(window_seconds)})
