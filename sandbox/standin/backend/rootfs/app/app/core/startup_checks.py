"""What the API process refuses in production (contract 2.2). Nothing else calls this."""

from __future__ import annotations

from app.core.config import Settings
from app.services import netopia


def production_problems(settings: Settings) -> list[str]:
    """Returns one line per violated row of the table, in its order; empty outside production."""
    if not settings.is_production:
        return []
    bad: list[str] = []
    if len(settings.secret_key) < 32 or settings.secret_key == "dev-secret-key":
        bad.append("SECRET_KEY must be set to at least 32 characters")
    if settings.maintenance_bypass_token.strip() in ("", "bypass-token"):
        bad.append("MAINTENANCE_BYPASS_TOKEN must be set")
    if settings.content_preview_token.strip() in ("", "preview-token"):
        bad.append("CONTENT_PREVIEW_TOKEN must be set")
    if not settings.secure_cookies:
        bad.append("SECURE_COOKIES must be enabled")
    if not (settings.sentry_dsn or "").strip():
        bad.append("SENTRY_DSN must be set")
    if "localhost" in settings.frontend_origin or "127.0.0.1" in settings.frontend_origin:
        bad.append("FRONTEND_ORIGIN must not point at localhost")
    if settings.payments_provider.strip().lower() == "mock":
        bad.append("PAYMENTS_PROVIDER must not be mock")
    if settings.cookie_samesite.strip().lower() not in ("lax", "strict", "none"):
        bad.append("COOKIE_SAMESITE must be lax, strict or none")
    if settings.smtp_enabled and not ((settings.smtp_host or "").strip() and (settings.smtp_from_email or "").strip()):
        bad.append("SMTP_HOST and SMTP_FROM_EMAIL must be set when SMTP_ENABLED=1")
    if (
        settings.captcha_enabled
        and settings.captcha_provider.strip().lower() == "turnstile"
        and not (settings.turnstile_secret_key or "").strip()
    ):
        bad.append("TURNSTILE_SECRET_KEY must be set when CAPTCHA_ENABLED=1")
    if settings.netopia_enabled:
        bad.extend(netopia.problems(settings))
    if settings.stripe_is_live and (settings.stripe("stripe_secret_key") or "").startswith("sk_test"):
        bad.append("STRIPE_SECRET_KEY must not be a test key when STRIPE_ENV is live")
    return bad


def validate_production_settings(settings: Settings) -> None:
    """Raises RuntimeError naming every problem at once."""
    bad = production_problems(settings)
    if bad:
        raise RuntimeError("Invalid production configuration:\n- " + "\n- ".join(bad))
