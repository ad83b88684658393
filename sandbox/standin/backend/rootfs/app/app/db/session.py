"""The connection pool of a process (contract 8)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.core.config import settings


class DatabaseUnavailable(RuntimeError):
    """The process has no database that it can use."""


def make_engine(**kwargs: Any) -> AsyncEngine | None:
    """Creates an engine; asyncpg is the only driver, so `postgresql://` raises at import.

    The SQLite default of DATABASE_URL (contract 2.2) yields None: the API then starts and is
    never ready, which is enough to notice a forgotten DATABASE_URL.
    """
    if settings.database_url.startswith("sqlite"):
        return None
    return create_async_engine(settings.database_url, pool_pre_ping=True, **kwargs)


engine = make_engine(
    pool_size=5 if settings.db_pool_size is None else settings.db_pool_size,
    max_overflow=10 if settings.db_max_overflow is None else settings.db_max_overflow,
)


def begin() -> Any:
    """Returns a transaction as an async context manager that yields a connection."""
    if engine is None:
        raise DatabaseUnavailable("DATABASE_URL is not set")
    return engine.begin()


async def rows(connection: AsyncConnection, sql: str, **params: Any) -> list[dict[str, Any]]:
    """Runs a statement and returns its rows as dictionaries."""
    result = await connection.execute(text(sql), params)
    return [dict(row._mapping) for row in result] if result.returns_rows else []


async def row(connection: AsyncConnection, sql: str, **params: Any) -> dict[str, Any] | None:
    """Runs a statement and returns its first row, if any."""
    found = await rows(connection, sql, **params)
    return found[0] if found else None
