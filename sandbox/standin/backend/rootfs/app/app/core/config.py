"""Settings as the real application reads them (contract 2.1, 2.3).

Process environment beats /app/.env beats the default; names are case-insensitive; everything
is read once, at import. A value of the wrong form aborts, and so does a key of /app/.env that
the application does not know. Where the contract names only a family (`FAN_API_*`), any key of
that family is accepted and kept as text.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import urlsplit

from dotenv import dotenv_values

ENV_FILE = Path(__file__).resolve().parents[2] / ".env"

TRUE = frozenset({"1", "true", "yes", "on", "y"})
FALSE = frozenset({"0", "false", "no", "off", "n"})

# Names that the contract gives in full: kind and default. "int?" treats an empty value as unset,
# which the contract grants to the two pool settings only.
FIELDS: dict[str, tuple[str, Any]] = {
    "environment": ("str", "local"),
    "app_version": ("str", "0.1.0"),
    "database_url": ("str", "sqlite+aiosqlite:///./app.db"),
    "db_pool_size": ("int?", None),
    "db_max_overflow": ("int?", None),
    "redis_url": ("str?", None),
    "secret_key": ("str", "dev-secret-key"),
    "maintenance_bypass_token": ("str", "bypass-token"),
    "content_preview_token": ("str", "preview-token"),
    "secure_cookies": ("bool", False),
    "cookie_samesite": ("str", "lax"),
    "sentry_dsn": ("str?", None),
    "sentry_send_default_pii": ("bool", True),
    "sentry_traces_sample_rate": ("float", 1.0),
    "sentry_profiles_sample_rate": ("float", 1.0),
    "sentry_enable_logs": ("bool", True),
    "sentry_log_level": ("str", "info"),
    "frontend_origin": ("str", "http://localhost:4200"),
    "public_base_url": ("str", "https://momentstudio.ro"),
    "site_name": ("str", "momentstudio"),
    "default_locale": ("str", "en"),
    "supported_locales": ("list", ["en", "ro"]),
    "cors_origins": ("list", ["http://localhost:4200", "http://localhost:4201"]),
    "cors_allow_methods": ("list", ["*"]),
    "cors_allow_headers": ("list", ["*"]),
    "csp_policy": ("str", "default-src 'none'; frame-ancestors 'none'"),
    "media_root": ("str", "uploads"),
    "private_media_root": ("str", "private_uploads"),
    "admin_mfa_required": ("bool", True),
    "admin_ip_allowlist": ("list", []),
    "admin_ip_denylist": ("list", []),
    "admin_ip_header": ("str?", None),
    "admin_ip_bypass_token": ("str?", None),
    "admin_ip_bypass_cookie_minutes": ("int", 30),
    "maintenance_mode": ("bool", False),
    "max_concurrent_requests": ("int", 100),
    "log_json": ("bool", False),
    "slow_query_threshold_ms": ("int", 500),
    "access_token_exp_minutes": ("int", 30),
    "refresh_token_exp_days": ("int", 7),
    "payments_provider": ("str", "mock"),
    "stripe_env": ("str", "sandbox"),
    "paypal_env": ("str", "sandbox"),
    "paypal_currency": ("str", "RON"),
    "netopia_enabled": ("bool", False),
    "netopia_env": ("str", "sandbox"),
    "netopia_jwt_alg": ("str", "RS512"),
    "netopia_ipn_max_age_seconds": ("int", 86400),
    "smtp_enabled": ("bool", False),
    "smtp_host": ("str?", "localhost"),
    "smtp_port": ("int", 1025),
    "smtp_username": ("str?", None),
    "smtp_password": ("str?", None),
    "smtp_use_tls": ("bool", False),
    "smtp_from_email": ("str?", None),
    "list_unsubscribe_mailto": ("str?", None),
    "admin_alert_email": ("str?", None),
    "error_alert_email": ("str?", None),
    "google_client_id": ("str?", None),
    "google_client_secret": ("str?", None),
    "google_redirect_uri": ("str?", None),
    "google_allowed_domains": ("list", []),
    "captcha_enabled": ("bool", False),
    "captcha_provider": ("str", "turnstile"),
    "turnstile_secret_key": ("str?", None),
    "webauthn_rp_id": ("str?", None),
    "webauthn_rp_name": ("str?", None),
    "webauthn_allowed_origins": ("list", []),
    "admin_upload_max_bytes": ("int", 536870912),
    "upload_image_max_width": ("int", 8192),
    "upload_image_max_height": ("int", 8192),
    "upload_image_max_pixels": ("int", 40_000_000),
    "media_private_preview_ttl_seconds": ("int", 600),
    "media_dam_worker_heartbeat_file": ("str", "/tmp/media-worker-heartbeat.json"),
    "media_dam_worker_heartbeat_ttl_seconds": ("int", 30),
    "media_dam_processing_stale_seconds": ("int", 600),
    "media_dam_trash_retention_days": ("int", 30),
    "sameday_mirror_stale_after_seconds": ("int", 30 * 86400),
    "lockers_use_overpass_fallback": ("bool", True),
    "fx_refresh_enabled": ("bool", False),
    "admin_reports_scheduler_enabled": ("bool", True),
    "account_deletion_scheduler_enabled": ("bool", True),
    "order_pending_payment_expiry_enabled": ("bool", True),
    "media_usage_reconcile_enabled": ("bool", True),
    "sameday_mirror_enabled": ("bool", True),
    "audit_hash_chain_enabled": ("bool", False),
    "audit_hash_chain_secret": ("str?", None),
    "audit_log_request_payload": ("bool", True),
    "backup_last_at": ("str?", None),
    "dev_safety_database_allow_hosts": ("list", ["localhost", "127.0.0.1", "db"]),
    # The contract gives the limits (section 10) but only the families of their names.
    "auth_rate_limit_login": ("int", 20),
    "auth_rate_limit_two_factor": ("int", 20),
    "auth_rate_limit_refresh": ("int", 60),
    "auth_rate_limit_register": ("int", 10),
    "support_rate_limit_contact": ("int", 20),
    "newsletter_rate_limit_subscribe": ("int", 30),
}

for _name, _envs in (
    ("stripe_secret_key", ("live", "sandbox", "test")),
    ("stripe_webhook_secret", ("live", "sandbox", "test")),
    ("stripe_publishable_key", ("live", "sandbox", "test")),
    ("paypal_client_id", ("live", "sandbox")),
    ("paypal_client_secret", ("live", "sandbox")),
    ("paypal_webhook_id", ("live", "sandbox")),
    ("netopia_api_key", ("live", "sandbox")),
    ("netopia_pos_signature", ("live", "sandbox")),
    ("netopia_public_key_pem", ("live", "sandbox")),
    ("netopia_public_key_path", ("live", "sandbox")),
):
    FIELDS[_name] = ("str?", None)
    for _env in _envs:
        FIELDS[f"{_name}_{_env}"] = ("str?", None)

FAMILIES = (
    "fan_api_", "sameday_api_", "sameday_mirror_", "media_dam_", "media_usage_reconcile_",
    "order_pending_payment_expiry_", "account_deletion_", "admin_reports_",
    "auth_rate_limit_", "orders_rate_limit_", "payments_rate_limit_", "support_rate_limit_",
    "newsletter_rate_limit_", "analytics_rate_limit_",
)


class SettingsError(ValueError):
    """Every setting that could not be read. As pydantic does, it repeats their values."""


class BadValue(ValueError):
    """A value that is of another type: pydantic's name of the problem and its sentence."""

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem


class Settings:
    """The values by lower-case name. Attributes are set once by load_settings."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the contract names no setting {name.upper()}")

    @property
    def is_production(self) -> bool:
        """Contract 2.2: only these two names switch the production checks on."""
        return self.environment.lower() in ("prod", "production")

    @property
    def stripe_is_live(self) -> bool:
        """Contract 2.3."""
        return self.stripe_env.lower() in ("live", "prod", "production")

    def by_env(self, name: str, env: str) -> str | None:
        """Returns NAME_ENV, else the legacy NAME; a `_placeholder` value counts as unset."""
        for key in (f"{name}_{env}", name):
            value = getattr(self, key, None)
            if value and not value.endswith("_placeholder"):
                return value
        return None

    def stripe(self, name: str) -> str | None:
        """Returns a Stripe setting of the selected environment."""
        if self.stripe_is_live:
            return self.by_env(name, "live")
        return self.by_env(name, "sandbox") or self.by_env(name, "test")

    def paypal(self, name: str) -> str | None:
        """Contract 2.3: PayPal is live only when the value is exactly `live`."""
        return self.by_env(name, "live" if self.paypal_env == "live" else "sandbox")

    def netopia(self, name: str) -> str | None:
        """Returns a Netopia setting of the selected environment."""
        return self.by_env(name, "live" if self.netopia_env.lower() == "live" else "sandbox")


def convert(name: str, kind: str, raw: str) -> Any:
    """Turns the text of one setting into its value or raises ValueError with the reason."""
    if kind in ("str", "str?"):
        return raw
    if kind == "bool":
        lowered = raw.strip().lower()
        if lowered in TRUE:
            return True
        if lowered in FALSE:
            return False
        raise BadValue("bool_parsing", "Input should be a valid boolean, unable to interpret input")
    if kind == "list":
        try:
            value = json.loads(raw)
        except json.JSONDecodeError as error:
            raise ValueError(f'error parsing value for field "{name}": want a JSON array ({error.msg})') from None
        if not isinstance(value, list):
            raise BadValue("list_type", "Input should be a valid list")
        return [str(item) for item in value]
    if kind == "int?" and raw == "":
        return None
    try:
        return float(raw) if kind == "float" else int(raw)
    except ValueError:
        number = "number" if kind == "float" else "integer"
        raise BadValue(
            f"{kind.rstrip('?')}_parsing", f"Input should be a valid {number}, unable to parse string as a {number}"
        ) from None


def complaint(name: str, problem: str, message: str, value: str | None) -> str:
    """Says what is wrong with a setting in the form of pydantic 2."""
    kind = "NoneType" if value is None else "str"
    return (
        f"{name}\n  {message} [type={problem}, input_value={value!r}, input_type={kind}]\n"
        f"    For further information visit https://errors.pydantic.dev/2.12/v/{problem}"
    )


def kind_of(name: str) -> str | None:
    """Returns how a setting is read, or None for a name that the application does not know."""
    if name in FIELDS:
        return FIELDS[name][0]
    if any(name.startswith(family) and name != family for family in FAMILIES):
        return "str"
    return None


def database_host(url: str) -> str | None:
    """Returns the host of a database URL; SQLite has none."""
    if url.startswith("sqlite"):
        return None
    return urlsplit(url).hostname


def load_settings(environ: Mapping[str, str], env_file: Path) -> Settings:
    """Reads all settings, reports every bad one together, then applies the development guard."""
    values: dict[str, Any] = {name: default for name, (_, default) in FIELDS.items()}
    raw: dict[str, str] = {}
    errors: list[str] = []
    if env_file.is_file():
        for key, text in dotenv_values(env_file, interpolate=False).items():
            name = key.lower()
            if kind_of(name) is None:
                errors.append(complaint(name, "extra_forbidden", "Extra inputs are not permitted", text))
            elif text is not None:
                raw[name] = text
    for key, text in environ.items():
        if kind_of(key.lower()) is not None:
            raw[key.lower()] = text
    for name, text in raw.items():
        try:
            values[name] = convert(name, kind_of(name) or "str", text)
        except BadValue as error:
            errors.append(complaint(name, error.problem, str(error), text))
        except ValueError as error:
            errors.append(complaint(name, "value_error", str(error), text))
    if errors:
        counted = "1 validation error" if len(errors) == 1 else f"{len(errors)} validation errors"
        raise SettingsError(f"{counted} for Settings\n" + "\n".join(sorted(errors)))
    settings = Settings(values)
    if settings.environment.lower() in ("local", "development", "dev"):
        host = database_host(settings.database_url)
        if host is not None and host not in settings.dev_safety_database_allow_hosts:
            raise SettingsError(
                f"refusing to use the database host {host!r} with ENVIRONMENT={settings.environment}: "
                "set ENVIRONMENT=production or add the host to DEV_SAFETY_DATABASE_ALLOW_HOSTS"
            )
    return settings


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Returns the one Settings object of this process."""
    return load_settings(os.environ, ENV_FILE)


settings = get_settings()
