"""Files of media assets and the queue of their jobs (contract 5)."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.config import settings
from app.db import session
from app.services import redis_client

PROFILES = {"thumb-320": 320, "web-640": 640}


def public_root() -> Path:
    """Returns uploads/, served at /media."""
    return Path(settings.media_root)


def private_root() -> Path:
    """Returns private_uploads/, never served as static files."""
    return Path(settings.private_media_root)


def is_public(asset: dict[str, Any]) -> bool:
    """Only assets that are public and approved live under uploads/."""
    return asset["visibility"] == "public" and asset["status"] == "approved"


def root_of(asset: dict[str, Any]) -> Path:
    """Returns the root that an asset in this state belongs under."""
    return public_root() if is_public(asset) else private_root()


def original_path(asset: dict[str, Any]) -> Path:
    """Returns where the original of an asset in this state belongs."""
    return root_of(asset) / asset["storage_key"]


def variant_dir(asset: dict[str, Any]) -> Path:
    """Returns the directory of the variants of an asset in this state."""
    return root_of(asset) / "variants" / str(asset["id"])


def _move(source: Path, target: Path) -> None:
    if source == target or not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(source, target)
    except OSError:
        # Across filesystems a rename is refused; the application copies then.
        shutil.move(str(source), str(target))
    try:
        source.parent.rmdir()
    except OSError:
        return


def move_files(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Moves original and variants from where one state puts them to where the next one does."""
    _move(variant_dir(before), variant_dir(after))
    _move(original_path(before), original_path(after))


def remove_files(asset: dict[str, Any]) -> None:
    """Removes original and variants."""
    original_path(asset).unlink(missing_ok=True)
    shutil.rmtree(variant_dir(asset), ignore_errors=True)


async def enqueue(connection: AsyncConnection, asset_id: uuid.UUID, job_type: str) -> uuid.UUID:
    """Writes the job row, which is the truth; push() follows after the commit."""
    job_id = uuid.uuid4()
    await session.row(
        connection,
        "INSERT INTO media_jobs (id, asset_id, job_type, status) VALUES (:id, :asset, :type, 'queued')",
        id=job_id, asset=asset_id, type=job_type,
    )
    return job_id


async def push(job_id: uuid.UUID) -> None:
    """Announces a committed job. Raises when Redis is configured but down (contract 5)."""
    if redis_client.client is not None:
        await redis_client.client.rpush(redis_client.QUEUE, str(job_id))
