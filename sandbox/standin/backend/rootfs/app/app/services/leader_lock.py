"""A session advisory lock for each scheduler, held for life on one side connection (contract 3.6).

The schedulers of a process share the one connection, so that one of them runs and the others wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import zlib

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import session

logger = logging.getLogger("uvicorn.error")

RETRY_SECONDS = 45


def start(names: list[str]) -> list[asyncio.Task[None]]:
    """Starts the schedulers of this process, in their order of precedence."""
    side = session.make_engine(pool_size=1, max_overflow=0)
    if side is None or not names:
        return []
    holders = [asyncio.create_task(hold(side, name)) for name in names]
    return [*holders, asyncio.create_task(dispose(side))]


async def dispose(side: AsyncEngine) -> None:
    """Gives the connection back when it is cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        await side.dispose()


async def hold(side: AsyncEngine, name: str) -> None:
    """Tries for the lock until cancelled; keeps it while the connection lives."""
    key = zlib.crc32(name.encode())
    while True:
        try:
            async with side.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                if await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
                    logger.info("leader_lock_acquired %s", name)
                    while await connection.scalar(text("SELECT 1")) == 1:
                        await asyncio.sleep(RETRY_SECONDS)
                logger.info("leader_lock_failed %s", name)
        except (SQLAlchemyError, OSError) as error:
            logger.warning("leader_lock_failed %s: %s", name, type(error).__name__)
        await asyncio.sleep(RETRY_SECONDS)
