"""The media worker (contract 5): `python -m app.workers.media_worker`.

It installs no SIGTERM handler, so as PID 1 it survives the signal; it runs no production checks;
with Redis it takes ids from the list only, without REDIS_URL it polls the table.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import sys
import time
import uuid
from typing import Any

from PIL import Image, UnidentifiedImageError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.core.config import settings
from app.db import session
from app.services import media, redis_client

logger = logging.getLogger("app.media_worker")

HEARTBEAT_SECONDS = 15
POP_SECONDS = 3
SWEEP_SECONDS = 30
MAX_ATTEMPTS = 3
WORKER_ID = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

Variant = tuple[str, str, int, int, int]


def make_variants(asset: dict[str, Any]) -> list[Variant]:
    """Writes the scaled copies of an image beside its original's root."""
    made: list[Variant] = []
    target = media.variant_dir(asset)
    target.mkdir(parents=True, exist_ok=True)
    with Image.open(media.original_path(asset)) as original:
        if original.width * original.height > settings.upload_image_max_pixels:
            raise ValueError("image has too many pixels")
        for profile, width in media.PROFILES.items():
            copy = original.convert("RGB")
            copy.thumbnail((width, width * 4))
            path = target / f"{profile}.jpg"
            partial = path.with_suffix(".partial")
            copy.save(partial, format="JPEG", quality=85)
            os.replace(partial, path)
            key = f"variants/{asset['id']}/{profile}.jpg"
            made.append((profile, key, copy.width, copy.height, path.stat().st_size))
    return made


async def process(job_id: uuid.UUID) -> None:
    """Claims a queued job, does it and records the outcome; another state is left alone."""
    async with session.begin() as connection:
        job = await session.row(
            connection,
            "UPDATE media_jobs SET status = 'processing', started_at = now(), attempt = attempt + 1 "
            "WHERE id = :id AND status = 'queued' RETURNING *",
            id=job_id,
        )
    if job is None:
        logger.info("media_job_skipped %s", job_id)
        return
    try:
        async with session.begin() as connection:
            # The lock keeps approve, reject and trash from moving the files in the meantime.
            asset = await session.row(
                connection, "SELECT * FROM media_assets WHERE id = :id FOR UPDATE", id=job["asset_id"]
            )
            if asset is None:
                raise ValueError("asset is gone")
            for profile, key, width, height, size in make_variants(asset):
                await session.row(
                    connection,
                    "INSERT INTO media_variants (id, asset_id, profile, storage_key, width, height, size_bytes) "
                    "VALUES (:id, :asset, :profile, :key, :width, :height, :size) "
                    "ON CONFLICT (asset_id, profile) DO UPDATE SET storage_key = excluded.storage_key, "
                    "width = excluded.width, height = excluded.height, size_bytes = excluded.size_bytes",
                    id=uuid.uuid4(), asset=asset["id"], profile=profile, key=key, width=width, height=height, size=size,
                )
            await session.row(
                connection,
                "UPDATE media_jobs SET status = 'completed', completed_at = now(), error_message = NULL WHERE id = :id",
                id=job_id,
            )
        logger.info("media_job_completed %s", job_id)
    except (OSError, ValueError, UnidentifiedImageError) as error:
        status = "dead_letter" if job["attempt"] >= MAX_ATTEMPTS else "failed"
        async with session.begin() as connection:
            await session.row(
                connection,
                "UPDATE media_jobs SET status = :status, completed_at = now(), error_message = :error WHERE id = :id",
                status=status, error=f"{type(error).__name__}: {error}"[:500], id=job_id,
            )
        logger.warning("media_job_%s %s", status, job_id)


async def next_job() -> uuid.UUID | None:
    """Waits a few seconds for an id: from the list with Redis, from the table without."""
    if redis_client.client is not None:
        popped = await redis_client.client.blpop(redis_client.QUEUE, timeout=POP_SECONDS)
        return uuid.UUID(popped[1]) if popped else None
    async with session.begin() as connection:
        job = await session.row(
            connection, "SELECT id FROM media_jobs WHERE status = 'queued' ORDER BY created_at LIMIT 1"
        )
    if job is None:
        await asyncio.sleep(POP_SECONDS)
        return None
    return job["id"]


async def sweep() -> None:
    """Queues failed jobs again. Only `failed`: lost `queued` and `processing` rows stay (contract 5)."""
    async with session.begin() as connection:
        jobs = await session.rows(
            connection,
            "UPDATE media_jobs SET status = 'queued' WHERE status = 'failed' AND attempt < :limit "
            "AND completed_at < now() - interval '30 seconds' RETURNING id",
            limit=MAX_ATTEMPTS,
        )
    for job in jobs:
        await media.push(job["id"])


async def beat() -> None:
    """Rewrites the heartbeat file and, with Redis, the heartbeat key."""
    body = json.dumps({
        "worker_id": WORKER_ID,
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "app_version": settings.app_version,
        "last_seen_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "timestamp": time.time(),
    })
    partial = f"{settings.media_dam_worker_heartbeat_file}.partial"
    with open(partial, "w", encoding="utf-8") as out:
        out.write(body)
    os.replace(partial, settings.media_dam_worker_heartbeat_file)
    if redis_client.client is not None:
        key = f"{redis_client.HEARTBEAT_PREFIX}{WORKER_ID}"
        await redis_client.client.set(key, body, ex=settings.media_dam_worker_heartbeat_ttl_seconds)


async def run() -> None:
    """Works for ever: heartbeat between jobs, so that a long job delays it (contract 5)."""
    last_beat = last_sweep = float("-inf")
    while True:
        try:
            if time.monotonic() - last_beat >= HEARTBEAT_SECONDS:
                last_beat = time.monotonic()
                await beat()
            if time.monotonic() - last_sweep >= SWEEP_SECONDS:
                last_sweep = time.monotonic()
                await sweep()
            job_id = await next_job()
            if job_id is not None:
                await process(job_id)
        except (RedisError, SQLAlchemyError, session.DatabaseUnavailable, OSError, ValueError) as error:
            logger.warning("media_worker_error %s: %s", type(error).__name__, str(error)[:200])
            await asyncio.sleep(POP_SECONDS)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logger.info("media_worker_started %s", WORKER_ID)
    asyncio.run(run())
