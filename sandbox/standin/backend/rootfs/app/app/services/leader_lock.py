"""A session advisory lock held for life on a side connection (contract 3.6).

Only the scheduler that wins at the defaults is kept: it costs each deployment one connection
besides the pool, and rules out transaction pooling, exactly as the real one does.
"""

from __future__ import annotations

import asyncio
import logging
import zlib

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.db import session

logger = logging.getLogger("uvicorn.error")

RETRY_SECONDS = 45


async def hold(name: str) -> None:
    """Tries for the lock until cancelled; keeps it while the connection lives."""
    side = session.make_engine(pool_size=1, max_overflow=0)
    if side is None:
        return
    key = zlib.crc32(name.encode())
    try:
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
    finally:
        await side.dispose()
