"""The default theme row (contract 4.2)."""

from __future__ import annotations

import logging
import uuid

from sqlalchemy.exc import SQLAlchemyError

from app.db import session

logger = logging.getLogger("uvicorn.error")


async def seed_default() -> None:
    """Adds the default theme when it is missing; a schema without the table earns a warning only."""
    try:
        async with session.begin() as connection:
            await session.row(
                connection,
                "INSERT INTO themes (id, slug, tokens) VALUES (:id, 'default', CAST('{}' AS jsonb)) "
                "ON CONFLICT (slug) DO NOTHING",
                id=uuid.uuid4(),
            )
    except (SQLAlchemyError, session.DatabaseUnavailable, OSError) as error:
        logger.warning("theme_seed_skipped: %s", type(error).__name__)
