"""State that lives in the memory of one process and dies with it (contract 3.5)."""

from __future__ import annotations

from app.core.config import settings

maintenance: dict[str, bool] = {"enabled": settings.maintenance_mode}
