"""Media assets of the admin area (contract 3.8, 5)."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Query, UploadFile
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel

from app.core import security
from app.core.config import settings
from app.core.dependencies import User, require_section
from app.db import session
from app.services import media, redis_client

router = APIRouter(prefix="/content/admin/media")
CONTENT = [Depends(require_section("content"))]

CHUNK = 1 << 20
SAFE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


async def _asset(connection: Any, asset_id: uuid.UUID, lock: bool = False) -> dict[str, Any]:
    found = await session.row(
        connection, "SELECT * FROM media_assets WHERE id = :id" + (" FOR UPDATE" if lock else ""), id=asset_id
    )
    if found is None:
        raise HTTPException(404, "Asset not found")
    return found


async def _shown(connection: Any, asset: dict[str, Any]) -> dict[str, Any]:
    variants = await session.rows(
        connection,
        "SELECT profile, storage_key, width, height, size_bytes FROM media_variants WHERE asset_id = :id ORDER BY profile",
        id=asset["id"],
    )
    public = media.is_public(asset)
    expires = int(time.time()) + settings.media_private_preview_ttl_seconds
    signature = security.sign(f"preview:{asset['id']}:{expires}".encode())
    preview = f"/api/v1/content/admin/media/assets/{asset['id']}/preview?exp={expires}&sig={signature}"
    return {
        **asset,
        "public_url": f"/media/{asset['storage_key']}" if public else None,
        "preview_url": preview,
        "variants": [
            {**item, "public_url": f"/media/{item['storage_key']}" if public else None} for item in variants
        ],
    }


@router.get("/assets", dependencies=CONTENT)
async def assets(
    q: str = "",
    asset_type: str = "",
    status: str = "",
    visibility: str = "",
    include_trashed: bool = False,
    created_from: datetime | None = None,
    created_to: datetime | None = None,
    page: int = Query(1, ge=1),
    limit: int = Query(24, ge=1, le=200),
) -> dict[str, Any]:
    """Lists assets, newest first."""
    where, params = ["true"], {}
    for column, value in (("asset_type", asset_type), ("status", status), ("visibility", visibility)):
        if value:
            where.append(f"{column} = :{column}")
            params[column] = value
    if q:
        where.append("original_filename ILIKE :q")
        params["q"] = f"%{q}%"
    if created_from:
        where.append("created_at >= :created_from")
        params["created_from"] = created_from
    if created_to:
        where.append("created_at <= :created_to")
        params["created_to"] = created_to
    if not include_trashed and status != "trashed":
        where.append("status <> 'trashed'")
    condition = " AND ".join(where)
    async with session.begin() as connection:
        counted = await session.row(connection, f"SELECT count(*) AS n FROM media_assets WHERE {condition}", **params)
        found = await session.rows(
            connection,
            f"SELECT * FROM media_assets WHERE {condition} ORDER BY created_at DESC, id LIMIT :limit OFFSET :offset",
            **params, limit=limit, offset=(page - 1) * limit,
        )
        items = [await _shown(connection, asset) for asset in found]
    total = counted["n"] if counted else 0
    meta = {"total_items": total, "total_pages": max(1, -(-total // limit)), "page": page, "limit": limit}
    return {"items": items, "meta": meta}


@router.post("/assets/upload", status_code=201, dependencies=CONTENT)
async def upload(file: UploadFile = File(...), visibility: str = Form("private")) -> dict[str, Any]:
    """Stores the original, writes the asset and its job, and announces the job.

    The file sits in the public root for a moment, as in the real application (contract 5).
    """
    if visibility not in ("public", "private"):
        raise HTTPException(422, "visibility must be public or private")
    asset_id = uuid.uuid4()
    name = SAFE_NAME.sub("-", Path(file.filename or "upload").name)[-200:] or "upload"
    key = f"originals/{asset_id}/{name}"
    path = media.public_root() / key
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as out:
        while chunk := await file.read(CHUNK):
            size += len(chunk)
            if size > settings.admin_upload_max_bytes:
                path.unlink()
                raise HTTPException(413, "File too large")
            digest.update(chunk)
            out.write(chunk)
    mime = file.content_type or "application/octet-stream"
    async with session.begin() as connection:
        asset = await session.row(
            connection,
            "INSERT INTO media_assets (id, asset_type, status, visibility, storage_key, original_filename, mime_type, "
            "checksum_sha256, size_bytes) VALUES (:id, :type, 'draft', :visibility, :key, :name, :mime, :sum, :size) "
            "RETURNING *",
            id=asset_id, type=mime.split("/")[0][:20], visibility=visibility, key=key,
            name=(file.filename or name)[:255], mime=mime[:100], sum=digest.hexdigest(), size=size,
        )
        assert asset is not None
        media.move_files({**asset, "visibility": "public", "status": "approved"}, asset)
        job_id = await media.enqueue(connection, asset_id, "variants")
        shown = await _shown(connection, asset)
    await media.push(job_id)
    return {**shown, "job_id": job_id}


@router.get("/assets/{asset_id}", dependencies=CONTENT)
async def asset(asset_id: uuid.UUID) -> dict[str, Any]:
    """One asset."""
    async with session.begin() as connection:
        return await _shown(connection, await _asset(connection, asset_id))


async def _change(asset_id: uuid.UUID, **changes: Any) -> dict[str, Any]:
    """Applies a new state and moves the files with it before the commit."""
    async with session.begin() as connection:
        before = await _asset(connection, asset_id, lock=True)
        assignments = ", ".join(f"{column} = :{column}" for column in changes)
        after = await session.row(
            connection, f"UPDATE media_assets SET {assignments} WHERE id = :id RETURNING *", id=asset_id, **changes
        )
        assert after is not None
        media.move_files(before, after)
        return await _shown(connection, after)


class AssetPatch(BaseModel):
    """What may be changed in place."""

    visibility: str | None = None


@router.patch("/assets/{asset_id}", dependencies=CONTENT)
async def patch(asset_id: uuid.UUID, body: AssetPatch) -> dict[str, Any]:
    """Changes the visibility."""
    if body.visibility not in ("public", "private"):
        raise HTTPException(422, "visibility must be public or private")
    return await _change(asset_id, visibility=body.visibility)


async def _current(asset_id: uuid.UUID) -> dict[str, Any]:
    async with session.begin() as connection:
        return await _asset(connection, asset_id)


@router.post("/assets/{asset_id}/approve", dependencies=CONTENT)
async def approve(asset_id: uuid.UUID) -> dict[str, Any]:
    """Approves: a public asset moves to uploads/."""
    if (await _current(asset_id))["status"] == "trashed":
        raise HTTPException(409, "Asset is in the trash")
    return await _change(asset_id, status="approved")


@router.post("/assets/{asset_id}/reject", dependencies=CONTENT)
async def reject(asset_id: uuid.UUID) -> dict[str, Any]:
    """Rejects: the files move to private_uploads/."""
    if (await _current(asset_id))["status"] == "trashed":
        raise HTTPException(409, "Asset is in the trash")
    return await _change(asset_id, status="rejected")


def _key(folder: str, asset: dict[str, Any]) -> str:
    return f"{folder}/{asset['id']}/{Path(asset['storage_key']).name}"


@router.delete("/assets/{asset_id}", status_code=204, response_class=Response, dependencies=CONTENT)
async def trash(asset_id: uuid.UUID) -> Response:
    """Moves to private_uploads/trash/<id>/. Nothing ever purges it by itself (contract 5)."""
    before = await _current(asset_id)
    await _change(
        asset_id, status="trashed", storage_key=_key("trash", before), trashed_at=datetime.now().astimezone()
    )
    return Response(status_code=204)


@router.post("/assets/{asset_id}/restore", dependencies=CONTENT)
async def restore(asset_id: uuid.UUID) -> dict[str, Any]:
    """Takes an asset out of the trash: it is a draft then, and not public any more."""
    before = await _current(asset_id)
    if before["status"] != "trashed":
        async with session.begin() as connection:
            return await _shown(connection, before)
    return await _change(asset_id, status="draft", storage_key=_key("originals", before), trashed_at=None)


@router.post("/assets/{asset_id}/purge", status_code=204, response_class=Response)
async def purge(asset_id: uuid.UUID, user: User = Depends(require_section("content"))) -> Response:
    """Removes an asset and its files for good, in the trash or not; owners and admins only."""
    if user["role"] not in ("owner", "admin"):
        raise HTTPException(403, "Only owner/admin can purge assets")
    async with session.begin() as connection:
        asset = await _asset(connection, asset_id, lock=True)
        media.remove_files(asset)
        await session.row(connection, "DELETE FROM media_assets WHERE id = :id RETURNING id", id=asset_id)
    return Response(status_code=204)


@router.get("/assets/{asset_id}/preview")
async def preview(asset_id: uuid.UUID, exp: int, sig: str) -> FileResponse:
    """Streams the original for a signed URL; no bearer is asked (contract 3.8)."""
    expected = security.sign(f"preview:{asset_id}:{exp}".encode())
    if exp < time.time() or not hmac.compare_digest(expected.encode(), sig.encode()):
        raise HTTPException(403, "Invalid or expired preview")
    path = media.original_path(await _current(asset_id))
    if not path.is_file():
        raise HTTPException(404, "File not found")
    return FileResponse(path, headers={"Cache-Control": "private, no-store"})


@router.post("/jobs/{job_id}/retry", dependencies=CONTENT)
async def retry(job_id: uuid.UUID) -> dict[str, Any]:
    """Queues a job again, also one that a crash left `queued` or `processing` (contract 5)."""
    async with session.begin() as connection:
        job = await session.row(
            connection,
            "UPDATE media_jobs SET status = 'queued', error_message = NULL, started_at = NULL, completed_at = NULL "
            "WHERE id = :id RETURNING *",
            id=job_id,
        )
    if job is None:
        raise HTTPException(404, "Job not found")
    await media.push(job_id)
    return job


@router.get("/telemetry", dependencies=CONTENT)
async def telemetry() -> dict[str, Any]:
    """Queue and workers."""
    async with session.begin() as connection:
        counts = await session.rows(connection, "SELECT status, count(*) AS n FROM media_jobs GROUP BY status")
        oldest = await session.row(
            connection,
            "SELECT extract(epoch FROM now() - min(created_at))::int AS age FROM media_jobs WHERE status = 'queued'",
        )
        stale = await session.row(
            connection,
            "SELECT count(*) AS n FROM media_jobs WHERE status = 'processing' "
            "AND started_at < now() - make_interval(secs => :seconds)",
            seconds=max(60, settings.media_dam_processing_stale_seconds),
        )
    by_status = {item["status"]: item["n"] for item in counts}
    depth, workers = by_status.get("queued", 0), []
    if redis_client.client is not None:
        depth = await redis_client.client.llen(redis_client.QUEUE)
        async for key in redis_client.client.scan_iter(f"{redis_client.HEARTBEAT_PREFIX}*"):
            beat = await redis_client.client.get(key)
            if beat:
                workers.append(json.loads(beat))
    return {
        "queue_depth": depth,
        "online_workers": len(workers),
        "workers": workers,
        "stale_processing_count": stale["n"] if stale else 0,
        "dead_letter_count": by_status.get("dead_letter", 0),
        "oldest_queued_age_seconds": oldest["age"] if oldest else None,
        "status_counts": by_status,
    }
