"""The one thing of the Sentry SDK that operations meet: it rejects a malformed DSN (contract 2.2)."""

from __future__ import annotations

from urllib.parse import urlsplit

from app.core.config import Settings


class BadDsn(ValueError):
    """The DSN cannot be parsed; its text is not repeated."""


def init_sentry(settings: Settings) -> None:
    """Checks the form of SENTRY_DSN when there is one. Nothing is ever sent."""
    dsn = (settings.sentry_dsn or "").strip()
    if not dsn:
        return
    parts = urlsplit(dsn)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadDsn("unsupported scheme or missing host in SENTRY_DSN")
    if not parts.username:
        raise BadDsn("missing public key in SENTRY_DSN")
    if not parts.path.rsplit("/", 1)[-1].isdigit():
        raise BadDsn("invalid project in SENTRY_DSN")
